//! Suspension, the way back through the application's login, and users.

use super::*;
use crate::reauth::{LoginRoute, LoginRoutes, Return, SessionWord};
use crate::session::SessionStatus;

const AWAY: &str = "10.9.9.9";

fn policy_with_login() -> Policy {
    Policy {
        logins: LoginRoutes(vec![LoginRoute {
            method: Method::POST,
            paths: PathPattern::parse("/api/login").unwrap(),
        }]),
        ..policy()
    }
}

fn bind(user: &str) -> SessionWord {
    SessionWord::Bind(user.into())
}

/// The application's word on a call that was forwarded.
fn says(guard: &Guard, outcome: Outcome, word: &SessionWord, status: u16, now: Now) -> Option<Refusal> {
    heeded(guard, outcome, word, status, now)
        .outcome
        .err()
        .map(|refused| refused.refusal)
}

fn heeded(guard: &Guard, outcome: Outcome, word: &SessionWord, status: u16, now: Now) -> Judgement<()> {
    let mut permit = outcome.0.unwrap();
    let caller = permit.take_caller().unwrap();
    let sent = unsigned("/api/login");
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
        has_body: false,
        client: address(sent.address),
        fingerprint: None,
        trusted: false,
        connection: ConnectionId(sent.connection),
        reference: Reference(7),
    };
    guard.heed(caller, word, status, &request, now)
}

fn login(client: &mut Client, now: Now) -> Sent {
    client.call(Method::POST, "/api/login", b"{}", now)
}

fn user_of(guard: &Guard) -> Option<String> {
    guard.sessions(at(0))[0].user.clone()
}

/// A session that somebody used by another browser; the client is the owner.
fn suspended(guard: &Guard, user: Option<&str>) -> Client {
    let mut client = Client::open(guard, 1, at(0));
    assert_eq!(refusal(guard, &client.get("/api/a", at(0)), at(0)), None);
    if let Some(user) = user {
        let outcome = pass(guard, &login(&mut client, at(1)), at(1));
        assert_eq!(says(guard, outcome, &bind(user), 200, at(1)), None);
    }
    let thief = client.get("/api/a", at(10)).with("user-agent", "curl/8");
    let refused = pass(guard, &thief, at(10)).0.unwrap_err();
    assert_eq!(refused.refusal, Refusal::UserAgentChanged);
    client
}

/// Logs in as the SDK does: signs again when it is asked to.
fn log_in(guard: &Guard, client: &mut Client, ms: u64) -> Outcome {
    let refused = pass(guard, &login(client, at(ms)), at(ms)).0.unwrap_err();
    assert_eq!(refused.refusal, Refusal::LoginStale);
    client.adopt(&refused);
    pass(guard, &login(client, at(ms)), at(ms))
}

#[test]
fn a_suspended_session_passes_nowhere_but_at_the_login() {
    let guard = guard(policy_with_login());
    let mut client = suspended(&guard, None);
    let refused = pass(&guard, &client.get("/api/a", at(20)), at(20)).0.unwrap_err();
    assert_eq!(
        (refused.refusal, refused.way_back),
        (Refusal::Suspended, Some(Return::Login))
    );
    let other = client.get("/api/login", at(20));
    assert_eq!(
        refusal(&guard, &other, at(20)),
        Some(Refusal::Suspended),
        "another method"
    );
    assert_eq!(guard.sessions(at(20))[0].status, SessionStatus::Suspended);
    client.address = AWAY;
    let outcome = log_in(&guard, &mut client, 30);
    assert_eq!(says(&guard, outcome, &bind("alice"), 204, at(30)), None);
    assert_eq!(
        refusal(&guard, &client.get("/api/a", at(40)), at(40)),
        None,
        "where the login came from"
    );
    assert_eq!(user_of(&guard).as_deref(), Some("alice"));
    client.address = "10.0.0.1";
    assert_eq!(
        refusal(&guard, &client.get("/api/a", at(50)), at(50)),
        Some(Refusal::AddressChanged)
    );
}

#[test]
fn only_a_successful_login_restores() {
    let guard = guard(policy_with_login());
    let mut client = suspended(&guard, None);
    let outcome = log_in(&guard, &mut client, 20);
    assert_eq!(says(&guard, outcome, &bind("alice"), 401, at(20)), None);
    assert_eq!(
        refusal(&guard, &client.get("/api/a", at(30)), at(30)),
        Some(Refusal::Suspended)
    );
    assert_eq!(user_of(&guard), None);
}

