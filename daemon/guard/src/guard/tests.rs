//! Tests of the whole way through the guard, by value: requests and time go in, verdicts and effects come out.

mod action;
mod binding;
mod ladder;
mod login;
mod memory;
mod notice;
mod opening;
mod trap;

use std::time::Duration;

use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::*;
use crate::blacklist::Origin;
use crate::effect::KernelBan;
use crate::escalation::Growth;
use crate::fingerprint::Fingerprint;
use crate::path::{NormalPath, PathPattern};
use crate::policy::{Mode, Share, Thresholds};
use crate::request::{ConnectionId, Reference};
use crate::sequence::{Action, MaxSpec, NeedSpec, OperationSpec, RuleSpec, Rules, RulesSpec};
use crate::session::SessionId;
use crate::session::agreement::{Agreed, AgreementRequest, SessionEntropy};
use crate::session::token::{MasterKey, SigningKey};
use crate::signature::base::Message;
use crate::signature::sign::{Signer, sign};
use crate::time::{MonoMillis, WallMillis};
use crate::verdict::Mood;

const START: u64 = 1_800_000_000_000;

fn at(ms: u64) -> Now {
    Now {
        wall: WallMillis(START + ms),
        mono: MonoMillis(ms),
    }
}

fn policy() -> Policy {
    Policy {
        mode: Mode::Enforce,
        protected: vec![PathPattern::parse("/api/**").unwrap()],
        thresholds: Thresholds {
            growth: Growth {
                jitter: 0.0,
                ..Growth::default()
            },
            ..Thresholds::default()
        },
        ..Policy::default()
    }
}

fn guard_in_run(policy: Policy, run: u8) -> Guard {
    let master = MasterKeys::new(MasterKey::new(1, &Zeroizing::new([42; 32])), vec![]);
    Guard::new(
        policy,
        Secrets {
            master,
            run: Zeroizing::new([run; 32]),
        },
        100,
    )
}

fn guard(policy: Policy) -> Guard {
    guard_in_run(policy, 1)
}

/// A client with a session, and the request it sends next.
#[derive(Clone)]
struct Client {
    session_id: String,
    key: SigningKey,
    stream: String,
    counter: u64,
    address: &'static str,
    agent: &'static str,
    connection: u64,
}

/// A request as it arrives.
#[derive(Clone)]
struct Sent {
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Vec<u8>,
    address: &'static str,
    program: Option<u32>,
    connection: u64,
}

impl Client {
    fn open(guard: &Guard, name: u8, now: Now) -> Self {
        let entropy = SessionEntropy {
            id: [name; 12],
            secret: Zeroizing::new([name; 32]),
            salt: [0; 32],
        };
        let opened = guard
            .open_session(&AgreementRequest::ServerKey, &entropy, address("10.0.0.1"), now)
            .unwrap();
        let Agreed::ServerKey(key) = opened.agreed else {
            panic!("asked for a server key")
        };
        Self {
            session_id: opened.session_id,
            key,
            stream: format!("stream-{name:03}"),
            counter: 0,
            address: "10.0.0.1",
            agent: "Firefox/153",
            connection: u64::from(name),
        }
    }

    fn call(&mut self, method: Method, path: &str, body: &[u8], now: Now) -> Sent {
        let nonce = format!("{}.{}", self.stream, self.counter);
        self.counter += 1;
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, HeaderValue::from_static(self.agent));
        if !body.is_empty() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let signer = Signer {
            session_id: &self.session_id,
            key: &self.key,
            created: now.wall.seconds(),
            nonce: &nonce,
        };
        let message = Message {
            method: &method,
            authority: "shop.example",
            path,
            query: None,
            headers: &headers,
        };
        let headers = sign(&signer, message, body).unwrap();
        Sent {
            method,
            path: path.into(),
            headers,
            body: body.into(),
            address: self.address,
            program: None,
            connection: self.connection,
        }
    }

    fn get(&mut self, path: &str, now: Now) -> Sent {
        self.call(Method::GET, path, b"", now)
    }

    /// Goes on in the stream that a refusal offered.
    fn adopt(&mut self, refused: &Refused) {
        let (session_id, nonce) = refused.fresh.as_ref().unwrap();
        assert_eq!(*session_id, self.session_id);
        self.stream = nonce.strip_suffix(".0").unwrap().into();
        self.counter = 0;
    }
}

