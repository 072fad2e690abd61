//! The verdicts of the XDP program on single frames, by the kernel's own test run. Needs root.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper of tests may fail as a test may"
)]

use std::time::Duration;

use ipnet::IpNet;
use portcullis::enforcer::{
    AttachOptions, Capacities, Counters, Enforcer, EnforcerError, Flow, Mode, Origin, Reason, Target,
};
use portcullis_tests::frames::{self, DOT1AD, DOT1Q, Extension, Packet, SMALLEST_TEST_RUN};

const HOUR: Duration = Duration::from_secs(3600);
const ALREADY_OVER: Duration = Duration::ZERO;

const V4: &str = "198.51.100.7";
const V6: &str = "2001:db8:bad::7";
const US_V4: &str = "192.0.2.1";
const US_V6: &str = "2001:db8::1";

/// The program in enforcing mode, with small tables, on no interface.
fn enforcer() -> Enforcer {
    attach(&options())
}

fn attach(options: &AttachOptions) -> Enforcer {
    match Enforcer::attach(options) {
        Ok(enforcer) => enforcer,
        Err(error) => panic!("this test needs to load the XDP program: {error}"),
    }
}

fn options() -> AttachOptions {
    AttachOptions {
        mode: Mode::Enforce,
        event_interval: Duration::ZERO,
        capacities: Capacities {
            hosts_limit: 0,
            hosts: 16,
            hosts_v6: 0,
            prefixes: 16,
            flows: 1024,
        },
        ..AttachOptions::default()
    }
}

fn host(address: &str) -> Target {
    Target::Host(address.parse().unwrap())
}

fn prefix(network: &str) -> Target {
    Target::Prefix(network.parse().unwrap())
}

fn flow(remote: &str, local: &str) -> Target {
    Target::Flow(Flow {
        remote: remote.parse().unwrap(),
        local: local.parse().unwrap(),
    })
}

fn ban(enforcer: &Enforcer, target: Target) {
    enforcer.ban(target, HOUR, Origin::Operator).unwrap();
}

fn drops(enforcer: &Enforcer, frame: &[u8]) -> bool {
    let run = enforcer.test_run(frame, 1).unwrap();
    assert!([1, 2].contains(&run.action), "action {}", run.action);
    run.dropped
}

/// What the counters say about the one frame that ran since `before`.
fn reason_since(enforcer: &Enforcer, before: &Counters) -> Reason {
    let after = enforcer.counters().unwrap();
    let changed: Vec<Reason> = Reason::ALL
        .into_iter()
        .filter(|reason| after.get(*reason) != before.get(*reason))
        .collect();
    let [reason] = changed[..] else { panic!("{changed:?}") };
    assert_eq!(after.get(reason).packets, before.get(reason).packets + 1);
    reason
}

fn reason(enforcer: &Enforcer, frame: &[u8]) -> Reason {
    let before = enforcer.counters().unwrap();
    let dropped = drops(enforcer, frame);
    let reason = reason_since(enforcer, &before);
    assert_eq!(dropped, reason.is_drop());
    let bytes = enforcer.counters().unwrap().get(reason).bytes - before.get(reason).bytes;
    assert_eq!(bytes, frame.len() as u64);
    reason
}

