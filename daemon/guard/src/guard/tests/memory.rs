//! What sessions did, over a restart: written down by one guard and given to the next.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::*;
use crate::changes::Changed;
use crate::reauth::{LoginRoute, LoginRoutes};
use crate::sequence::{NotRestored, OnceSpec, Revived, Scope};
use crate::session::SessionStatus;

const HOUR: u64 = 3_600_000;

/// Through bytes, as over a disk.
fn written<T: Serialize + DeserializeOwned>(value: &T) -> T {
    postcard::from_bytes(&postcard::to_stdvec(value).unwrap()).unwrap()
}

fn remembering(policy: Policy, run: u8) -> Guard {
    guard_in_run(policy, run).with_memory_secret(&Zeroizing::new([8; 32]))
}

/// What came back, and what did not.
#[derive(Debug, Default, PartialEq, Eq)]
struct Came {
    states: usize,
    holders: usize,
    sources: usize,
    unasked: usize,
    stale: usize,
    over: usize,
}

/// The next guard, by another policy, with all that one knew.
fn after_restart(before: &Guard, policy: Policy, keeps_time: bool, now: Now) -> (Guard, Came) {
    let next = remembering(policy, 2);
    let mut came = Came::default();
    let mut count = |revived: Revived| {
        came.unasked += revived.unasked;
        came.stale += revived.stale;
    };
    assert_eq!(next.session_horizon(), None);
    before
        .session_horizon()
        .into_iter()
        .for_each(|horizon| next.expect_anew(horizon));
    for id in before.session_names() {
        let kept = before.session_state(id, now);
        if let Some(revived) = kept.and_then(|kept| next.restore_state(written(&kept), now).unwrap()) {
            came.states += 1;
            count(revived);
        }
    }
    for key in before.holder_names() {
        let kept = written(&before.holder_facts(key).unwrap());
        match next.restore_holder(key, kept, keeps_time, now) {
            Ok(revived) => {
                came.holders += 1;
                count(revived);
            }
            Err(NotRestored::Over(revived)) => {
                came.over += 1;
                count(revived);
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    for source in before.source_names() {
        came.sources += usize::from(next.restore_source(&written(&before.source_state(source).unwrap())));
    }
    for network in before.tier_names() {
        assert!(next.restore_tier(network, &written(&before.tier_state(network).unwrap())));
    }
    for mark in before.client_names() {
        assert!(next.restore_client(&written(&before.client_state(mark).unwrap())));
    }
    next.order_sessions();
    (next, came)
}

fn restarted(before: &Guard, policy: Policy, now: Now) -> Guard {
    after_restart(before, policy, true, now).0
}

/// As the SDK does: signs again when it is asked to.
fn again(guard: &Guard, client: &mut Client, method: &Method, path: &str, now: Now) -> Option<Refusal> {
    let sent = client.call(method.clone(), path, b"", now);
    match pass(guard, &sent, now).0 {
        Err(refused) if refused.fresh.is_some() => {
            client.adopt(&refused);
            let sent = client.call(method.clone(), path, b"", now);
            answer(guard, &sent, 200, now)
        }
        Err(refused) => Some(refused.refusal),
        Ok(mut permit) => {
            let receipt = permit.take_receipt();
            receipt
                .into_iter()
                .for_each(|receipt| _ = guard.complete(receipt, 200, now));
            None
        }
    }
}

/// `POST /api/gift` once for each address, `GET /api/inside` after `POST /api/login`.
fn shop(ids: &[&str]) -> Policy {
    let operation = |name: &str, on: &str| OperationSpec {
        name: name.into(),
        on: on.into(),
        bind: vec![],
    };
    let gift = RuleSpec {
        id: "gift".into(),
        on: vec!["gift".into()],
        scope: vec![Scope::Ip],
        once: Some(OnceSpec::default()),
        ..RuleSpec::default()
    };
    let inside = RuleSpec {
        id: "inside".into(),
        on: vec!["inside".into()],
        require: vec![
            NeedSpec {
                op: "login".into(),
                within: Some(Duration::from_secs(7200)),
                ..NeedSpec::default()
            }
            .into(),
        ],
        ..RuleSpec::default()
    };
    let family = RuleSpec {
        id: "family".into(),
        scope: vec![Scope::Ip],
        on: vec!["family".into()],
        ..inside.clone()
    };
    let day = RuleSpec {
        id: "day".into(),
        on: vec!["day".into()],
        max: Some(MaxSpec {
            count: 1,
            per: Some(Duration::from_secs(86_400)),
            bind: vec![],
            count_if: None,
        }),
        ..RuleSpec::default()
    };
    let rules = [gift, inside, family, day].into_iter();
    let rules = rules
        .filter(|rule| ids.contains(&rule.id.as_str()))
        .map(|rule| RuleSpec {
            mode: Mode::Enforce,
            score: 5.0,
            ..rule
        });
    let rules = Rules::compile(RulesSpec {
        operations: vec![
            operation("gift", "POST /api/gift"),
            operation("login", "POST /api/login"),
            operation("inside", "GET /api/inside"),
            operation("family", "GET /api/family"),
            operation("day", "POST /api/day"),
        ],
        rules: rules.collect(),
        ..RulesSpec::default()
    });
    let mut policy = Policy {
        rules: rules.unwrap(),
        ..policy()
    };
    policy.sessions.lifetime = Duration::from_secs(7 * 86_400);
    policy.sessions.idle = Duration::from_secs(2 * 86_400);
    policy
}

const ALL: &[&str] = &["gift", "inside", "family", "day"];

#[test]
fn what_is_used_up_stays_used_up_and_what_is_earned_stays_earned() {
    let before = remembering(shop(ALL), 1);
    let mut client = Client::open(&before, 1, at(0));
    for path in ["/api/gift", "/api/login", "/api/day"] {
        assert_eq!(again(&before, &mut client, &Method::POST, path, at(0)), None);
    }
    assert_eq!(
        refusal(&before, &client.call(Method::POST, "/api/day", b"", at(1)), at(1)),
        Some(Refusal::Quota(Duration::from_millis(86_400_000 - 1)))
    );
    let score = before.sessions(at(1))[0].score;
    let stranger = Sent {
        address: "10.0.0.1",
        ..unsigned("/api/inside")
    };
    assert_eq!(refusal(&before, &stranger, at(2)), Some(Refusal::SignatureMissing));
    let of_source = |guard: &Guard, ms| guard.source_account(address("10.0.0.1"), at(ms)).score;
    let points = of_source(&before, 2);
    assert!(points > 0.0);
    let now = at(HOUR);
    let (next, came) = after_restart(&before, shop(ALL), true, now);
    assert_eq!((came.states, came.holders, came.sources), (1, 1, 1));
    assert_eq!(of_source(&next, 2), points, "the address has its points");
    let copy = client.clone().get("/api/inside", now);
    assert_eq!(
        refusal(&next, &copy, now),
        Some(Refusal::StreamUnknown),
        "no copy passes"
    );
    assert_eq!(again(&next, &mut client, &Method::GET, "/api/inside", now), None);
    assert_eq!(again(&next, &mut client, &Method::GET, "/api/family", now), None);
    assert!(matches!(
        again(&next, &mut client, &Method::POST, "/api/day", now),
        Some(Refusal::Quota(left)) if left == Duration::from_secs(23 * 3600)
    ));
    let mut other = Client::open(&next, 2, now);
    assert_eq!(
        again(&next, &mut other, &Method::POST, "/api/gift", now),
        Some(Refusal::Sequence)
    );
    let later = at(2 * HOUR + 1);
    assert_eq!(
        again(&next, &mut client, &Method::GET, "/api/inside", later),
        Some(Refusal::Sequence),
        "the login grows old all the same"
    );
    let known = next.sessions(at(HOUR));
    let known = known.iter().find(|session| session.id == SessionId([1; 12])).unwrap();
    assert!(
        score > 4.0 && known.score < 11.0,
        "points go on fading: {}",
        known.score
    );
    assert_eq!(known.calls, 5, "as before, and two");
}

#[test]
fn the_key_is_no_part_of_it_and_a_stranger_cannot_speak_for_the_session() {
    let before = remembering(policy(), 1);
    let mut client = Client::open(&before, 1, at(0));
    assert_eq!(refusal(&before, &client.get("/api/a", at(0)), at(0)), None);
    let row = postcard::to_stdvec(&before.session_state(SessionId([1; 12]), at(0)).unwrap()).unwrap();
    let (name, rest) = row.split_at(SessionId::BYTES);
    assert_eq!(name, [1; SessionId::BYTES]);
    assert!(!rest.windows(4).any(|bytes| bytes == [1; 4]), "{rest:?}");
    let next = restarted(&before, policy(), at(1000));
    let mut thief = Client {
        key: SigningKey([66; 32]),
        ..client.clone()
    };
    assert_eq!(
        refusal(&next, &thief.get("/api/a", at(1000)), at(1000)),
        Some(Refusal::SignatureInvalid)
    );
    assert_eq!(again(&next, &mut client, &Method::GET, "/api/a", at(1000)), None);
    assert_eq!(
        refusal(&next, &client.get("/api/a", at(1001)), at(1001)),
        None,
        "it is known now"
    );
}

#[test]
fn idle_time_is_counted_over_the_restart() {
    let mut limits = policy();
    limits.sessions.idle = Duration::from_secs(60);
    let before = remembering(limits.clone(), 1);
    let mut client = Client::open(&before, 1, at(0));
    assert_eq!(refusal(&before, &client.get("/api/a", at(0)), at(0)), None);
    for (ms, expected) in [(60_000, None), (60_001, Some(Refusal::SessionIdle))] {
        let next = restarted(&before, limits.clone(), at(50_000));
        assert_eq!(
            again(&next, &mut client.clone(), &Method::GET, "/api/a", at(ms)),
            expected
        );
    }
}

#[test]
fn a_suspended_session_stays_suspended_and_a_user_stays_bound() {
    let with_login = Policy {
        logins: LoginRoutes(vec![LoginRoute {
            method: Method::POST,
            paths: PathPattern::parse("/api/login").unwrap(),
        }]),
        ..policy()
    };
    let before = remembering(with_login.clone(), 1);
    let mut client = Client::open(&before, 1, at(0));
    assert_eq!(refusal(&before, &client.get("/api/a", at(0)), at(0)), None);
    let elsewhere = client.get("/api/a", at(10)).with("user-agent", "curl/8");
    assert_eq!(refusal(&before, &elsewhere, at(10)), Some(Refusal::UserAgentChanged));
    let next = restarted(&before, with_login, at(20));
    assert_eq!(next.sessions(at(20))[0].status, SessionStatus::Suspended);
    let refused = pass(&next, &client.get("/api/a", at(30)), at(30)).0.unwrap_err();
    client.adopt(&refused);
    assert_eq!(
        refusal(&next, &client.get("/api/a", at(30)), at(30)),
        Some(Refusal::Suspended)
    );
}

#[test]
fn an_ended_session_does_not_come_back() {
    let before = remembering(policy(), 1);
    let mut client = Client::open(&before, 1, at(0));
    assert_eq!(refusal(&before, &client.get("/api/a", at(0)), at(0)), None);
    let id = SessionId([1; 12]);
    let kept = before.session_state(id, at(0)).unwrap();
    let _ = before.revoke(id, at(1));
    assert!(before.session_state(id, at(1)).is_none());
    let next = remembering(policy(), 2);
    next.restore_session(&before.ended_session(id, at(1)).unwrap(), at(1));
    assert_eq!(next.restore_state(kept, at(1)), Ok(None), "the file was behind");
    assert_eq!(
        refusal(&next, &client.get("/api/a", at(2)), at(2)),
        Some(Refusal::SessionRevoked)
    );
}

#[test]
fn facts_of_a_rule_that_is_gone_are_dropped_and_the_others_stay() {
    let before = remembering(shop(ALL), 1);
    let mut client = Client::open(&before, 1, at(0));
    for path in ["/api/gift", "/api/login", "/api/day"] {
        assert_eq!(again(&before, &mut client, &Method::POST, path, at(0)), None);
    }
    let (next, came) = after_restart(&before, shop(&["gift", "inside"]), true, at(1));
    // `day` of the session, `family` of the address.
    assert_eq!((came.states, came.holders, came.unasked), (1, 1, 2));
    assert_eq!(again(&next, &mut client, &Method::GET, "/api/inside", at(1)), None);
    assert_eq!(
        again(&next, &mut client, &Method::POST, "/api/gift", at(1)),
        Some(Refusal::Sequence)
    );
    let (next, came) = after_restart(&next, shop(ALL), true, at(2));
    assert_eq!(came.unasked, 0);
    assert_eq!(
        again(&next, &mut client, &Method::POST, "/api/day", at(2)),
        None,
        "what was dropped begins anew"
    );
}

#[test]
fn a_clock_that_was_set_back_allows_nothing_by_it() {
    let before = remembering(shop(ALL), 1);
    let mut client = Client::open(&before, 1, at(0));
    for path in ["/api/gift", "/api/login"] {
        assert_eq!(again(&before, &mut client, &Method::POST, path, at(0)), None);
    }
    let (next, came) = after_restart(&before, shop(ALL), false, at(1));
    assert_eq!((came.holders, came.stale), (1, 1));
    let mut other = Client::open(&next, 2, at(1));
    assert_eq!(
        again(&next, &mut other, &Method::GET, "/api/family", at(1)),
        Some(Refusal::Sequence),
        "nobody knows how long ago the login was"
    );
    assert_eq!(
        again(&next, &mut other, &Method::POST, "/api/gift", at(1)),
        Some(Refusal::Sequence)
    );
}

#[test]
fn whoever_has_no_room_must_open_a_new_session() {
    let before = remembering(policy(), 1);
    let mut clients: Vec<Client> = (1..=4)
        .map(|name| Client::open(&before, name, at(u64::from(name) * 1000)))
        .collect();
    let now = at(5000);
    for client in &mut clients {
        assert_eq!(refusal(&before, &client.get("/api/a", now), now), None);
    }
    let mut small = policy();
    small.sessions.capacity = 2;
    let next = restarted(&before, small, now);
    assert_eq!(next.session_count(), 2);
    let outcomes = clients
        .iter_mut()
        .map(|client| again(&next, client, &Method::GET, "/api/a", now));
    let evicted = outcomes.filter(|outcome| *outcome == Some(Refusal::SessionEvicted));
    assert!(evicted.count() >= 2);
}

#[test]
fn the_horizon_holds_over_a_restart() {
    let mut small = policy();
    small.sessions.capacity = 1;
    let before = remembering(small.clone(), 1);
    let mut first = Client::open(&before, 1, at(0));
    let mut second = Client::open(&before, 2, at(1000));
    for client in [&mut first, &mut second] {
        assert_eq!(refusal(&before, &client.get("/api/a", at(2000)), at(2000)), None);
    }
    let next = restarted(&before, small, at(3000));
    assert_eq!(
        again(&next, &mut first, &Method::GET, "/api/a", at(3000)),
        Some(Refusal::SessionEvicted)
    );
    assert_eq!(again(&next, &mut second, &Method::GET, "/api/a", at(3000)), None);
}

#[test]
fn who_used_it_last_stays_longest() {
    let before = remembering(policy(), 1);
    let mut clients: Vec<Client> = (1..=3).map(|name| Client::open(&before, name, at(0))).collect();
    for (client, ms) in clients.iter_mut().zip([30, 10, 20]) {
        assert_eq!(refusal(&before, &client.get("/api/a", at(ms)), at(ms)), None);
    }
    let mut small = policy();
    small.sessions.capacity = 3;
    let next = restarted(&before, small, at(100));
    let mut newcomer = Client::open(&next, 9, at(200));
    assert_eq!(refusal(&next, &newcomer.get("/api/a", at(200)), at(200)), None);
    let mut left: Vec<u8> = next.session_names().iter().map(|id| id.0[0]).collect();
    left.sort_unstable();
    assert_eq!(left, [1, 3, 9]);
}

#[test]
fn only_what_changed_is_told() {
    let guard = remembering(shop(ALL), 1);
    let mut client = Client::open(&guard, 1, at(0));
    assert_eq!(
        guard.changed_sessions(),
        Changed::These(vec![]),
        "opening leaves no state"
    );
    assert_eq!(again(&guard, &mut client, &Method::POST, "/api/login", at(0)), None);
    let id = SessionId([1; 12]);
    assert_eq!(guard.changed_sessions(), Changed::These(vec![id]));
    assert_eq!(again(&guard, &mut client, &Method::POST, "/api/gift", at(1)), None);
    assert_eq!(
        guard.changed_sessions(),
        Changed::These(vec![]),
        "it was told, and nobody has looked yet"
    );
    assert!(guard.session_state(id, at(1)).is_some());
    assert_eq!(again(&guard, &mut client, &Method::GET, "/api/inside", at(2)), None);
    assert_eq!(guard.changed_sessions(), Changed::These(vec![id]));
    let Changed::These(holders) = guard.changed_holders() else {
        panic!("few changed")
    };
    assert_eq!(holders, guard.holder_names());
    assert!(guard.session_state(id, at(1)).is_some());
    let _ = guard.revoke(id, at(3));
    assert_eq!(guard.changed_sessions(), Changed::These(vec![id]), "it is gone");
}

#[test]
fn points_of_networks_and_distrust_of_clients_go_on() {
    let before = remembering(shop(ALL), 1);
    let mut thief = Client::open(&before, 1, at(0));
    for _ in 0..3 {
        let _ = again(&before, &mut thief, &Method::GET, "/api/inside", at(0));
    }
    let marks = before.client_names();
    assert_eq!(marks.len(), 1);
    before.campaigns.condemn(
        marks[0],
        Duration::from_secs(600),
        Mode::Enforce,
        Duration::from_secs(600),
        at(0).mono,
    );
    let source = address("10.0.0.1").source();
    let half_life = Duration::from_secs(600);
    assert_eq!(before.tiers.offenders(source, half_life, at(0).mono), 1);
    let next = restarted(&before, shop(ALL), at(1000));
    let left = next.campaigns.condemned(|| marks[0], at(1000).mono);
    assert_eq!(left, Some((Duration::from_secs(599), Mode::Enforce)));
    let other = address("10.0.0.2").source();
    assert_eq!(
        next.tiers.offenders(other, half_life, at(1000).mono),
        2,
        "he and his neighbour"
    );
}

/// Rows of an earlier version would be misread: whoever changes the layout has to change the version of rows too
/// (`daemon/src/store/sessions/row.rs`), and then this.
#[test]
fn the_layout_is_that_of_version_1() {
    let guard = remembering(shop(ALL), 1);
    let mut client = Client::open(&guard, 1, at(0));
    for (method, path) in [
        (Method::POST, "/api/gift"),
        (Method::POST, "/api/login"),
        (Method::POST, "/api/day"),
        (Method::POST, "/api/day"),
    ] {
        let _ = again(&guard, &mut client, &method, path, at(1000));
    }
    let state = postcard::to_stdvec(&guard.session_state(SessionId([1; 12]), at(1000)).unwrap()).unwrap();
    let holder = guard.holder_names()[0];
    let facts = postcard::to_stdvec(&guard.holder_facts(holder).unwrap()).unwrap();
    let source = guard.source_names()[0];
    let source = postcard::to_stdvec(&guard.source_state(source).unwrap()).unwrap();
    let (mark, address) = (guard.client_names()[0], address("10.0.0.1").source());
    guard.campaigns.condemn(
        mark,
        Duration::from_secs(60),
        Mode::Enforce,
        Duration::from_secs(60),
        at(1000).mono,
    );
    let client = postcard::to_stdvec(&guard.client_state(mark).unwrap()).unwrap();
    let _ = guard.tiers.offenders(address, Duration::from_secs(60), at(1000).mono);
    let tier = postcard::to_stdvec(&guard.tier_state(guard.tier_names()[0]).unwrap()).unwrap();
    let sum = |bytes: &[u8]| siphasher::sip::SipHasher13::new().hash(bytes);
    assert_eq!(
        [(client.len(), sum(&client)), (tier.len(), sum(&tier))],
        [(35, 12_043_028_093_588_088_897), (29, 5_922_507_339_136_648_511)]
    );
    assert_eq!(
        [
            (state.len(), sum(&state)),
            (facts.len(), sum(&facts)),
            (source.len(), sum(&source))
        ],
        [
            (217, 1395813418798869846),
            (48, 26923190778991575),
            (29, 4253220226970932684)
        ]
    );
}