impl Sent {
    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers
            .insert(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        self
    }
}

/// Asks for a session like the proxy.
fn session_request<'a>(path: &'a NormalPath, headers: &'a HeaderMap, from: &str) -> Request<'a> {
    Request {
        method: &Method::POST,
        operation: &Method::POST,
        authority: "shop.example",
        raw_path: path.as_str(),
        query: None,
        ticket: None,
        path,
        headers,
        has_body: true,
        client: address(from),
        fingerprint: None,
        trusted: false,
        connection: ConnectionId(1),
        reference: Reference(7),
    }
}

fn address(text: &str) -> ClientAddress {
    ClientAddress::new(text.parse().unwrap())
}

fn unsigned(path: &str) -> Sent {
    let (method, headers) = (Method::GET, HeaderMap::new());
    Sent {
        method,
        path: path.into(),
        headers,
        body: vec![],
        address: "10.0.0.9",
        program: None,
        connection: 99,
    }
}

/// What became of a request: the permit, or the refusal; and what to do.
type Outcome = (Result<Permit, Box<Refused>>, Vec<Effect>);

/// Takes a request all the way, like the proxy does.
fn pass(guard: &Guard, sent: &Sent, now: Now) -> Outcome {
    let path = NormalPath::parse(&sent.path).unwrap();
    let request = Request {
        method: &sent.method,
        operation: &sent.method,
        authority: "shop.example",
        raw_path: &sent.path,
        query: None,
        ticket: None,
        path: &path,
        headers: &sent.headers,
        has_body: !sent.body.is_empty(),
        client: address(sent.address),
        fingerprint: sent.program.map(Fingerprint::named),
        trusted: false,
        connection: ConnectionId(sent.connection),
        reference: Reference(7),
    };
    let Judgement { outcome, effects } = guard.judge_head(&request, now);
    match outcome {
        Ok(Admission::Forward(permit)) => (Ok(permit), effects),
        Err(refused) => (Err(refused), effects),
        Ok(Admission::Bound(bound)) => {
            assert!(effects.is_empty());
            let body = (!sent.body.is_empty()).then_some(&*sent.body);
            let judgement = guard.admit(bound, &request, body, now);
            let outcome = judgement.outcome.map(|passage| match passage {
                Passage::Forward(permit) => permit,
                Passage::Hold(hold) => panic!("held: {hold:?}"),
            });
            (outcome, judgement.effects)
        }
    }
}

fn refusal(guard: &Guard, sent: &Sent, now: Now) -> Option<Refusal> {
    pass(guard, sent, now).0.err().map(|refused| refused.refusal)
}

/// The effects without the report, which is always the last.
fn consequences(outcome: &Outcome) -> &[Effect] {
    let (report, others) = outcome.1.split_last().unwrap();
    assert!(matches!(report, Effect::Report(_)));
    others
}

#[test]
fn a_signed_call_passes_and_leaves_no_effects() {
    let guard = guard(policy());
    let mut client = Client::open(&guard, 1, at(0));
    assert_eq!(guard.session_count(), 0, "opening costs no memory");
    let (outcome, effects) = pass(&guard, &client.get("/api/orders", at(10)), at(20));
    assert_eq!(outcome.unwrap().session(), Some(SessionId([1; 12])));
    assert_eq!(effects, []);
    let post = client.call(Method::POST, "/api/orders", b"{}", at(10));
    assert_eq!(refusal(&guard, &post, at(20)), None);
    assert_eq!((guard.session_count(), guard.admitted()), (1, 2));
}