/// Every shape of packet that we look into, from the addresses that the tests ban.
fn shapes() -> Vec<(&'static str, Packet)> {
    use Extension::{Authentication, DestinationOptions, Fragment, HopByHop, Routing};
    let v4 = || Packet::tcp(V4, 40000, US_V4, 443);
    let v6 = || Packet::tcp(V6, 40000, US_V6, 443);
    vec![
        ("v4", v4()),
        ("v4 options", v4().options(40)),
        ("v4 vlan", v4().tag(DOT1Q)),
        ("v4 vlan 802.1ad", v4().tag(DOT1AD)),
        ("v4 qinq", v4().tag(DOT1AD).tag(DOT1Q)),
        ("v4 qinq options", v4().tag(DOT1Q).tag(DOT1Q).options(4)),
        ("v4 first fragment", v4().fragment(0, true)),
        ("v6", v6()),
        ("v6 vlan", v6().tag(DOT1Q)),
        ("v6 qinq", v6().tag(DOT1AD).tag(DOT1Q)),
        ("v6 hop by hop", v6().extension(HopByHop(8))),
        ("v6 routing", v6().extension(Routing(24))),
        ("v6 destination options", v6().extension(DestinationOptions(2048))),
        ("v6 authentication", v6().extension(Authentication(24))),
        ("v6 atomic fragment", v6().extension(Fragment(0, false))),
        (
            "v6 four extension headers",
            v6().extension(HopByHop(16))
                .extension(Routing(8))
                .extension(Fragment(0, true))
                .extension(DestinationOptions(32)),
        ),
    ]
}

/// Packets without ports for us: only verdicts on addresses meet them.
fn portless() -> Vec<(&'static str, Packet)> {
    let v6 = || Packet::tcp(V6, 40000, US_V6, 443);
    let many = (0..7).fold(v6(), |packet, _| packet.extension(Extension::DestinationOptions(8)));
    vec![
        (
            "v4 later fragment",
            Packet::tcp(V4, 40000, US_V4, 443).fragment(100, false),
        ),
        ("v6 later fragment", v6().extension(Extension::Fragment(100, false))),
        ("v6 too many extension headers", many),
        ("v4 icmp", Packet::of_protocol(V4, US_V4, 1)),
        ("v4 gre", Packet::of_protocol(V4, US_V4, 47)),
        ("v4 esp", Packet::of_protocol(V4, US_V4, 50)),
        ("v4 sctp", Packet::of_protocol(V4, US_V4, 132)),
        ("v6 icmp", Packet::of_protocol(V6, US_V6, 58)),
        ("v6 no next header", Packet::of_protocol(V6, US_V6, 59)),
    ]
}

fn source(packet: &Packet) -> &'static str {
    if packet.network_end() >= 54 && packet.build().windows(2).any(|pair| pair == [0x86, 0xdd]) {
        V6
    } else {
        V4
    }
}

#[test]
fn every_shape_passes_when_nothing_is_banned() {
    let enforcer = enforcer();
    for (name, packet) in shapes().into_iter().chain(portless()) {
        assert_eq!(reason(&enforcer, &packet.build()), Reason::Passed, "{name}");
    }
}

#[test]
fn every_shape_from_a_banned_host_is_dropped() {
    let enforcer = enforcer();
    ban(&enforcer, host(V4));
    ban(&enforcer, host(V6));
    for (name, packet) in shapes().into_iter().chain(portless()) {
        assert_eq!(reason(&enforcer, &packet.build()), Reason::BannedHost, "{name}");
    }
}

#[test]
fn a_banned_hosts_neighbours_pass() {
    let enforcer = enforcer();
    ban(&enforcer, host(V4));
    ban(&enforcer, host(V6));
    let neighbours = [
        Packet::tcp("198.51.100.6", 40000, US_V4, 443),
        Packet::tcp("198.51.100.8", 40000, US_V4, 443),
        Packet::tcp("2001:db8:bad::8", 40000, US_V6, 443),
        Packet::tcp("2001:db8:bad:1::7", 40000, US_V6, 443),
        // To the banned host, not from it.
        Packet::tcp("192.0.2.9", 443, V4, 40000),
    ];
    for neighbour in neighbours {
        assert_eq!(reason(&enforcer, &neighbour.build()), Reason::Passed, "{neighbour:?}");
    }
}

