//! The steps of the ladder: growth, prefixes, shares.

use super::*;
use crate::verdict::{Consequence, Spared};

fn from(address: &'static str, sent: Sent) -> Sent {
    Sent { address, ..sent }
}

fn leaked(text: String) -> &'static str {
    text.leak()
}

fn told(guard: &Guard) -> Vec<Consequence> {
    guard.incident(Reference(7)).unwrap().consequences
}

/// Forged calls until the address is banned; the length of the ban in seconds.
fn offend(guard: &Guard, address: &'static str, ms: u64) -> u64 {
    for n in 0..100 {
        let outcome = pass(guard, &from(address, forged()), at(ms + n));
        for effect in &outcome.1 {
            if let Effect::Ban(ban) = effect {
                return ban.ttl.as_secs();
            }
        }
    }
    panic!("never banned")
}

#[test]
fn bans_of_an_address_grow_and_are_forgiven() {
    let guard = guard(policy());
    let lengths = [0, 1_000_000, 4_000_000].map(|ms| offend(&guard, "10.0.0.9", ms));
    assert_eq!(lengths[0], 900);
    assert!((1700..1800).contains(&lengths[1]), "a little is forgotten: {lengths:?}");
    assert!((3200..3600).contains(&lengths[2]), "{lengths:?}");
    let _ = guard.unban("10.0.0.9/32".parse().unwrap()).unwrap();
    assert_eq!(offend(&guard, "10.0.0.9", 5_000_000), 900, "the operator forgave");
}

/// One forged call from each of these addresses; the prefixes that this bans.
fn sweep(guard: &Guard, addresses: impl Iterator<Item = String>, ms: u64) -> Vec<String> {
    let banned = addresses.flat_map(|address| {
        let sent = from(leaked(address), forged());
        pass(guard, &sent, at(ms)).1
    });
    let mut networks = Vec::new();
    for effect in banned {
        if let Effect::Ban(ban) = effect {
            networks.push(ban.network.to_string());
        }
    }
    networks
}

#[test]
fn a_prefix_is_banned_only_when_many_addresses_in_it_misbehave() {
    let guard = guard(policy());
    let rotating = |n: u32| format!("10.3.0.{}", n % 200);
    assert_eq!(sweep(&guard, (0..79).map(rotating), 0), Vec::<String>::new());
    assert_eq!(sweep(&guard, (79..90).map(rotating), 0), ["10.3.0.0/24"]);
    let inside = refusal(&guard, &from("10.3.0.250", unsigned("/index.html")), at(10));
    assert!(matches!(inside, Some(Refusal::AddressBanned(_))));
    assert_eq!(
        refusal(&guard, &from("10.3.1.250", unsigned("/index.html")), at(10)),
        None
    );
    let few = (0..400u32).map(|n| format!("10.4.0.{}", n % 7));
    let banned = sweep(&guard, few, 0);
    assert!(banned.iter().all(|network| network.ends_with("/32")), "{banned:?}");
}

#[test]
fn whoever_has_an_ipv6_site_is_found() {
    let guard = guard(policy());
    let rotating = (0..90u32).map(|n| format!("2001:db8:0:{n:x}::1"));
    assert_eq!(sweep(&guard, rotating, 0), ["2001:db8::/56"]);
}

#[test]
fn a_prefix_with_a_clean_caller_is_spared() {
    let guard = guard(policy());
    let mut neighbour = Client::open(&guard, 1, at(0));
    neighbour.address = "10.3.0.255";
    assert_eq!(refusal(&guard, &neighbour.get("/api/a", at(0)), at(0)), None);
    let rotating = (0..200u32).map(|n| format!("10.3.0.{}", n % 200));
    assert_eq!(sweep(&guard, rotating, 0), Vec::<String>::new());
    let never = self::guard(Policy {
        never_ban: vec!["10.3.0.7/32".parse().unwrap()],
        ..policy()
    });
    let rotating = (0..81u32).map(|n| format!("10.3.0.{}", 20 + n));
    assert_eq!(sweep(&never, rotating, 0), Vec::<String>::new());
}

#[test]
fn a_prefix_says_why_it_was_spared() {
    let guard = guard(policy());
    let mut neighbour = Client::open(&guard, 1, at(0));
    neighbour.address = "10.3.0.255";
    assert_eq!(refusal(&guard, &neighbour.get("/api/a", at(0)), at(0)), None);
    let mut seen = Vec::new();
    for n in 0..100u32 {
        let sent = from(leaked(format!("10.3.0.{n}")), forged());
        let _ = pass(&guard, &sent, at(0));
        seen.extend(told(&guard));
    }
    let network = "10.3.0.0/24".parse().unwrap();
    assert_eq!(seen, [Consequence::Spared(network, Spared::Neighbours)]);
}