#[test]
fn public_paths_need_nothing() {
    let guard = guard(policy());
    assert_eq!(refusal(&guard, &unsigned("/index.html"), at(0)), None);
    let typed = unsigned("/").with("sec-fetch-mode", "navigate");
    assert_eq!(refusal(&guard, &typed, at(0)), None);
}

#[test]
fn curl_and_typed_links_are_refused() {
    let guard = guard(policy());
    assert_eq!(
        refusal(&guard, &unsigned("/api/orders"), at(0)),
        Some(Refusal::SignatureMissing)
    );
    let typed = unsigned("/api/orders")
        .with("sec-fetch-mode", "navigate")
        .with("sec-fetch-site", "none");
    let outcome = pass(&guard, &typed, at(0));
    assert_eq!(outcome.0.as_ref().unwrap_err().refusal, Refusal::Navigation);
    let Some(Effect::Report(incident)) = outcome.1.last() else {
        panic!("a report")
    };
    assert_eq!(
        (incident.session_points, incident.address_points),
        (0.0, 0.0),
        "a curious user is no attacker"
    );
}

#[test]
fn a_session_that_is_left_alone_ends_before_its_time() {
    let mut limits = policy();
    limits.sessions.idle = Duration::from_secs(60);
    let guard = guard(limits);
    let mut client = Client::open(&guard, 1, at(0));
    for ms in [0, 60_000, 120_000] {
        assert_eq!(refusal(&guard, &client.get("/api/a", at(ms)), at(ms)), None);
    }
    let late = at(180_001);
    assert_eq!(
        refusal(&guard, &client.get("/api/a", late), late),
        Some(Refusal::SessionIdle)
    );
    assert_eq!(
        refusal(&guard, &client.get("/api/a", late), late),
        Some(Refusal::SessionIdle),
        "the attempt does not wake it"
    );
}

#[test]
fn a_copy_is_refused() {
    let guard = guard(policy());
    let mut client = Client::open(&guard, 1, at(0));
    let sent = client.get("/api/orders", at(0));
    assert_eq!(refusal(&guard, &sent, at(0)), None);
    assert_eq!(
        refusal(&guard, &sent, at(1)),
        Some(Refusal::ReplayEchoed),
        "by the client itself, at once"
    );
    assert_eq!(refusal(&guard, &sent, at(5001)), Some(Refusal::Replay));
    let elsewhere = Sent {
        address: "10.0.0.2",
        ..sent
    };
    assert_eq!(refusal(&guard, &elsewhere, at(1)), Some(Refusal::Replay));
}

#[test]
fn a_redirect_that_a_browser_follows_costs_little() {
    let guard = guard(policy());
    let mut client = Client::open(&guard, 1, at(0));
    for ms in 0..10 {
        let sent = client.get("/api/old", at(ms));
        assert_eq!(refusal(&guard, &sent, at(ms)), None);
        let followed = Sent {
            path: "/api/new".into(),
            ..sent
        };
        assert_eq!(refusal(&guard, &followed, at(ms)), Some(Refusal::SignatureEchoed));
    }
    assert_eq!(guard.bans(at(20)), []);
    let stolen = Sent {
        address: "10.0.0.2",
        path: "/api/new".into(),
        ..client.get("/api/old", at(20))
    };
    assert_eq!(refusal(&guard, &stolen, at(20)), Some(Refusal::SignatureInvalid));
}

#[test]
fn a_copy_is_refused_after_a_restart_and_the_client_goes_on() {
    let before = guard(policy());
    let mut client = Client::open(&before, 1, at(0));
    let sent = client.get("/api/orders", at(0));
    assert_eq!(refusal(&before, &sent, at(0)), None);

    let after = guard_in_run(policy(), 2);
    let refused = pass(&after, &sent, at(100)).0.unwrap_err();
    assert_eq!(refused.refusal, Refusal::StreamUnknown);
    assert_eq!(after.session_count(), 0, "and it leaves no trace");
    client.adopt(&refused);
    let again = client.get("/api/orders", at(100));
    assert_eq!(refusal(&after, &again, at(120)), None);
    assert_eq!(refusal(&after, &again, at(130)), Some(Refusal::ReplayEchoed));
    assert_eq!(
        refusal(&after, &sent, at(140)),
        Some(Refusal::StreamUnknown),
        "the first copy still does not pass"
    );
}

