//! Sessions that are used from elsewhere, on the whole way through the guard.

use super::*;
use crate::policy::{BindingPolicy, Route, RoutePolicy, Routes};

/// Places from which the ladder asks nothing, and one from which it asks for a fresh nonce.
const HOME: &str = "10.0.0.1";
const NEARBY: &str = "10.0.0.77";
const OTHER_FAMILY: &str = "2001:db8::1";
const AWAY: &str = "10.9.9.9";

fn from(sent: &Sent, address: &'static str) -> Sent {
    Sent {
        address,
        ..sent.clone()
    }
}

#[test]
fn a_copy_passes_from_nowhere() {
    for place in [HOME, NEARBY, OTHER_FAMILY, AWAY] {
        let guard = guard(policy());
        let mut client = Client::open(&guard, 1, at(0));
        assert_eq!(refusal(&guard, &client.get("/api/a", at(0)), at(0)), None);
        let call = client.get("/api/b", at(10));
        assert_eq!(refusal(&guard, &call, at(10)), None);
        let copy = from(&call, place);
        let refused = refusal(&guard, &copy, at(20)).unwrap();
        let expected = if place == HOME {
            Refusal::ReplayEchoed
        } else {
            Refusal::Replay
        };
        assert_eq!(refused, expected, "{place}");
        let stale = from(&call, place);
        assert_eq!(
            refusal(&guard, &stale, at(60_000)),
            Some(Refusal::SignatureExpired),
            "{place}"
        );
    }
}

#[test]
fn another_tls_stack_must_sign_again_and_costs_points() {
    let guard = guard(policy());
    let mut client = Client::open(&guard, 1, at(0));
    let by = |program, sent| Sent {
        program: Some(program),
        ..sent
    };
    let first = by(1, client.get("/api/a", at(0)));
    assert_eq!(refusal(&guard, &first, at(0)), None);
    let refused = pass(&guard, &by(2, client.get("/api/a", at(10))), at(10))
        .0
        .unwrap_err();
    assert_eq!(refused.refusal, Refusal::HabitsChanged);
    client.adopt(&refused);
    assert_eq!(refusal(&guard, &by(2, client.get("/api/a", at(20))), at(20)), None);
    assert_eq!(guard.sessions(at(20))[0].score.round(), 20.0);
    for program in [1, 2, 1] {
        assert_eq!(
            refusal(&guard, &by(program, client.get("/api/a", at(30))), at(30)),
            None
        );
    }
    assert_eq!(guard.sessions(at(30))[0].score.round(), 20.0, "both are known");
}

#[test]
fn a_call_that_was_stopped_on_its_way_passes_from_no_other_network() {
    let guard = guard(policy());
    let mut client = Client::open(&guard, 1, at(0));
    assert_eq!(refusal(&guard, &client.get("/api/a", at(0)), at(0)), None);
    let stopped = client.get("/api/b", at(10));
    let attempt = pass(&guard, &from(&stopped, AWAY), at(20)).0.unwrap_err();
    assert_eq!(attempt.refusal, Refusal::AddressChanged);
    // What the gate offers is of use to the holder of the key alone, and the stopped call is spent.
    assert_eq!(refusal(&guard, &stopped, at(30)), Some(Refusal::ReplayEchoed));
    assert_eq!(
        refusal(&guard, &client.get("/api/b", at(40)), at(40)),
        None,
        "the owner goes on"
    );
}

#[test]
fn a_fresh_nonce_is_good_in_the_network_that_asked_for_it() {
    let guard = guard(policy());
    let mut client = Client::open(&guard, 1, at(0));
    assert_eq!(refusal(&guard, &client.get("/api/a", at(0)), at(0)), None);
    client.address = AWAY;
    let refused = pass(&guard, &client.get("/api/a", at(10)), at(10)).0.unwrap_err();
    client.adopt(&refused);
    client.address = "10.8.8.8";
    assert_eq!(
        refusal(&guard, &client.get("/api/a", at(20)), at(20)),
        Some(Refusal::StreamUnknown)
    );
    client.adopt(&refused);
    client.address = "10.9.9.10";
    assert_eq!(
        refusal(&guard, &client.get("/api/a", at(30)), at(30)),
        None,
        "a carrier's other address"
    );
}

#[test]
fn several_calls_at_once_from_a_new_network_share_one_nonce() {
    let guard = guard(policy());
    let mut client = Client::open(&guard, 1, at(0));
    assert_eq!(refusal(&guard, &client.get("/api/a", at(0)), at(0)), None);
    client.address = AWAY;
    let calls = [(); 4].map(|()| client.get("/api/a", at(10)));
    let answers = calls.map(|call| pass(&guard, &call, at(10)).0.unwrap_err());
    client.adopt(&answers[2]);
    let mut again = [(); 4].map(|()| client.get("/api/a", at(20)));
    again.reverse();
    for call in again {
        assert_eq!(refusal(&guard, &call, at(20)), None);
    }
    let session = &guard.sessions(at(20))[0];
    assert!((1.9..=2.0).contains(&session.score), "one move: {}", session.score);
}

#[test]
fn a_route_may_be_strict_or_unbound() {
    let route = |path: &str, binding| Route {
        paths: vec![PathPattern::parse(path).unwrap()],
        binding: Some(binding),
        ..Route::default()
    };
    let routes = vec![
        route("/api/admin/**", BindingPolicy::Strict),
        route("/api/feed", BindingPolicy::Off),
    ];
    let guard = guard(Policy {
        routes: Routes::new(routes, RoutePolicy::default()),
        ..policy()
    });
    let mut client = Client::open(&guard, 1, at(0));
    assert_eq!(refusal(&guard, &client.get("/api/admin/x", at(0)), at(0)), None);
    let mut attempt = |address, path, ms| {
        client.address = address;
        refusal(&guard, &client.get(path, at(ms)), at(ms))
    };
    assert_eq!(attempt(NEARBY, "/api/a", 10), None);
    assert_eq!(attempt(AWAY, "/api/feed", 20), None);
    assert_eq!(
        attempt(AWAY, "/api/a", 30),
        Some(Refusal::AddressChanged),
        "it was not learned"
    );
    assert_eq!(attempt(NEARBY, "/api/admin/x", 40), Some(Refusal::AddressUnsteady));
}

#[test]
fn monitor_mode_tells_of_each_change_once() {
    let guard = guard(Policy {
        mode: Mode::Monitor,
        ..policy()
    });
    let mut client = Client::open(&guard, 1, at(0));
    let mut attempt = |address, agent, ms| {
        (client.address, client.agent) = (address, agent);
        refusal(&guard, &client.get("/api/a", at(ms)), at(ms))
    };
    assert_eq!(attempt(HOME, "Firefox/153", 0), None);
    assert_eq!(attempt(AWAY, "Firefox/153", 10), Some(Refusal::AddressChanged));
    assert_eq!(attempt(AWAY, "Firefox/153", 20), None);
    assert_eq!(attempt(AWAY, "curl/8", 30), Some(Refusal::UserAgentChanged));
    assert_eq!(attempt(AWAY, "curl/8", 40), None);
}
