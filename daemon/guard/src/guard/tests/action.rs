//! What rules and thresholds lead to, carried out.

use super::*;
use crate::sequence::{BanAction, BanTarget, Threshold};
use crate::verdict::{Consequence, Mood, Spared};

fn rules(action: Action, score: f32, thresholds: Vec<Threshold>) -> Rules {
    let operation = |name: &str, on: &str| OperationSpec {
        name: name.into(),
        on: on.into(),
        bind: vec![],
    };
    let pay = RuleSpec {
        id: "pay-after-view".into(),
        on: vec!["pay".into()],
        require: vec![
            NeedSpec {
                op: "view".into(),
                ..NeedSpec::default()
            }
            .into(),
        ],
        mode: Mode::Enforce,
        score,
        action,
        ..RuleSpec::default()
    };
    Rules::compile(RulesSpec {
        operations: vec![operation("view", "GET /api/orders"), operation("pay", "POST /api/pay")],
        rules: vec![pay],
        thresholds,
        ..RulesSpec::default()
    })
    .unwrap()
}

fn ban(target: BanTarget) -> Action {
    Action::Ban(BanAction {
        target,
        ttl: Duration::from_secs(60),
        grow: 3.0,
        max_ttl: Duration::from_secs(3600),
        jitter: 0.0,
    })
}

fn with(action: Action, mode: Mode) -> Guard {
    guard(Policy {
        mode,
        rules: rules(action, 10.0, vec![]),
        ..policy()
    })
}

fn pay(guard: &Guard, client: &mut Client, ms: u64) -> Outcome {
    let sent = client.call(Method::POST, "/api/pay", b"", at(ms));
    pass(guard, &sent, at(ms))
}

fn cause(outcome: &Outcome) -> Option<&'static str> {
    outcome.0.as_ref().err().map(|refused| refused.refusal.cause())
}

fn told() -> impl Fn(&Guard) -> Vec<Consequence> {
    |guard| guard.incident(Reference(7)).unwrap().consequences
}

#[test]
fn a_rule_can_suspend_a_session() {
    let guard = with(Action::Reauth, Mode::Enforce);
    let mut client = Client::open(&guard, 1, at(0));
    let refused = pay(&guard, &mut client, 0).0.unwrap_err();
    assert_eq!(
        (refused.refusal, refused.way_back.is_some()),
        (Refusal::Distrusted, true)
    );
    assert_eq!(
        refusal(&guard, &client.get("/api/orders", at(1)), at(1)),
        Some(Refusal::Suspended)
    );
}

#[test]
fn a_challenge_ends_the_session_and_makes_the_next_one_cost_work() {
    let guard = with(Action::Challenge, Mode::Enforce);
    let mut client = Client::open(&guard, 1, at(0));
    let source = address("10.0.0.1").source();
    assert!(
        guard
            .policy
            .work
            .bits_for(0.0, guard.mints.recent(source, at(0).mono))
            .is_none()
    );
    assert_eq!(cause(&pay(&guard, &mut client, 0)), Some("challenged"));
    assert_eq!(told()(&guard), [Consequence::Challenged]);
    let after = refusal(&guard, &client.get("/api/orders", at(1)), at(1));
    assert_eq!(after, Some(Refusal::SessionRevoked));
    assert!(
        guard
            .policy
            .work
            .bits_for(0.0, guard.mints.recent(source, at(1).mono))
            .is_some()
    );
}

#[test]
fn a_rule_can_ban_flows_sessions_addresses_and_prefixes() {
    for target in [BanTarget::Flow, BanTarget::Session, BanTarget::Ip, BanTarget::Prefix] {
        let guard = with(ban(target), Mode::Enforce);
        let mut client = Client::open(&guard, 1, at(0));
        let outcome = pay(&guard, &mut client, 0);
        assert_eq!(cause(&outcome), Some("sequence"), "{target:?}");
        let bans: Vec<_> = guard.bans(at(0)).iter().map(|ban| ban.network.to_string()).collect();
        let sessions = guard.sessions(at(0));
        let is_banned = sessions
            .iter()
            .any(|session| session.status != crate::session::SessionStatus::Active);
        let drops = outcome
            .1
            .iter()
            .any(|effect| matches!(effect, Effect::DropFlows { .. }));
        let expected: (&[&str], bool) = match target {
            BanTarget::Flow => (&[], false),
            BanTarget::Session => (&[], true),
            // One address is no crowd: the prefix is spared and the address is not.
            BanTarget::Ip | BanTarget::Prefix => (&["10.0.0.1/32"], false),
        };
        assert_eq!(bans, expected.0, "{target:?}");
        assert_eq!((is_banned, drops), (expected.1, true), "{target:?}");
    }
}