#[test]
fn each_forged_claim_has_its_refusal() {
    let guard = guard(policy());
    let client = Client::open(&guard, 1, at(0));
    let sent = || client.clone().get("/api/orders", at(0));
    let foreign = guard_with_other_master();
    let stranger = Client::open(&foreign, 1, at(0));
    let tampered_field = |name: &'static str, from: &str, to: &str| {
        let sent = sent();
        let value = sent.headers[name].to_str().unwrap().replace(from, to);
        sent.with(name, &value)
    };
    let mut other_path = sent();
    other_path.path = "/api/secrets".into();
    let mut other_method = sent();
    other_method.method = Method::DELETE;
    let cases = [
        (other_path, Refusal::SignatureInvalid),
        (other_method, Refusal::SignatureInvalid),
        (
            tampered_field("signature-input", ".0\"", ".1\""),
            Refusal::SignatureInvalid,
        ),
        (
            tampered_field("signature-input", "hmac-sha256", "ed25519"),
            Refusal::AlgorithmMismatch,
        ),
        (
            tampered_field("signature-input", "stream-001.0", "x.0"),
            Refusal::NonceMalformed,
        ),
        (
            tampered_field("signature-input", " \"@query\"", ""),
            Refusal::SignatureIncomplete,
        ),
        (
            tampered_field("signature-input", "\"@query\"", "\"@query\" \"@scheme\""),
            Refusal::ComponentUnsupported,
        ),
        (
            tampered_field("signature-input", &client.session_id, "AAAA"),
            Refusal::SessionUnknown,
        ),
        (
            tampered_field("signature", "portcullis=", "other="),
            Refusal::SignatureMalformed,
        ),
        (stranger.clone().get("/api/orders", at(0)), Refusal::SessionForged),
    ];
    for (n, (sent, expected)) in cases.into_iter().enumerate() {
        // An address for each, or the first ones would get it banned.
        let sent = Sent {
            address: format!("10.0.1.{n}").leak(),
            ..sent
        };
        assert_eq!(refusal(&guard, &sent, at(0)), Some(expected), "{:?}", sent.headers);
    }
    assert_eq!(refusal(&guard, &sent(), at(0)), None, "the true one still passes");
}