#[test]
fn every_shape_from_a_banned_prefix_is_dropped() {
    let enforcer = enforcer();
    ban(&enforcer, prefix("198.51.100.0/24"));
    ban(&enforcer, prefix("2001:db8:bad::/64"));
    for (name, packet) in shapes().into_iter().chain(portless()) {
        assert_eq!(reason(&enforcer, &packet.build()), Reason::BannedPrefix, "{name}");
    }
    let outside = Packet::tcp("198.51.101.7", 40000, US_V4, 443);
    assert_eq!(reason(&enforcer, &outside.build()), Reason::Passed);
    let outside = Packet::tcp("2001:db8:bad:1::7", 40000, US_V6, 443);
    assert_eq!(reason(&enforcer, &outside.build()), Reason::Passed);
}

#[test]
fn all_of_v4_can_be_banned_without_touching_v6() {
    let enforcer = enforcer();
    ban(&enforcer, prefix("0.0.0.0/0"));
    let v4 = Packet::tcp(V4, 1, US_V4, 443).build();
    let v6 = Packet::tcp(V6, 1, US_V6, 443).build();
    assert_eq!(reason(&enforcer, &v4), Reason::BannedPrefix);
    assert_eq!(reason(&enforcer, &v6), Reason::Passed);
}

#[test]
fn every_shape_of_a_banned_flow_is_dropped_and_no_other_flow() {
    let enforcer = enforcer();
    ban(&enforcer, flow("198.51.100.7:40000", "192.0.2.1:443"));
    ban(&enforcer, flow("[2001:db8:bad::7]:40000", "[2001:db8::1]:443"));
    for (name, packet) in shapes() {
        assert_eq!(reason(&enforcer, &packet.build()), Reason::BannedFlow, "{name}");
    }
    for (name, packet) in portless() {
        assert_eq!(reason(&enforcer, &packet.build()), Reason::Passed, "{name}");
    }
    let others = [
        Packet::tcp(V4, 40001, US_V4, 443),
        Packet::tcp(V4, 40000, US_V4, 444),
        Packet::tcp(V4, 40000, "192.0.2.2", 443),
        Packet::tcp("198.51.100.8", 40000, US_V4, 443),
        Packet::udp(V4, 40000, US_V4, 443),
    ];
    for other in others {
        assert_eq!(reason(&enforcer, &other.build()), Reason::Passed, "{other:?}");
    }
}

#[test]
fn a_v4_mapped_source_is_the_v4_host() {
    let enforcer = enforcer();
    ban(&enforcer, host("::ffff:198.51.100.7"));
    assert!(drops(&enforcer, &Packet::tcp(V4, 1, US_V4, 443).build()));
    assert!(drops(
        &enforcer,
        &Packet::tcp("::ffff:198.51.100.7", 1, US_V6, 443).build()
    ));
}

#[test]
fn never_ban_comes_before_every_ban() {
    let enforcer = enforcer();
    ban(&enforcer, host(V4));
    ban(&enforcer, prefix("198.51.0.0/16"));
    ban(&enforcer, prefix("2001:db8:bad::/48"));
    ban(&enforcer, flow("198.51.100.7:40000", "192.0.2.1:443"));
    enforcer.allow("198.51.100.0/28".parse().unwrap()).unwrap();
    enforcer.allow("2001:db8:bad::/64".parse().unwrap()).unwrap();
    for (name, packet) in shapes().into_iter().chain(portless()) {
        assert_eq!(reason(&enforcer, &packet.build()), Reason::NeverBan, "{name}");
    }
    let outside = Packet::tcp("198.51.100.77", 40000, US_V4, 443);
    assert_eq!(reason(&enforcer, &outside.build()), Reason::BannedPrefix);

    assert!(enforcer.disallow("198.51.100.0/28".parse().unwrap()).unwrap());
    let inside = Packet::tcp(V4, 40000, US_V4, 443);
    assert_eq!(reason(&enforcer, &inside.build()), Reason::BannedHost);
}