#[test]
fn a_spared_address_loses_the_session_instead() {
    let guard = with(ban(BanTarget::Ip), Mode::Enforce);
    let mut neighbour = Client::open(&guard, 1, at(0));
    assert_eq!(refusal(&guard, &neighbour.get("/api/orders", at(0)), at(0)), None);
    let mut client = Client::open(&guard, 2, at(0));
    let _ = pay(&guard, &mut client, 0);
    let network = "10.0.0.1/32".parse().unwrap();
    let ttl = Duration::from_secs(60);
    let seen = told()(&guard);
    assert_eq!(
        seen[..2],
        [
            Consequence::Spared(network, Spared::Neighbours),
            Consequence::SessionBanned(ttl)
        ]
    );
    assert_eq!(refusal(&guard, &neighbour.get("/api/orders", at(1)), at(1)), None);
}

#[test]
fn a_prefix_is_banned_by_a_rule_when_enough_addresses_broke_it() {
    let guard = with(ban(BanTarget::Prefix), Mode::Enforce);
    let mut banned = Vec::new();
    for name in 1..=9 {
        let mut client = Client::open(&guard, name, at(0));
        client.address = format!("10.7.0.{name}").leak();
        for effect in pay(&guard, &mut client, 0).1 {
            if let Effect::Ban(ban) = effect {
                banned.push((ban.network.to_string(), ban.ttl.as_secs()));
            }
        }
    }
    assert_eq!(banned.len(), 8, "the ninth does not come in any more");
    assert_eq!(banned[6], ("10.7.0.7/32".to_owned(), 60));
    assert_eq!(banned[7], ("10.7.0.0/24".to_owned(), 60));
}

#[test]
fn bans_by_a_rule_grow_as_the_rule_says() {
    let guard = with(ban(BanTarget::Ip), Mode::Enforce);
    let lengths = [0, 100_000, 400_000].map(|ms| {
        let mut client = Client::open(&guard, 1, at(ms));
        client.stream = format!("stream-{ms}x");
        let effects = pay(&guard, &mut client, ms).1;
        effects.iter().find_map(|effect| match effect {
            Effect::Ban(ban) => Some(ban.ttl.as_secs()),
            Effect::Unban(_)
            | Effect::Allow(_)
            | Effect::Disallow(_)
            | Effect::DropFlows { .. }
            | Effect::SessionEnded { .. }
            | Effect::SessionRestored(_)
            | Effect::Report(_) => None,
        })
    });
    assert_eq!(lengths, [Some(60), Some(180), Some(537)]);
}

#[test]
fn thresholds_act_once_when_they_are_reached() {
    let thresholds = vec![
        Threshold {
            score: 15.0,
            action: Action::Log,
        },
        Threshold {
            score: 35.0,
            action: Action::Reauth,
        },
    ];
    let guard = guard(Policy {
        rules: rules(Action::Deny, 10.0, thresholds),
        ..policy()
    });
    let mut client = Client::open(&guard, 1, at(0));
    for _ in 0..3 {
        let _ = pay(&guard, &mut client, 0);
        assert_eq!(told()(&guard), []);
    }
    let outcome = pay(&guard, &mut client, 0);
    assert_eq!(cause(&outcome), Some("sequence"));
    assert_eq!(told()(&guard), [Consequence::Suspended]);
    assert_eq!(cause(&pay(&guard, &mut client, 0)), Some("suspended"));
}

#[test]
fn behaviour_can_reach_a_threshold_too() {
    let thresholds = vec![Threshold {
        score: 10.0,
        action: Action::Reauth,
    }];
    let guard = guard(Policy {
        rules: rules(Action::Deny, 10.0, thresholds),
        ..policy()
    });
    let mut client = Client::open(&guard, 1, at(0));
    let outcomes: Vec<_> = (0..23)
        .map(|n| {
            let sent = client.get(&format!("/api/items/{n}"), at(n * 1000));
            refusal(&guard, &sent, at(n * 1000))
        })
        .collect();
    assert!(outcomes[..20].iter().all(Option::is_none));
    assert_eq!(
        outcomes[20..],
        [
            Some(Refusal::Distrusted),
            Some(Refusal::Suspended),
            Some(Refusal::Suspended)
        ]
    );
}

#[test]
fn a_gate_that_watches_tells_what_rules_would_have_led_to() {
    for action in [
        Action::Reauth,
        Action::Challenge,
        ban(BanTarget::Session),
        ban(BanTarget::Ip),
    ] {
        let (watching, enforcing) = (with(action, Mode::Monitor), with(action, Mode::Enforce));
        let outcomes = [&watching, &enforcing].map(|guard| {
            let mut client = Client::open(guard, 1, at(0));
            let outcome = pay(guard, &mut client, 0);
            let incident = guard.incident(Reference(7)).unwrap();
            (outcome, incident)
        });
        let [(watched, would), (enforced, did)] = outcomes;
        assert_eq!(cause(&watched), None, "{action}: it passes");
        assert!(matches!(watched.1.as_slice(), [Effect::Report(_)]), "{action}");
        assert!(cause(&enforced).is_some());
        assert_eq!(would.consequences, did.consequences, "{action}");
        assert_eq!(
            (would.session_points, would.address_points),
            (did.session_points, did.address_points)
        );
        assert_eq!((would.mood, did.mood), (Mood::Would, Mood::Did));
        assert_eq!(watching.bans(at(0)), []);
    }
}