/// Claims to be ours and is not even complete: ten points each.
fn forged() -> Sent {
    unsigned("/api/a")
        .with("signature-input", r#"p=("@method");tag="portcullis-1""#)
        .with("signature", "p=:AA==:")
}

fn guard_with_other_master() -> Guard {
    let master = MasterKeys::new(MasterKey::new(1, &Zeroizing::new([43; 32])), vec![]);
    Guard::new(
        policy(),
        Secrets {
            master,
            run: Zeroizing::new([1; 32]),
        },
        100,
    )
}

#[test]
fn freshness_has_two_edges() {
    let guard = guard(policy());
    let mut client = Client::open(&guard, 1, at(0));
    let sent = client.get("/api/a", at(100_000));
    assert_eq!(refusal(&guard, &sent, at(130_999)), None);
    let sent = client.get("/api/a", at(100_000));
    assert_eq!(refusal(&guard, &sent, at(131_000)), Some(Refusal::SignatureExpired));
    let sent = client.get("/api/a", at(106_000));
    assert_eq!(refusal(&guard, &sent, at(100_000)), Some(Refusal::SignatureFromFuture));
    let sent = client.get("/api/a", at(105_000));
    assert_eq!(refusal(&guard, &sent, at(100_000)), None);
}

#[test]
fn a_session_ends() {
    let guard = guard(policy());
    let mut client = Client::open(&guard, 1, at(0));
    let end = u64::try_from(policy().sessions.lifetime.as_millis()).unwrap();
    assert_eq!(refusal(&guard, &client.get("/api/a", at(end - 1)), at(end - 1)), None);
    assert_eq!(
        refusal(&guard, &client.get("/api/a", at(end)), at(end)),
        Some(Refusal::SessionExpired)
    );
}

#[test]
fn a_changed_body_is_refused_and_costs_the_session() {
    let guard = guard(policy());
    let mut client = Client::open(&guard, 1, at(0));
    let mut sent = client.call(Method::POST, "/api/orders", b"{\"n\":1}", at(0));
    sent.body = b"{\"n\":2}".into();
    let outcome = pass(&guard, &sent, at(0));
    assert_eq!(outcome.0.unwrap_err().refusal, Refusal::DigestMismatch);
    assert!(guard.sessions(at(0))[0].score > 0.0);
    let mut without = client.call(Method::POST, "/api/orders", b"{}", at(0));
    without.headers.remove("content-digest");
    assert_eq!(refusal(&guard, &without, at(0)), Some(Refusal::DigestMissing));
}

#[test]
fn another_network_costs_a_fresh_nonce() {
    let guard = guard(policy());
    let mut client = Client::open(&guard, 1, at(0));
    assert_eq!(refusal(&guard, &client.get("/api/a", at(0)), at(0)), None);
    client.address = "10.9.9.9";
    let refused = pass(&guard, &client.get("/api/a", at(10)), at(10)).0.unwrap_err();
    assert_eq!(refused.refusal, Refusal::AddressChanged);
    client.adopt(&refused);
    assert_eq!(refusal(&guard, &client.get("/api/a", at(20)), at(20)), None);
    assert_eq!(
        refusal(&guard, &client.get("/api/a", at(30)), at(30)),
        None,
        "and it is at home there"
    );
}

#[test]
fn too_many_networks_end_the_session() {
    let guard = guard(Policy {
        networks_per_hour: 4,
        ..policy()
    });
    let mut client = Client::open(&guard, 1, at(0));
    assert_eq!(refusal(&guard, &client.get("/api/a", at(0)), at(0)), None);
    let moves = ["10.1.0.1", "10.2.0.1", "10.3.0.1", "10.4.0.1", "10.5.0.1"];
    let outcomes = moves.map(|address| {
        client.address = address;
        let refused = pass(&guard, &client.get("/api/a", at(10)), at(10)).0.unwrap_err();
        client.adopt(&refused);
        refusal(&guard, &client.get("/api/a", at(20)), at(20))
    });
    assert_eq!(outcomes, [None, None, None, None, Some(Refusal::AddressUnsteady)]);
}

#[test]
fn another_browser_must_open_its_own_session() {
    let guard = guard(policy());
    let mut client = Client::open(&guard, 1, at(0));
    assert_eq!(refusal(&guard, &client.get("/api/a", at(0)), at(0)), None);
    let thief = client.get("/api/a", at(10)).with("user-agent", "curl/8");
    assert_eq!(refusal(&guard, &thief, at(10)), Some(Refusal::UserAgentChanged));
    assert_eq!(
        refusal(&guard, &client.get("/api/a", at(20)), at(20)),
        Some(Refusal::Suspended),
        "whoever has the key, nobody goes on with it"
    );
}

#[test]
fn a_pushed_out_session_must_be_opened_anew() {
    let mut policy = policy();
    policy.sessions.capacity = 2;
    let guard = guard(policy);
    let mut clients: Vec<_> = (1..=3)
        .map(|name| Client::open(&guard, name, at(u64::from(name))))
        .collect();
    for client in &mut clients {
        assert_eq!(refusal(&guard, &client.get("/api/a", at(10)), at(10)), None);
    }
    assert_eq!(
        refusal(&guard, &clients[0].get("/api/a", at(20)), at(20)),
        Some(Refusal::SessionEvicted)
    );
    assert_eq!(guard.session_count(), 2);
}

fn shop_rules() -> Rules {
    let operation = |name: &str, on: &str| OperationSpec {
        name: name.into(),
        on: on.into(),
        bind: vec![],
    };
    let view = NeedSpec {
        op: "view".into(),
        within: Some(Duration::from_secs(600)),
        bind: vec!["id".into()],
        status: Some("2xx".into()),
    };
    let pay = RuleSpec {
        id: "pay-after-view".into(),
        on: vec!["pay".into()],
        require: vec![view.into()],
        max: Some(MaxSpec {
            count: 1,
            per: Some(Duration::from_secs(3600)),
            bind: vec!["id".into()],
            count_if: Some("2xx".into()),
        }),
        mode: Mode::Enforce,
        score: 40.0,
        ..RuleSpec::default()
    };
    let operations = vec![
        operation("view", "GET /api/orders/{id}"),
        operation("pay", "POST /api/orders/{id}/pay"),
    ];
    Rules::compile(RulesSpec {
        operations,
        rules: vec![pay],
        ..RulesSpec::default()
    })
    .unwrap()
}

fn answer(guard: &Guard, sent: &Sent, status: u16, now: Now) -> Option<Refusal> {
    match pass(guard, sent, now).0 {
        Ok(mut permit) => {
            permit
                .take_receipt()
                .into_iter()
                .for_each(|receipt| _ = guard.complete(receipt, status, now));
            None
        }
        Err(refused) => Some(refused.refusal),
    }
}

#[test]
fn the_business_rules_decide_what_is_possible_now() {
    let guard = guard(Policy {
        rules: shop_rules(),
        ..policy()
    });
    let mut client = Client::open(&guard, 1, at(0));
    let mut call = |method: Method, path: &str, status| {
        let sent = client.call(method, path, b"", at(0));
        answer(&guard, &sent, status, at(0))
    };
    assert_eq!(call(Method::POST, "/api/orders/7/pay", 200), Some(Refusal::Sequence));
    assert_eq!(call(Method::GET, "/api/orders/8", 200), None);
    assert_eq!(call(Method::GET, "/api/orders/7", 404), None);
    assert_eq!(
        call(Method::POST, "/api/orders/7/pay", 200),
        Some(Refusal::Sequence),
        "another id, and not found"
    );
    assert_eq!(call(Method::GET, "/api/orders/7", 200), None);
    assert_eq!(
        call(Method::POST, "/api/orders/7/pay", 402),
        None,
        "it did not work out: refunded"
    );
    assert_eq!(call(Method::POST, "/api/orders/7/pay", 200), None);
    assert!(matches!(
        call(Method::POST, "/api/orders/7/pay", 200),
        Some(Refusal::Quota(_))
    ));
}

#[test]
fn a_session_that_goes_on_is_banned_with_its_connections() {
    let guard = guard(Policy {
        rules: shop_rules(),
        ..policy()
    });
    let mut client = Client::open(&guard, 1, at(0));
    assert_eq!(refusal(&guard, &client.get("/api/orders/1", at(0)), at(0)), None);
    client.connection = 77;
    let mut outcome = None;
    for _ in 0..3 {
        let sent = client.call(Method::POST, "/api/orders/7/pay", b"", at(0));
        outcome = Some(pass(&guard, &sent, at(0)));
    }
    let thresholds = guard.policy().thresholds;
    let expected = [
        Effect::SessionEnded {
            session: SessionId([1; 12]),
            ttl: thresholds.session_ban,
        },
        Effect::DropFlows {
            connections: vec![ConnectionId(1), ConnectionId(77)],
            ttl: thresholds.flow_ban,
            reference: Reference(7),
        },
    ];
    assert_eq!(consequences(&outcome.unwrap()), expected);
    let later = pass(&guard, &client.get("/api/orders/1", at(1000)), at(1000));
    let only_flow = [Effect::DropFlows {
        connections: vec![ConnectionId(77)],
        ttl: thresholds.flow_ban,
        reference: Reference(7),
    }];
    assert_eq!(consequences(&later), only_flow);
    assert!(matches!(later.0.unwrap_err().refusal, Refusal::SessionBanned(_)));
}

#[test]
fn an_address_without_neighbours_is_banned() {
    let guard = guard(policy());
    let attempts = (0..30).map(|n| pass(&guard, &forged(), at(n)));
    let last = attempts.into_iter().find(|outcome| outcome.1.len() > 1).unwrap();
    let network = "10.0.0.9/32".parse().unwrap();
    let ttl = guard.policy().thresholds.address_ban;
    assert_eq!(
        consequences(&last)[0],
        Effect::Ban(KernelBan {
            network,
            ttl,
            origin: Origin::Score
        })
    );
    let banned = pass(&guard, &unsigned("/index.html"), at(30));
    assert!(
        matches!(banned.0.unwrap_err().refusal, Refusal::AddressBanned(_)),
        "public paths too"
    );
    let (ban, effects) = guard.unban(network).unwrap();
    assert_eq!(
        (ban.reference, effects),
        (Some(Reference(7)), vec![Effect::Unban(network)])
    );
    assert_eq!(refusal(&guard, &unsigned("/index.html"), at(40)), None);
}

#[test]
fn neighbours_behind_the_same_address_protect_it() {
    let guard = guard(policy());
    let mut neighbour = Client::open(&guard, 1, at(0));
    assert_eq!(refusal(&guard, &neighbour.get("/api/a", at(0)), at(0)), None);
    for n in 0..40 {
        let outcome = pass(
            &guard,
            &Sent {
                address: neighbour.address,
                ..forged()
            },
            at(n),
        );
        assert!(
            !consequences(&outcome)
                .iter()
                .any(|effect| matches!(effect, Effect::Ban(_))),
            "attempt {n}"
        );
        if n == 39 {
            assert!(
                matches!(&consequences(&outcome)[0], Effect::DropFlows { connections, .. } if connections == &[ConnectionId(99)])
            );
        }
    }
    assert_eq!(refusal(&guard, &neighbour.get("/api/a", at(50)), at(50)), None);
}

#[test]
fn never_ban_wins_over_any_score() {
    let guard = guard(Policy {
        never_ban: vec!["10.0.0.0/24".parse().unwrap()],
        ..policy()
    });
    for n in 0..40 {
        let outcome = pass(&guard, &forged(), at(n));
        assert!(!outcome.1.iter().any(|effect| matches!(effect, Effect::Ban(_))));
    }
    assert_eq!(guard.bans(at(50)), []);
}

#[test]
fn a_flood_bans_its_source_but_not_over_never_ban_clean_neighbours_or_monitor_mode() {
    let client = ClientAddress::new("10.0.0.1".parse().unwrap());
    let minute = Duration::from_secs(60);
    let bans = |guard: &Guard, ms| {
        let effects = guard.ban_flood(client, minute, Reference(5), at(ms));
        let said = guard.incident(Reference(5)).unwrap().explanation;
        let banned = effects.iter().any(|effect| matches!(effect, Effect::Ban(_)));
        assert_eq!(banned, !guard.bans(at(ms)).is_empty());
        assert!(matches!(effects.last(), Some(Effect::Report(_))));
        (banned, said)
    };
    let enforcing = guard(policy());
    let (banned, said) = bans(&enforcing, 0);
    assert!(banned && said.contains("banned"), "{said}");
    let ban = &enforcing.bans(at(0))[0];
    assert_eq!((ban.origin, ban.remaining(at(0))), (Origin::Rate, minute));

    let exempt = guard(Policy {
        never_ban: vec!["10.0.0.0/24".parse().unwrap()],
        ..policy()
    });
    let (banned, said) = bans(&exempt, 0);
    assert!(!banned && said.contains("never banned"), "{said}");

    let watching = guard(Policy {
        mode: Mode::Monitor,
        ..policy()
    });
    let (banned, said) = bans(&watching, 0);
    assert!(!banned && said.contains("would be banned"), "{said}");

    let shared = guard(policy());
    shared.sources.vouch(client.source(), SessionId([1; 12]), at(0).mono);
    let (banned, said) = bans(&shared, 1_000);
    assert!(!banned && said.contains("spared"), "{said}");
    let (banned, _) = bans(&shared, 3_600_000);
    assert!(banned, "the guard ends");
}

#[test]
fn monitor_mode_lets_everything_through_and_says_what_would_have_been() {
    let watching = guard(Policy {
        mode: Mode::Monitor,
        ..policy()
    });
    let enforcing = guard(policy());
    for n in 0..40 {
        let outcome = pass(&watching, &forged(), at(n));
        assert_eq!(consequences(&outcome), []);
        assert!(outcome.0.unwrap_err().waived.is_some());
        let _ = pass(&enforcing, &forged(), at(n));
        let told = |guard: &Guard| {
            let incident = guard.incident(Reference(7)).unwrap();
            (incident.refusal, incident.consequences, incident.address_points)
        };
        assert_eq!(told(&watching), told(&enforcing), "attempt {n}");
    }
    assert_eq!(watching.bans(at(50)), []);
    assert_eq!(enforcing.bans(at(50)).len(), 1);
    let incident = watching.incident(Reference(7)).unwrap();
    assert_eq!((incident.waived, incident.mood), (true, Mood::Would));
}

#[test]
fn monitor_mode_never_forwards_what_has_two_readings() {
    for refusal in [
        Refusal::HostInvalid,
        Refusal::FramingInvalid,
        Refusal::PathAmbiguous,
        Refusal::BodyTooLarge,
    ] {
        assert!(!refusal.can_be_waived(), "{refusal:?}");
    }
}

#[test]
fn a_revoked_session_is_over_and_the_client_is_not_told_why() {
    let guard = guard(policy());
    let mut client = Client::open(&guard, 1, at(0));
    assert_eq!(refusal(&guard, &client.get("/api/a", at(0)), at(0)), None);
    assert!(guard.revoke(SessionId([1; 12]), at(5)).is_some());
    assert!(guard.revoke(SessionId([1; 12]), at(5)).is_none());
    assert_eq!(
        refusal(&guard, &client.get("/api/a", at(10)), at(10)),
        Some(Refusal::SessionRevoked)
    );
    assert_eq!(Refusal::SessionRevoked.problem(), Refusal::SessionForged.problem());
}

#[test]
fn an_ecdh_session_signs_with_the_derived_key() {
    let guard = guard(policy());
    // The base point as the client's key: its private key is 1, so the shared secret is the gate's own x coordinate.
    let base = "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296\
                4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5";
    let point: Vec<u8> = (0..base.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&base[i..i + 2], 16).unwrap())
        .collect();
    let entropy = SessionEntropy {
        id: [1; 12],
        secret: Zeroizing::new([3; 32]),
        salt: [9; 32],
    };
    let request = AgreementRequest::EcdhP256(point);
    let opened = guard
        .open_session(&request, &entropy, address("10.0.0.1"), at(0))
        .unwrap();
    let Agreed::EcdhP256 { public_key, salt } = opened.agreed else {
        panic!("asked for ECDH")
    };
    assert_eq!((public_key[0], salt), (4, [9; 32]));
    let AgreementRequest::EcdhP256(point) = request else {
        unreachable!()
    };
    let mut key = SigningKey([0; 32]);
    Hkdf::<Sha256>::new(Some(&salt), &public_key[1..33])
        .expand_multi_info(
            &[b"portcullis-1/ecdh-p256/hmac-sha256\0", &point, &public_key],
            &mut key.0,
        )
        .unwrap();
    let mut client = Client {
        session_id: opened.session_id,
        key,
        ..Client::open(&guard, 2, at(0))
    };
    assert_eq!(refusal(&guard, &client.get("/api/a", at(0)), at(0)), None);
    let bad = AgreementRequest::EcdhP256(vec![4; 65]);
    assert_eq!(
        guard.open_session(&bad, &entropy, address("10.0.0.1"), at(0)).err(),
        Some(Refusal::SessionRequestMalformed)
    );
}