#[test]
fn what_is_in_the_never_ban_set_cannot_be_banned() {
    let enforcer = enforcer();
    enforcer.allow("198.51.100.0/24".parse().unwrap()).unwrap();
    for target in [
        host(V4),
        prefix("198.51.100.128/25"),
        prefix("198.51.100.0/24"),
        flow("198.51.100.7:1", "192.0.2.1:443"),
    ] {
        let refused = enforcer.ban(target, HOUR, Origin::Operator);
        assert!(matches!(refused, Err(EnforcerError::NeverBanned { .. })), "{target}");
    }
    ban(&enforcer, prefix("198.51.0.0/16"));
    assert_eq!(enforcer.allowed().unwrap(), ["198.51.100.0/24".parse().unwrap()]);
}

#[test]
fn exempt_ports_come_before_every_ban() {
    let enforcer = enforcer();
    ban(&enforcer, host(V4));
    ban(&enforcer, prefix("2001:db8:bad::/64"));
    let ssh = [
        Packet::tcp(V4, 40000, US_V4, 22),
        Packet::tcp(V4, 40000, US_V4, 22).options(12).tag(DOT1Q),
        Packet::tcp(V6, 40000, US_V6, 22).extension(Extension::HopByHop(8)),
        Packet::udp(V4, 40000, US_V4, 22),
    ];
    for packet in &ssh {
        assert_eq!(reason(&enforcer, &packet.build()), Reason::ExemptPort, "{packet:?}");
    }
    let from_ssh = Packet::tcp(V4, 22, US_V4, 40000);
    assert_eq!(reason(&enforcer, &from_ssh.build()), Reason::BannedHost);
    let no_ports = Packet::tcp(V4, 40000, US_V4, 22).fragment(1, false);
    assert_eq!(reason(&enforcer, &no_ports.build()), Reason::BannedHost);

    enforcer.set_exempt_ports(&[2222, 51820]).unwrap();
    assert_eq!(reason(&enforcer, &ssh[0].build()), Reason::BannedHost);
    let moved = Packet::udp(V4, 40000, US_V4, 51820);
    assert_eq!(reason(&enforcer, &moved.build()), Reason::ExemptPort);

    enforcer.set_exempt_ports(&[]).unwrap();
    let port_zero = Packet::tcp(V4, 40000, US_V4, 0);
    assert_eq!(reason(&enforcer, &port_zero.build()), Reason::BannedHost);
    let many = enforcer.set_exempt_ports(&[1; 9]);
    assert!(matches!(many, Err(EnforcerError::TooManyExemptPorts { given: 9 })));
}

#[test]
fn the_kernel_ignores_a_ban_that_has_ended() {
    let enforcer = enforcer();
    let frame = Packet::tcp(V4, 40000, US_V4, 443).build();
    for target in [
        host(V4),
        prefix("198.51.100.0/24"),
        flow("198.51.100.7:40000", "192.0.2.1:443"),
    ] {
        enforcer.ban(target, ALREADY_OVER, Origin::Score).unwrap();
        assert_eq!(reason(&enforcer, &frame), Reason::Passed, "{target}");
        assert_eq!(enforcer.lookup(target).unwrap(), None);
        ban(&enforcer, target);
        assert!(drops(&enforcer, &frame), "{target} prolonged");
        enforcer.ban(target, ALREADY_OVER, Origin::Score).unwrap();
        assert_eq!(reason(&enforcer, &frame), Reason::Passed, "{target} shortened");
    }
    assert_eq!(enforcer.sweep_expired().unwrap(), 3);
    assert_eq!(enforcer.sweep_expired().unwrap(), 0);
}

#[test]
fn an_ended_host_ban_does_not_hide_a_prefix_ban() {
    let enforcer = enforcer();
    enforcer.ban(host(V4), ALREADY_OVER, Origin::Score).unwrap();
    ban(&enforcer, prefix("198.51.100.0/24"));
    let frame = Packet::tcp(V4, 40000, US_V4, 443).build();
    assert_eq!(reason(&enforcer, &frame), Reason::BannedPrefix);
}