#[test]
fn an_answer_that_was_under_way_restores_nothing() {
    let guard = guard(policy_with_login());
    let mut client = Client::open(&guard, 1, at(0));
    let under_way = pass(&guard, &client.get("/api/a", at(0)), at(0));
    let thief = client.get("/api/a", at(10)).with("user-agent", "curl/8");
    assert_eq!(refusal(&guard, &thief, at(10)), Some(Refusal::UserAgentChanged));
    assert_eq!(says(&guard, under_way, &bind("alice"), 200, at(20)), None);
    assert_eq!(
        refusal(&guard, &client.get("/api/a", at(30)), at(30)),
        Some(Refusal::Suspended)
    );
}

#[test]
fn without_a_login_a_new_session_is_the_way_back() {
    let guard = guard(policy());
    let mut client = suspended(&guard, None);
    let refused = pass(&guard, &client.get("/api/a", at(20)), at(20)).0.unwrap_err();
    assert_eq!(
        (refused.refusal, refused.way_back),
        (Refusal::Suspended, Some(Return::Session))
    );
    let mut again = Client::open(&guard, 2, at(30));
    assert_eq!(refusal(&guard, &again.get("/api/a", at(30)), at(30)), None);
}

#[test]
fn another_user_cannot_take_a_session_over() {
    for is_suspended in [false, true] {
        let guard = guard(policy_with_login());
        let mut client = if is_suspended {
            suspended(&guard, Some("alice"))
        } else {
            Client::open(&guard, 1, at(0))
        };
        let outcome = if is_suspended {
            log_in(&guard, &mut client, 20)
        } else {
            let outcome = pass(&guard, &login(&mut client, at(10)), at(10));
            assert_eq!(says(&guard, outcome, &bind("alice"), 200, at(10)), None);
            pass(&guard, &login(&mut client, at(20)), at(20))
        };
        assert_eq!(
            says(&guard, outcome, &bind("mallory"), 200, at(20)),
            Some(Refusal::UserSwitched)
        );
        assert_eq!(
            refusal(&guard, &client.get("/api/a", at(30)), at(30)),
            Some(Refusal::SessionRevoked)
        );
    }
}

#[test]
fn the_same_user_comes_back_and_the_application_learns_who_calls() {
    let guard = guard(policy_with_login());
    let mut client = suspended(&guard, Some("alice"));
    let outcome = log_in(&guard, &mut client, 20);
    assert_eq!(says(&guard, outcome, &bind("alice"), 200, at(20)), None);
    let permit = pass(&guard, &client.get("/api/a", at(30)), at(30)).0.unwrap();
    assert_eq!(permit.user(), Some("alice"));
}

#[test]
fn a_logout_ends_the_session_and_spares_the_connections() {
    let guard = guard(policy_with_login());
    let mut client = Client::open(&guard, 1, at(0));
    let outcome = pass(&guard, &client.get("/api/logout", at(0)), at(0));
    let judgement = heeded(&guard, outcome, &SessionWord::End, 500, at(10));
    assert!(judgement.outcome.is_ok());
    assert!(
        matches!(judgement.effects[..], [Effect::SessionEnded { .. }]),
        "{:?}",
        judgement.effects
    );
    assert_eq!(
        refusal(&guard, &client.get("/api/a", at(20)), at(20)),
        Some(Refusal::SessionRevoked)
    );
}

#[test]
fn monitor_mode_suspends_nobody() {
    let guard = guard(Policy {
        mode: Mode::Monitor,
        ..policy_with_login()
    });
    let mut client = suspended(&guard, Some("alice"));
    client.agent = "curl/8";
    assert_eq!(refusal(&guard, &client.get("/api/a", at(20)), at(20)), None);
    let outcome = pass(&guard, &login(&mut client, at(30)), at(30));
    assert_eq!(
        says(&guard, outcome, &bind("bob"), 200, at(30)),
        Some(Refusal::UserSwitched),
        "reported"
    );
    assert_eq!(user_of(&guard).as_deref(), Some("bob"));
}
