//! The ladder, rung by rung, and the people who climb it without knowing.

use http::header::{ACCEPT_LANGUAGE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::ladder::Surroundings;
use super::*;
use crate::fingerprint::Fingerprint;
use crate::policy::BindingPolicy;
use crate::time::MonoMillis;

const CHROME: &str =
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36";
const LADDER: Ladder = Ladder {
    address: BindingPolicy::Ladder,
    user_agent: BindingPolicy::Ladder,
    per_hour: 3,
};
const SEC_CH_UA: HeaderName = HeaderName::from_static("sec-ch-ua");
const SEC_CH_UA_PLATFORM: HeaderName = HeaderName::from_static("sec-ch-ua-platform");
const SECOND: u64 = 1000;
const HOUR: u64 = 3600 * SECOND;

/// A browser, and the session that it uses.
struct Visitor {
    headers: HeaderMap,
    surroundings: Surroundings,
    ladder: Ladder,
    program: Option<Fingerprint>,
    now: u64,
}

impl Visitor {
    fn at(address: &str) -> Self {
        let headers = HeaderMap::from_iter([
            (USER_AGENT, HeaderValue::from_static(CHROME)),
            (ACCEPT_LANGUAGE, HeaderValue::from_static("de,en;q=0.5")),
            (SEC_CH_UA, HeaderValue::from_static("\"Chromium\";v=\"120\"")),
            (SEC_CH_UA_PLATFORM, HeaderValue::from_static("\"Linux\"")),
        ]);
        let seen = binding(address, None, &headers);
        let surroundings = Surroundings::new(&seen, &headers, MonoMillis(0));
        Self {
            headers,
            surroundings,
            ladder: LADDER,
            program: None,
            now: 0,
        }
    }

    fn set(&mut self, name: HeaderName, value: &str) {
        self.headers.insert(name, HeaderValue::from_str(value).unwrap());
    }

    /// A call `after` milliseconds.
    fn try_call(&mut self, address: &str, fresh: bool, after: u64) -> Result<Moved, Objection> {
        self.now += after;
        let seen = binding(address, self.program, &self.headers);
        self.surroundings
            .follow(&seen, &self.headers, &self.ladder, fresh, MonoMillis(self.now))
    }

    fn call(&mut self, address: &str) -> Result<Moved, Objection> {
        self.try_call(address, false, SECOND)
    }

    fn call_fresh(&mut self, address: &str) -> Result<Moved, Objection> {
        self.try_call(address, true, SECOND)
    }

    /// What the SDK does: it signs again when it is asked to. Whether that was needed.
    fn go_on(&mut self, address: &str) -> bool {
        match self.try_call(address, false, 20 * SECOND) {
            Ok(_) => false,
            Err(objection) => {
                assert!(!objection.needs_reauthentication(), "{objection:?} at {address}");
                self.call_fresh(address).unwrap();
                true
            }
        }
    }
}

fn binding(address: &str, program: Option<Fingerprint>, headers: &HeaderMap) -> Binding {
    Binding::of(ClientAddress::new(address.parse().unwrap()), program, headers)
}

#[test]
fn another_tls_stack_under_the_same_name_needs_a_fresh_nonce() {
    let mut visitor = Visitor::at("10.0.0.1");
    for (program, is_asked) in [
        (1, false),
        (2, true),
        (1, false),
        (2, false),
        (3, true),
        (2, true),
        (1, false),
    ] {
        visitor.program = Some(Fingerprint::named(program));
        assert_eq!(visitor.go_on("10.0.0.1"), is_asked, "{program}");
    }
    visitor.program = None;
    assert!(!visitor.go_on("10.0.0.1"), "nobody saw a handshake");
    visitor.program = Some(Fingerprint::named(9));
    visitor.ladder.user_agent = BindingPolicy::Off;
    assert!(!visitor.go_on("10.0.0.1"));
}

#[test]
fn a_newer_browser_may_bring_another_tls_stack() {
    let mut visitor = Visitor::at("10.0.0.1");
    visitor.program = Some(Fingerprint::named(1));
    assert!(!visitor.go_on("10.0.0.1"));
    visitor.program = Some(Fingerprint::named(2));
    visitor.set(USER_AGENT, &CHROME.replace("Chrome/120", "Chrome/121"));
    assert!(!visitor.go_on("10.0.0.1"));
}

#[test]
fn another_network_needs_a_fresh_nonce_and_is_known_then() {
    let mut visitor = Visitor::at("10.0.0.1");
    assert_eq!(visitor.call("10.0.0.1"), Ok(Moved::No));
    assert_eq!(visitor.call("198.51.100.7"), Err(Objection::Network));
    assert_eq!(
        visitor.call("198.51.100.7"),
        Err(Objection::Network),
        "asking changes nothing"
    );
    assert_eq!(visitor.call_fresh("198.51.100.7"), Ok(Moved::Away));
    assert_eq!(visitor.call("198.51.100.7"), Ok(Moved::No));
    assert_eq!(
        visitor.call("10.0.0.1"),
        Ok(Moved::No),
        "the old network is still known"
    );
}

#[test]
fn nat_with_a_pool_of_addresses_costs_next_to_nothing() {
    let mut visitor = Visitor::at("203.0.113.1");
    let moves: Vec<_> = (2..=200)
        .map(|host| visitor.call(&format!("203.0.113.{host}")).unwrap())
        .collect();
    assert_eq!(moves.iter().filter(|moved| **moved == Moved::Nearby).count(), 1);
    visitor.now += HOUR;
    assert_eq!(
        visitor.call("203.0.113.1"),
        Ok(Moved::Nearby),
        "and again after a while"
    );
}

#[test]
fn mobile_roaming_is_never_seen_by_the_user() {
    let mut visitor = Visitor::at("192.0.2.10");
    // Out of the house, into the train and the office; the phone flips while it changes.
    let (home, cell, train, office) = ("192.0.2.10", "198.51.100.1", "203.0.113.5", "10.1.2.3");
    let asked: Vec<bool> = [
        home, cell, home, cell, cell, train, cell, train, train, office, office, home,
    ]
    .map(|address| visitor.go_on(address))
    .to_vec();
    assert_eq!(
        asked.iter().filter(|asked| **asked).count(),
        3,
        "once for each new network"
    );
}

#[test]
fn a_dual_stack_phone_on_its_way_is_not_several_people() {
    let mut visitor = Visitor::at("192.0.2.10");
    let (home, cell) = (["192.0.2.10", "2001:db8:1:1::1"], ["198.51.100.1", "2001:db8:2:1::1"]);
    for address in [
        home[0], home[1], home[0], cell[0], cell[1], home[1], cell[0], home[0], cell[1],
    ] {
        visitor.go_on(address);
    }
}

#[test]
fn happy_eyeballs_flip_between_the_families_without_a_question() {
    let mut visitor = Visitor::at("192.0.2.10");
    for _ in 0..50 {
        assert_eq!(visitor.try_call("2001:db8:1:1::1", false, 10), Ok(Moved::No));
        assert_eq!(visitor.try_call("192.0.2.10", false, 10), Ok(Moved::No));
    }
    assert_eq!(
        visitor.call("2001:db8:2:1::1"),
        Err(Objection::Network),
        "the other family is learned once"
    );
}

#[test]
fn ipv6_privacy_addresses_are_the_same_host() {
    let mut visitor = Visitor::at("2001:db8:1:1::1");
    for address in ["2001:db8:1:1:dead:beef:0:1", "2001:db8:1:1:ffff:ffff:ffff:ffff"] {
        assert_eq!(visitor.call(address), Ok(Moved::No));
    }
    assert_eq!(
        visitor.call("2001:db8:1:2::1"),
        Ok(Moved::Nearby),
        "another line of the same site"
    );
    assert_eq!(visitor.call("2001:db8:2:1::1"), Err(Objection::Network));
}

#[test]
fn nat64_and_mapped_addresses_are_the_ipv4_host() {
    let mut visitor = Visitor::at("203.0.113.7");
    assert_eq!(visitor.call("64:ff9b::203.0.113.7"), Ok(Moved::No));
    assert_eq!(visitor.call("::ffff:203.0.113.7"), Ok(Moved::No));
    assert_eq!(visitor.call("64:ff9b::198.51.100.1"), Err(Objection::Network));
}

#[test]
fn a_browser_update_passes_and_another_browser_does_not() {
    let mut visitor = Visitor::at("10.0.0.1");
    visitor.set(USER_AGENT, &CHROME.replace("120", "121"));
    visitor.set(SEC_CH_UA, "\"Chromium\";v=\"121\"");
    assert_eq!(visitor.call("10.0.0.1"), Ok(Moved::No));
    visitor.set(USER_AGENT, CHROME);
    assert_eq!(visitor.call("10.0.0.1"), Err(Objection::UserAgent), "no step back");
    visitor.set(USER_AGENT, "curl/8");
    assert_eq!(
        visitor.call_fresh("10.0.0.1"),
        Err(Objection::UserAgent),
        "a nonce does not help"
    );
}

#[test]
fn habits_alone_never_ask_for_more_than_a_nonce() {
    let mut visitor = Visitor::at("10.0.0.1");
    visitor.set(ACCEPT_LANGUAGE, "fr");
    assert_eq!(
        visitor.call("10.0.0.1"),
        Ok(Moved::No),
        "pages set the language themselves"
    );
    visitor.set(ACCEPT_LANGUAGE, "de");
    assert_eq!(visitor.call("10.0.0.2"), Err(Objection::Habits), "two small things");
    assert_eq!(visitor.call_fresh("10.0.0.2"), Ok(Moved::Nearby));
    for (name, value) in [(SEC_CH_UA, "\"Other\""), (SEC_CH_UA_PLATFORM, "\"Windows\"")] {
        visitor.set(name, value);
        assert_eq!(visitor.call("10.0.0.2"), Err(Objection::Habits));
        assert_eq!(visitor.call_fresh("10.0.0.2"), Ok(Moved::No));
    }
    visitor.headers.remove(SEC_CH_UA_PLATFORM);
    assert_eq!(visitor.call("10.0.0.2"), Ok(Moved::No), "silence is no evidence");
    visitor.set(SEC_CH_UA_PLATFORM, "\"Linux\"");
    assert_eq!(visitor.call("10.0.0.2"), Err(Objection::Habits), "and erases none");
}

#[test]
fn more_networks_than_allowed_in_an_hour_need_a_login() {
    let mut visitor = Visitor::at("10.0.0.1");
    for network in 1..=3 {
        assert_eq!(
            visitor.try_call(&format!("10.{network}.0.1"), true, 120 * SECOND),
            Ok(Moved::Away)
        );
    }
    assert_eq!(
        visitor.try_call("10.9.0.1", true, 120 * SECOND),
        Err(Objection::Unsteady)
    );
    assert_eq!(visitor.try_call("10.9.0.1", true, HOUR), Ok(Moved::Away));
}

#[test]
fn back_and_forth_between_three_networks_is_not_one_person() {
    let mut visitor = Visitor::at("10.1.0.1");
    for address in ["10.2.0.1", "10.3.0.1", "10.1.0.1", "10.2.0.1"] {
        let _ = visitor.call_fresh(address);
    }
    assert_eq!(visitor.call("10.3.0.1"), Err(Objection::Concentrated));
}

#[test]
fn one_network_after_another_is_a_journey() {
    let mut visitor = Visitor::at("10.1.0.1");
    for address in ["10.1.0.1", "10.2.0.1", "10.2.0.1", "10.3.0.1", "10.3.0.1"] {
        visitor.go_on(address);
    }
    // Home again, later: the stays do not touch.
    visitor.now += 120 * SECOND;
    assert_eq!(visitor.call("10.1.0.1"), Ok(Moved::No));
    visitor.now += 120 * SECOND;
    assert_eq!(visitor.call("10.2.0.1"), Ok(Moved::No));
}

#[test]
fn only_the_last_networks_are_remembered() {
    let mut visitor = Visitor::at("10.0.0.1");
    visitor.ladder.per_hour = 10;
    for network in 1..=4 {
        assert_eq!(
            visitor.try_call(&format!("10.{network}.0.1"), true, 120 * SECOND),
            Ok(Moved::Away)
        );
    }
    assert_eq!(
        visitor.call("10.0.0.1"),
        Err(Objection::Network),
        "the oldest is forgotten"
    );
    assert_eq!(visitor.call("10.4.0.1"), Ok(Moved::No));
    assert!(size_of::<Surroundings>() <= 192, "{}", size_of::<Surroundings>());
}

#[test]
fn strict_means_the_place_of_the_login() {
    let mut visitor = Visitor::at("10.0.0.1");
    visitor.call_fresh("10.9.0.1").unwrap();
    visitor.ladder.address = BindingPolicy::Strict;
    assert_eq!(visitor.call("10.0.0.1"), Ok(Moved::No));
    for address in ["10.9.0.1", "10.0.0.2", "2001:db8::1"] {
        assert_eq!(visitor.call_fresh(address), Err(Objection::Unsteady), "{address}");
    }
    visitor.ladder = Ladder {
        user_agent: BindingPolicy::Strict,
        ..LADDER
    };
    visitor.set(USER_AGENT, &CHROME.replace("120", "121"));
    assert_eq!(
        visitor.call("10.0.0.1"),
        Err(Objection::UserAgent),
        "not even an update"
    );
}

#[test]
fn what_an_unbound_route_lets_pass_is_not_learned() {
    let mut visitor = Visitor::at("10.0.0.1");
    let off = BindingPolicy::Off;
    visitor.ladder = Ladder {
        address: off,
        user_agent: off,
        ..LADDER
    };
    let browser = visitor.headers.clone();
    visitor.set(USER_AGENT, "curl/8");
    assert_eq!(visitor.call("10.9.0.1"), Ok(Moved::No));
    visitor.ladder = LADDER;
    assert_eq!(visitor.call("10.0.0.1"), Err(Objection::UserAgent));
    visitor.headers = browser;
    assert_eq!(visitor.call("10.9.0.1"), Err(Objection::Network));
}

#[test]
fn a_login_restores_the_session_where_it_was_made_and_keeps_its_user() {
    let mut visitor = Visitor::at("10.0.0.1");
    visitor.surroundings.suspend();
    assert!(visitor.surroundings.is_suspended());
    let seen = binding("10.9.0.1", None, &visitor.headers);
    let there = Surroundings::new(&seen, &visitor.headers, MonoMillis(visitor.now));
    visitor.surroundings.restore(&"alice".into(), &there);
    assert!(!visitor.surroundings.is_suspended());
    assert_eq!(visitor.surroundings.user().map(|user| &**user), Some("alice"));
    assert_eq!(visitor.call("10.9.0.1"), Ok(Moved::No));
    assert_eq!(visitor.call("10.0.0.1"), Err(Objection::Network));
}