#[test]
fn sweeping_keeps_what_holds_and_the_program_finds_new_bans_afterwards() {
    let enforcer = enforcer();
    let frame = Packet::tcp(V4, 40000, US_V4, 443).build();
    enforcer.ban(host("203.0.113.1"), ALREADY_OVER, Origin::Score).unwrap();
    ban(&enforcer, host(V4));
    assert_eq!(enforcer.sweep_expired().unwrap(), 1);
    assert!(drops(&enforcer, &frame));
    assert!(enforcer.unban(host(V4)).unwrap());
    assert!(!enforcer.unban(host(V4)).unwrap());
    enforcer.sweep_expired().unwrap();
    assert!(!drops(&enforcer, &frame));
    ban(&enforcer, host(V4));
    assert!(drops(&enforcer, &frame));
}

#[test]
fn look_ups_answer_for_exactly_the_target() {
    let enforcer = enforcer();
    ban(&enforcer, prefix("198.51.0.0/16"));
    assert_eq!(enforcer.lookup(prefix("198.51.100.0/24")).unwrap(), None);
    assert_eq!(enforcer.lookup(host(V4)).unwrap(), None);
    assert!(!enforcer.unban(prefix("198.51.100.0/24")).unwrap());
    let found = enforcer.lookup(prefix("198.51.0.0/16")).unwrap().unwrap();
    assert_eq!(found.origin, Some(Origin::Operator));
    assert!(found.remaining <= HOUR && found.remaining > HOUR - Duration::from_secs(60));
}

#[test]
fn the_list_tells_everything_that_the_kernel_holds() {
    let enforcer = enforcer();
    let targets = [
        host(V4),
        host(V6),
        prefix("198.51.0.0/16"),
        prefix("2001:db8::/32"),
        flow("198.51.100.7:40000", "192.0.2.1:443"),
    ];
    for target in targets {
        ban(&enforcer, target);
    }
    enforcer.ban(host("203.0.113.1"), ALREADY_OVER, Origin::List).unwrap();
    enforcer.allow("10.0.0.0/8".parse().unwrap()).unwrap();
    let contents = enforcer.list().unwrap();
    assert_eq!(contents.bans.len(), targets.len());
    for target in targets {
        assert!(contents.bans.iter().any(|(banned, _)| *banned == target), "{target}");
    }
    assert_eq!(contents.allowed, ["10.0.0.0/8".parse().unwrap()]);
}

#[test]
fn monitor_mode_counts_by_reason_and_passes() {
    let enforcer = attach(&AttachOptions {
        mode: Mode::Monitor,
        ..options()
    });
    let frame = Packet::tcp(V4, 40000, US_V4, 443).build();
    ban(&enforcer, host(V4));
    assert!(!drops(&enforcer, &frame));
    let counters = enforcer.counters().unwrap();
    assert_eq!(counters.would_be(Reason::BannedHost).packets, 1);
    assert_eq!(counters.would_be(Reason::BannedHost).bytes, frame.len() as u64);
    assert_eq!(counters.get(Reason::Passed).packets, 1);
    assert_eq!(counters.dropped().packets, 0);

    enforcer.set_mode(Mode::Enforce).unwrap();
    assert_eq!(enforcer.mode(), Mode::Enforce);
    assert!(drops(&enforcer, &frame));
    assert_eq!(enforcer.counters().unwrap().dropped().packets, 1);
    enforcer.set_mode(Mode::Monitor).unwrap();
    assert!(!drops(&enforcer, &frame));
}

#[test]
fn what_is_not_ip_passes() {
    let enforcer = enforcer();
    ban(&enforcer, prefix("0.0.0.0/0"));
    let frames = [
        ("arp", frames::arp()),
        ("arp in a vlan", frames::ethernet(&[DOT1Q], 0x0806, &[0; 28])),
        (
            "three tags",
            Packet::tcp(V4, 1, US_V4, 2).tag(DOT1Q).tag(DOT1Q).tag(DOT1Q).build(),
        ),
        ("lldp", frames::ethernet(&[], 0x88cc, &[0; 40])),
        ("802.3 length", frames::ethernet(&[], 46, &[0; 46])),
    ];
    for (name, frame) in frames {
        assert_eq!(reason(&enforcer, &frame), Reason::NotIp, "{name}");
    }
}

