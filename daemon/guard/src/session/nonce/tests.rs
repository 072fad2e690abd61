//! Tests of replay protection.

use std::collections::HashSet;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::request::ClientAddress;
use crate::time::WallMillis;

const SESSION: SessionId = SessionId([1; 12]);

fn at(ms: u64) -> Now {
    Now {
        wall: WallMillis(1_800_000_000_000 + ms),
        mono: MonoMillis(ms),
    }
}

fn issuer(fill: u8) -> StreamIssuer {
    StreamIssuer::new(&Zeroizing::new([fill; 32]), Duration::from_secs(30))
}

fn binding(address: &str) -> Binding {
    Binding::of(
        ClientAddress::new(address.parse().unwrap()),
        None,
        &http::HeaderMap::new(),
    )
}

fn accept(streams: &mut Streams, nonce: &str, ms: u64) -> Result<Accepted, NonceRefused> {
    streams.accept(
        Nonce::parse(nonce).unwrap(),
        &issuer(1),
        SESSION,
        &binding("10.0.0.1"),
        at(ms),
    )
}

#[test]
fn a_nonce_has_one_spelling() {
    for good in [
        "abcdefgh.0",
        "abc-_DEF.1",
        "abcdefgh.281474976710655",
        "~AAAAAAAAAAAAAAAAAAAAAAAA.0",
    ] {
        assert!(Nonce::parse(good).is_ok(), "{good}");
    }
    let too_long = format!("{}.1", "a".repeat(33));
    for bad in [
        "",
        ".",
        "abcdefgh",
        "abcdefgh.",
        "abcdefg.1",
        "abcdefgh.01",
        "abcdefgh.-1",
        "abcdefgh.+1",
        "abcdefgh.1 ",
        "abcdefgh.281474976710656",
        "abcdefgh.99999999999999999999",
        "abc defgh.1",
        "abcdefgh~.1",
        "äbcdefgh.1",
        "~.0",
        &too_long,
    ] {
        assert_eq!(Nonce::parse(bad), Err(NonceError), "{bad}");
    }
}

#[test]
fn each_counter_passes_once_in_any_order() {
    let mut streams = Streams::complete();
    for counter in [5, 3, 4, 1030, 7] {
        assert_eq!(
            accept(&mut streams, &format!("abcdefgh.{counter}"), 0),
            Ok(Accepted::Continued),
            "{counter}"
        );
    }
    for counter in [5, 3, 4, 1030, 6 /* below the window */] {
        assert_eq!(
            accept(&mut streams, &format!("abcdefgh.{counter}"), 0),
            Err(NonceRefused::Replay),
            "{counter}"
        );
    }
}

#[test]
fn after_a_restart_only_an_issued_stream_goes_on() {
    let mut streams = Streams::incomplete();
    assert_eq!(accept(&mut streams, "abcdefgh.0", 0), Err(NonceRefused::UnknownStream));
    let fresh = issuer(1).issue(SESSION, &binding("10.0.0.1"), at(0));
    assert_eq!(accept(&mut streams, &fresh, 10), Ok(Accepted::Issued));
    assert_eq!(accept(&mut streams, &fresh, 20), Err(NonceRefused::Replay));
    let next = fresh.replace(".0", ".1");
    assert_eq!(
        accept(&mut streams, &next, 60_000),
        Ok(Accepted::Continued),
        "its age counts only at the first call"
    );
}

#[test]
fn an_issued_stream_is_good_for_one_session_place_run_and_time() {
    let here = binding("10.0.0.1");
    let fresh = issuer(1).issue(SESSION, &here, at(1000));
    let nonce = Nonce::parse(&fresh).unwrap();
    let attempt = |issuer: StreamIssuer, session, binding: &Binding, now| {
        Streams::incomplete()
            .accept(nonce, &issuer, session, binding, now)
            .is_ok()
    };
    assert!(attempt(issuer(1), SESSION, &here, at(31_000)));
    assert!(!attempt(issuer(1), SESSION, &here, at(31_001)), "too late");
    assert!(!attempt(issuer(1), SESSION, &here, at(999)), "before it was issued");
    assert!(!attempt(issuer(2), SESSION, &here, at(1000)), "another run");
    assert!(
        !attempt(issuer(1), SessionId([2; 12]), &here, at(1000)),
        "another session"
    );
    assert!(
        !attempt(issuer(1), SESSION, &binding("10.0.1.1"), at(1000)),
        "another network"
    );
}

#[test]
fn streams_issued_in_one_millisecond_differ() {
    let (issuer, here) = (issuer(1), binding("10.0.0.1"));
    let issued: HashSet<_> = (0..100).map(|_| issuer.issue(SESSION, &here, at(0))).collect();
    assert_eq!(issued.len(), 100);
}

#[test]
fn what_was_spent_lately_is_known() {
    let mut streams = Streams::complete();
    accept(&mut streams, "abcdefgh.5", 1000).unwrap();
    let lately = |nonce, ms| streams.spent_lately(Nonce::parse(nonce).unwrap(), Duration::from_secs(2), MonoMillis(ms));
    assert!(lately("abcdefgh.5", 3000));
    assert!(!lately("abcdefgh.5", 3001), "long ago");
    assert!(!lately("abcdefgh.4", 1000) && !lately("abcdefgh.6", 1000) && !lately("otherone.5", 1000));
}

#[test]
fn a_ninth_stream_drops_the_idlest_and_the_dropped_cannot_return() {
    let mut streams = Streams::complete();
    let issued: Vec<_> = (0..STREAMS as u64)
        .map(|n| issuer(1).issue(SESSION, &binding("10.0.0.1"), at(n)))
        .collect();
    accept(&mut streams, &issued[0], 10).unwrap();
    for n in 1..STREAMS {
        accept(&mut streams, &format!("stream-{n:04}.0"), 100 + n as u64).unwrap();
    }
    accept(&mut streams, &issued[7], 200).unwrap();
    assert_eq!(streams.len(), STREAMS);
    assert_eq!(
        accept(&mut streams, &issued[0], 201),
        Err(NonceRefused::UnknownStream),
        "dropped, and a replay"
    );
    assert_eq!(
        accept(&mut streams, "newcomer.0", 202),
        Err(NonceRefused::UnknownStream),
        "own choice is over"
    );
    assert_eq!(
        accept(&mut streams, "stream-0003.1", 203),
        Ok(Accepted::Continued),
        "live ones go on"
    );
}

proptest! {
    /// Whatever the order, repetition and number of streams: no nonce passes twice (I1), and memory stays bounded (I3).
    #[test]
    fn no_nonce_passes_twice(calls in prop::collection::vec((0u8..12, 0u64..3000), 1..400)) {
        let mut streams = Streams::complete();
        let mut passed = HashSet::new();
        for (ms, (stream, counter)) in calls.into_iter().enumerate() {
            let nonce = format!("stream-{stream:03}.{counter}");
            if accept(&mut streams, &nonce, ms as u64).is_ok() {
                prop_assert!(passed.insert(nonce));
            }
            prop_assert!(streams.len() <= STREAMS);
        }
    }

    /// The window agrees with a set that remembers everything.
    #[test]
    fn a_window_agrees_with_a_set(counters in prop::collection::vec(0u64..5000, 1..500)) {
        let mut streams = Streams::complete();
        let mut seen = HashSet::new();
        let mut highest = 0;
        for counter in counters {
            highest = highest.max(counter);
            let expected = highest - counter < WIDTH && seen.insert(counter);
            prop_assert_eq!(accept(&mut streams, &format!("abcdefgh.{counter}"), 0).is_ok(), expected);
        }
    }
}