#[test]
fn a_share_of_the_sessions_is_enforced() {
    let canary = guard(Policy {
        enforced: Share::percent(50.0),
        rules: shop_rules(),
        ..policy()
    });
    let mut outcomes = [0, 0];
    for name in 1..=40 {
        let mut client = Client::open(&canary, name, at(0));
        client.address = leaked(format!("10.6.{name}.1"));
        let mut enforced = None;
        for n in 0..4 {
            let pay = client.call(Method::POST, "/api/orders/7/pay", b"", at(n));
            let outcome = pass(&canary, &pay, at(n));
            let refused = match outcome.0 {
                Err(refused) => refused.waived.is_none(),
                Ok(_) => false,
            };
            assert_eq!(*enforced.get_or_insert(refused), refused, "session {name}, call {n}");
        }
        outcomes[usize::from(enforced.unwrap())] += 1;
    }
    assert!(outcomes.iter().all(|count| *count > 8), "{outcomes:?}");
}

#[test]
fn a_session_that_would_be_banned_is_told_of_as_if_it_were() {
    let watching = guard(Policy {
        mode: Mode::Monitor,
        rules: shop_rules(),
        ..policy()
    });
    let mut client = Client::open(&watching, 1, at(0));
    let sent = client.call(Method::POST, "/api/orders", b"{}", at(10));
    for n in 0..4 {
        let mut changed = client.call(Method::POST, "/api/orders", b"{}", at(n));
        changed.body = b"{\"x\":1}".into();
        let outcome = pass(&watching, &changed, at(n));
        assert!(outcome.0.unwrap_err().waived.is_some());
    }
    assert!(matches!(told(&watching)[0], Consequence::SessionBanned(_)));
    let refused = pass(&watching, &sent, at(10)).0.unwrap_err();
    assert!(matches!(refused.refusal, Refusal::SessionBanned(_)) && refused.waived.is_some());
    let later = client.get("/api/a", at(1_000_000));
    assert_eq!(refusal(&watching, &later, at(1_000_000)), None, "and it is over");
}

/// Three sessions of a client that are banned for what they did, one after the other.
fn three_banned(guard: &Guard) {
    let mut seen = Vec::new();
    for name in 1..=3 {
        let mut client = Client::open(guard, name, at(0));
        for n in 0..3 {
            let pay = client.call(Method::POST, "/api/orders/7/pay", b"", at(n));
            assert!(refusal(guard, &pay, at(n)).is_some());
            seen.extend(told(guard));
        }
    }
    let distrusted = |done: &&Consequence| matches!(done, Consequence::ClientBanned(_));
    assert_eq!(seen.iter().filter(distrusted).count(), 1, "{seen:?}");
}

/// Whoever looks like a farm behind the same address, and came only seconds ago, is not the farm (invariant I6).
#[test]
fn a_neighbour_who_looks_like_a_farm_goes_on_and_a_newcomer_comes_in() {
    let guard = guard(Policy {
        rules: shop_rules(),
        ..policy()
    });
    let mut neighbour = Client::open(&guard, 9, at(0));
    assert_eq!(refusal(&guard, &neighbour.get("/api/a", at(0)), at(0)), None);
    three_banned(&guard);
    for n in 0..10 {
        assert_eq!(
            refusal(&guard, &neighbour.get("/api/a", at(100 + n)), at(100 + n)),
            None
        );
    }
    let newcomer = neighbour.get("/api/a", at(200));
    let asked = work_demanded(&guard, &newcomer, at(200));
    assert_eq!(asked, Some(guard.policy().work.bits + 2), "he works a little more");
    let mut newcomer = Client::open(&guard, 10, at(300));
    assert_eq!(refusal(&guard, &newcomer.get("/api/a", at(300)), at(300)), None);
    let other = Sent {
        headers: HeaderMap::from_iter([(USER_AGENT, HeaderValue::from_static("Chromium/156"))]),
        ..neighbour.get("/api/a", at(300))
    };
    assert!(
        work_demanded(&guard, &other, at(300)) < asked,
        "another client does not"
    );
}

#[test]
fn of_a_distrusted_client_whoever_misbehaves_is_refused_at_half_of_the_points() {
    let guard = guard(Policy {
        rules: shop_rules(),
        ..policy()
    });
    let mut hand = Client::open(&guard, 9, at(0));
    let mut pay = |ms| {
        let pay = hand.call(Method::POST, "/api/orders/7/pay", b"", at(ms));
        refusal(&guard, &pay, at(ms))
    };
    assert_eq!(pay(0), Some(Refusal::Sequence));
    three_banned(&guard);
    assert_eq!(pay(100), Some(Refusal::Sequence), "40 points are below a half");
    assert!(matches!(pay(200), Some(Refusal::ClientBanned(_))));
}

/// The bits that somebody has to find for a session.
fn work_demanded(guard: &Guard, sent: &Sent, now: Now) -> Option<u8> {
    let path = NormalPath::parse("/.well-known/portcullis/session").unwrap();
    let request = session_request(&path, &sent.headers, sent.address);
    let refused = guard.may_open(&request, None, now).outcome.err()?;
    refused.work.map(|demand| demand.bits)
}
