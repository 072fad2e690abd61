//! Floods and what is counted only: the SYN-flood mode, malformed frames, origins in monitor mode. Needs root.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper of tests may fail as a test may"
)]

use std::time::Duration;

use portcullis::enforcer::{
    AttachOptions, Enforcer, EnforcerError, Mode, Origin, Rate, RateLimits, Reason, Shuffle, SynFlood, Target,
};
use portcullis_tests::frames::Packet;

const HOUR: Duration = Duration::from_secs(3600);
const US: &str = "192.0.2.1";
const KNOWN: &str = "198.51.100.7";

fn attach(options: AttachOptions) -> Enforcer {
    let outcome = Enforcer::attach(&AttachOptions {
        mode: Mode::Enforce,
        event_interval: HOUR,
        ..options
    });
    outcome.unwrap_or_else(|error| panic!("this test needs to load the XDP program: {error}"))
}

/// So slow that what comes back meanwhile hardly counts, on a slow machine too.
fn rate(burst: u64) -> Rate {
    Rate { per_second: 1, burst }
}

/// Two hundred connections of all together, to port 443.
fn flood_mode() -> Option<SynFlood> {
    Some(SynFlood {
        limit: rate(200),
        ports: vec![443],
    })
}

fn count(enforcer: &Enforcer, reason: Reason) -> u64 {
    enforcer.counters().unwrap().get(reason).packets
}

fn would_be(enforcer: &Enforcer, reason: Reason) -> u64 {
    enforcer.counters().unwrap().would_be(reason).packets
}

fn host(address: &str) -> Target {
    Target::Host(address.parse().unwrap())
}

#[test]
fn a_flood_of_forged_syns_is_counted_and_remembers_nobody() {
    let enforcer = attach(AttachOptions {
        syn_flood: flood_mode(),
        // Each packet of another source.
        shuffle: Shuffle::Together,
        ..AttachOptions::default()
    });
    let mut events = enforcer.take_events().unwrap();
    let syn = Packet::tcp(KNOWN, 40000, US, 443).build();
    enforcer.test_run(&syn, 2_000).unwrap();
    let flood = count(&enforcer, Reason::SynFlood);
    assert!((1_700..=1_800).contains(&flood), "{flood}");
    assert_eq!(count(&enforcer, Reason::Passed) + flood, 2_000);
    // Sampled, never one for each packet; and what it tells is that the packet passed.
    let report = events.next_report().unwrap();
    assert_eq!(
        (report.reason, report.origin, report.dropped),
        (Reason::SynFlood, Some(Origin::Rate), false)
    );
    assert_eq!(events.next_report(), None);
    // Neither what belongs to a connection nor another port is part of it.
    let mut data = syn;
    data[14 + 20 + 13] = 0x10;
    enforcer.test_run(&data, 100).unwrap();
    enforcer
        .test_run(&Packet::tcp(KNOWN, 40000, US, 80).build(), 100)
        .unwrap();
    assert_eq!(count(&enforcer, Reason::SynFlood), flood);
}

#[test]
fn a_source_that_is_known_keeps_its_limits_in_a_flood() {
    let enforcer = attach(AttachOptions {
        syn_flood: flood_mode(),
        rate_limits: Some(RateLimits {
            syns: Some(rate(400)),
            ..RateLimits::default()
        }),
        ..AttachOptions::default()
    });
    let run = |address: &str, times| {
        enforcer
            .test_run(&Packet::tcp(address, 40000, US, 443).build(), times)
            .unwrap();
    };
    // More than the flood mode lets be remembered, and each of them within its own limit.
    run(KNOWN, 150);
    run("198.51.100.8", 150);
    assert_eq!(count(&enforcer, Reason::RateLimited), 0);
    // Now it is a flood, and both are known.
    assert_eq!(count(&enforcer, Reason::SynFlood), 0);
    run(KNOWN, 1_000);
    let limited = count(&enforcer, Reason::RateLimited);
    assert!((600..=750).contains(&limited), "{limited}");
    assert_eq!(count(&enforcer, Reason::SynFlood), 0);
}

#[test]
fn more_ports_than_fit_are_refused() {
    let refused = Enforcer::attach(&AttachOptions {
        syn_flood: Some(SynFlood {
            limit: rate(1),
            ports: (1..=9).collect(),
        }),
        ..AttachOptions::default()
    });
    assert!(matches!(refused, Err(EnforcerError::TooManyFloodPorts { given: 9 })));
}

#[test]
fn malformed_frames_are_dropped_where_that_is_wanted() {
    let enforcer = attach(AttachOptions {
        drop_malformed: true,
        ..AttachOptions::default()
    });
    let whole = Packet::tcp(KNOWN, 40000, US, 443).build();
    let mut wrong = whole.clone();
    wrong[14] = 0x65;
    for (frame, dropped) in [(&whole[..30], true), (&wrong, true), (&whole, false)] {
        assert_eq!(enforcer.test_run(frame, 1).unwrap().dropped, dropped);
    }
    assert_eq!(count(&enforcer, Reason::MalformedDropped), 2);
    assert_eq!(count(&enforcer, Reason::Malformed), 0);
    enforcer.set_mode(Mode::Monitor).unwrap();
    assert!(!enforcer.test_run(&wrong, 1).unwrap().dropped);
    assert_eq!(would_be(&enforcer, Reason::MalformedDropped), 1);
}

#[test]
fn what_monitored_origins_banned_passes_and_is_counted() {
    let enforcer = attach(AttachOptions {
        monitored: vec![Origin::List, Origin::Rate],
        rate_limits: Some(RateLimits {
            packets: Some(rate(10)),
            ..RateLimits::default()
        }),
        ..AttachOptions::default()
    });
    assert_eq!(enforcer.monitored_origins(), [Origin::List, Origin::Rate]);
    enforcer.ban(host(KNOWN), HOUR, Origin::List).unwrap();
    enforcer.ban(host("198.51.100.8"), HOUR, Origin::Operator).unwrap();
    let dropped = |address: &str, times| {
        let frame = Packet::tcp(address, 40000, US, 443).build();
        enforcer.test_run(&frame, times).unwrap().dropped
    };
    assert!(!dropped(KNOWN, 1) && dropped("198.51.100.8", 1));
    assert_eq!(would_be(&enforcer, Reason::BannedHost), 1);
    let hits = enforcer.hits([host(KNOWN), host("198.51.100.9")]);
    assert_eq!(hits[0].map(|hits| hits.packets), Some(1));
    assert_eq!(hits[1], None);
    // The limits themselves are of an origin, too.
    assert!(!dropped("198.51.100.9", 1_000));
    assert!(would_be(&enforcer, Reason::RateLimited) >= 900);
    enforcer.set_origin_mode(Origin::List, Mode::Enforce).unwrap();
    assert!(dropped(KNOWN, 1));
    assert_eq!(enforcer.monitored_origins(), [Origin::Rate]);
}