#[test]
fn malformed_headers_pass_and_are_counted() {
    let enforcer = enforcer();
    ban(&enforcer, host(V4));
    ban(&enforcer, host(V6));
    let mut wrong_v4 = Packet::tcp(V4, 1, US_V4, 2).build();
    wrong_v4[14] = 0x65;
    let mut wrong_v6 = Packet::tcp(V6, 1, US_V6, 2).build();
    wrong_v6[14] = 0x40;
    for frame in [&wrong_v4, &wrong_v6, &wrong_v4[..30].to_vec()] {
        assert_eq!(reason(&enforcer, frame), Reason::Malformed);
    }
    // Too short a header length: the source is still the source, but there are no ports.
    let mut short = Packet::tcp(V4, 1, US_V4, 22).build();
    short[14] = 0x44;
    assert_eq!(reason(&enforcer, &short), Reason::BannedHost);
}

#[test]
fn every_truncation_of_every_shape_has_the_right_verdict() {
    let by_host = enforcer();
    ban(&by_host, host(V4));
    ban(&by_host, host(V6));
    let by_flow = enforcer();
    ban(&by_flow, flow("198.51.100.7:40000", "192.0.2.1:443"));
    ban(&by_flow, flow("[2001:db8:bad::7]:40000", "[2001:db8::1]:443"));
    let clean = enforcer();
    ban(&clean, host("203.0.113.1"));
    ban(&clean, prefix("203.0.113.0/24"));
    ban(&clean, flow("203.0.113.1:1", "192.0.2.1:443"));
    for (name, packet) in shapes() {
        let frame = packet.build();
        for length in SMALLEST_TEST_RUN..=frame.len() {
            let cut = &frame[..length];
            let at = format!("{name}, {length} of {} bytes, from {}", frame.len(), source(&packet));
            assert_eq!(drops(&by_host, cut), length >= packet.network_end(), "host: {at}");
            assert_eq!(drops(&by_flow, cut), length >= packet.ports_end(), "flow: {at}");
            assert!(!drops(&clean, cut), "clean: {at}");
        }
    }
    for (name, packet) in portless() {
        let frame = packet.build();
        for length in SMALLEST_TEST_RUN..=frame.len() {
            let cut = &frame[..length];
            let known = length >= packet.network_end();
            assert_eq!(drops(&by_host, cut), known, "host: {name}, {length} bytes");
            assert!(!drops(&by_flow, cut), "flow: {name}, {length} bytes");
        }
    }
}

#[test]
fn frames_shorter_than_an_ethernet_header_never_reach_the_program() {
    let enforcer = enforcer();
    let frame = Packet::tcp(V4, 1, US_V4, 2).build();
    for length in 0..SMALLEST_TEST_RUN {
        assert!(enforcer.test_run(&frame[..length], 1).is_err(), "{length} bytes");
    }
}

#[test]
fn a_full_table_refuses_with_its_name_and_loses_nothing() {
    let enforcer = enforcer();
    for last in 1..=16 {
        ban(&enforcer, host(&format!("203.0.113.{last}")));
        ban(&enforcer, prefix(&format!("10.{last}.0.0/16")));
    }
    let full = enforcer.ban(host(V4), HOUR, Origin::Operator).unwrap_err();
    assert!(full.to_string().contains("HOSTS is full (16 entries)"), "{full}");
    let full = enforcer
        .ban(prefix("10.99.0.0/16"), HOUR, Origin::Operator)
        .unwrap_err();
    assert!(full.to_string().contains("PREFIXES is full (16 entries)"), "{full}");
    ban(&enforcer, host("203.0.113.16"));
    assert_eq!(enforcer.list().unwrap().bans.len(), 32);
    assert!(drops(&enforcer, &Packet::tcp("203.0.113.1", 1, US_V4, 2).build()));
}

#[test]
fn events_tell_who_and_why() {
    let enforcer = enforcer();
    let mut events = enforcer.take_events().unwrap();
    assert!(enforcer.take_events().is_none());
    ban(&enforcer, host(V6));
    assert!(events.next_report().is_none());
    drops(&enforcer, &Packet::tcp(V6, 1, US_V6, 443).build());
    drops(&enforcer, &Packet::tcp(V4, 1, US_V4, 443).build());
    let event = events.next_report().unwrap();
    assert_eq!(event.source.to_string(), V6);
    assert_eq!(event.reason, Reason::BannedHost);
    assert_eq!(event.origin, Some(Origin::Operator));
    assert!(event.dropped);
    assert_eq!(event.unsampled, 0);
    assert!(events.next_report().is_none());
}

#[test]
fn a_flood_makes_few_events() {
    let every = Duration::from_millis(1);
    let enforcer = attach(&AttachOptions {
        event_interval: every,
        ..options()
    });
    let mut events = enforcer.take_events().unwrap();
    ban(&enforcer, host(V4));
    let frame = Packet::tcp(V4, 1, US_V4, 443).build();
    let start = std::time::Instant::now();
    let packets = 1_000_000;
    enforcer.test_run(&frame, packets).unwrap();
    let most = start.elapsed().as_millis() + 2;
    let (mut sampled, mut unsampled) = (0, 0);
    while let Some(event) = events.next_report() {
        sampled += 1;
        unsampled += event.unsampled;
    }
    assert!(
        sampled >= 1 && u128::from(sampled) <= most,
        "{sampled} events in {most} ms"
    );
    assert!(sampled + unsampled <= u64::from(packets));
}

#[test]
fn debug_code_is_not_there_when_it_is_off() {
    let off = enforcer().instructions().unwrap();
    let on = attach(&AttachOptions {
        debug: true,
        ..options()
    })
    .instructions()
    .unwrap();
    assert!(off < on, "{off} instructions without debug, {on} with");
}

#[test]
fn bans_may_be_written_from_several_threads() {
    let enforcer = attach(&AttachOptions {
        capacities: Capacities {
            hosts: 4096,
            ..options().capacities
        },
        ..options()
    });
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let enforcer = &enforcer;
            scope.spawn(move || {
                for last in 0..256 {
                    ban(enforcer, host(&format!("10.0.{thread}.{last}")));
                }
            });
        }
    });
    assert_eq!(enforcer.list().unwrap().bans.len(), 1024);
    assert!(drops(&enforcer, &Packet::tcp("10.0.3.255", 1, US_V4, 2).build()));
}

#[test]
fn prefixes_that_are_over_hide_no_wider_one() {
    let options = options();
    let enforcer = attach(&AttachOptions {
        capacities: Capacities {
            prefixes: 128,
            ..options.capacities
        },
        ..options
    });
    for (wide, source, us, narrower) in [
        ("198.51.0.0/16", V4, US_V4, 17..=31),
        ("2001:db8::/32", V6, US_V6, 33..=127),
    ] {
        let frame = Packet::tcp(source, 1, us, 443).build();
        ban(&enforcer, prefix(wide));
        for length in narrower {
            let over = IpNet::new(source.parse().unwrap(), length).unwrap().trunc();
            enforcer
                .ban(Target::Prefix(over), ALREADY_OVER, Origin::Operator)
                .unwrap();
        }
        assert!(enforcer.test_run(&frame, 1).unwrap().dropped, "{source}");
        enforcer.unban(prefix(wide)).unwrap();
        assert!(!enforcer.test_run(&frame, 1).unwrap().dropped, "{source}");
    }
}
