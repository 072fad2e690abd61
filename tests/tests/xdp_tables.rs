//! The tables behind the verdicts: full lines, the filter, hit counters, rate limits. Needs root.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper of tests may fail as a test may"
)]

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use portcullis::enforcer::{
    AttachOptions, Capacities, Enforcer, EnforcerError, Flow, Intended, Mode, Origin, Rate, RateLimits, Reason,
    Reconciled, Target,
};
use portcullis_tests::frames::Packet;

const HOUR: Duration = Duration::from_secs(3600);
const US_V4: &str = "192.0.2.1";
const US_V6: &str = "2001:db8::1";

fn attach(hosts: u32) -> Enforcer {
    attach_with(AttachOptions {
        capacities: Capacities {
            hosts_limit: 0,
            hosts,
            hosts_v6: 0,
            prefixes: 4096,
            flows: 1024,
        },
        ..AttachOptions::default()
    })
}

fn attach_with(options: AttachOptions) -> Enforcer {
    let options = AttachOptions {
        mode: Mode::Enforce,
        ..options
    };
    match Enforcer::attach(&options) {
        Ok(enforcer) => enforcer,
        Err(error) => panic!("this test needs to load the XDP program: {error}"),
    }
}

fn frame(source: IpAddr) -> Vec<u8> {
    let to = if source.is_ipv4() { US_V4 } else { US_V6 };
    Packet::tcp(&source.to_string(), 40000, to, 443).build()
}

fn drops(enforcer: &Enforcer, source: IpAddr) -> bool {
    enforcer.test_run(&frame(source), 1).unwrap().dropped
}

/// A small generator, so that a failure comes again.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    /// One of a few thousand hosts in a few networks of either family.
    fn host(&mut self) -> IpAddr {
        let (network, host) = (self.roll(5) as u16, self.roll(400) as u16);
        if self.roll(2) == 0 {
            let [high, low] = host.to_be_bytes();
            Ipv4Addr::new(10, network as u8, high, low).into()
        } else {
            Ipv6Addr::new(0x2001, 0xdb8, network, host / 20, 0, 0, 0, host).into()
        }
    }

    fn target(&mut self) -> Target {
        let host = self.host();
        let lengths: [u8; 4] = if host.is_ipv4() {
            [9, 16, 24, 30]
        } else {
            [30, 40, 64, 112]
        };
        match self.roll(8) {
            0 => {
                let length = lengths[self.roll(4) as usize];
                Target::Prefix(ipnet::IpNet::new(host, length).unwrap().trunc())
            }
            1 => Target::Flow(Flow {
                remote: (host, 40000).into(),
                local: (
                    if host.is_ipv4() { US_V4 } else { US_V6 }.parse::<IpAddr>().unwrap(),
                    443,
                )
                    .into(),
            }),
            _ => Target::Host(host),
        }
    }
}

fn holds(target: &Target, host: IpAddr) -> bool {
    match target {
        Target::Host(banned) => *banned == host,
        Target::Prefix(network) => network.contains(&host),
        Target::Flow(flow) => flow.remote.ip() == host,
    }
}

#[test]
fn the_program_agrees_with_a_model_after_every_change() {
    let enforcer = attach(2_000);
    let mut dice = Dice(0x5eed);
    let mut model: HashMap<Target, ()> = HashMap::new();
    for step in 0..3_000 {
        let target = dice.target();
        if dice.roll(3) == 0 {
            assert_eq!(
                enforcer.unban(target).unwrap(),
                model.remove(&target).is_some(),
                "{target}"
            );
        } else {
            // Wide bans are lifted again soon, or all would be banned.
            if model
                .keys()
                .filter(|banned| matches!(banned, Target::Prefix(_)))
                .count()
                > 3
            {
                let wide = *model.keys().find(|banned| matches!(banned, Target::Prefix(_))).unwrap();
                assert!(enforcer.unban(wide).unwrap());
                model.remove(&wide);
            }
            enforcer.ban(target, HOUR, Origin::Operator).unwrap();
            model.insert(target, ());
        }
        if step % 500 == 499 {
            enforcer.rebuild_filter().unwrap();
        }
        for _ in 0..5 {
            let host = dice.host();
            let banned = model.keys().any(|target| holds(target, host));
            assert_eq!(drops(&enforcer, host), banned, "{host} in step {step}");
        }
    }
    let listed = enforcer.list().unwrap().bans;
    assert_eq!(listed.len(), model.len());
    assert!(listed.iter().all(|(target, _)| model.contains_key(target)));
}

#[test]
fn what_finds_its_line_full_is_banned_all_the_same() {
    // The smallest table has 256 lines of eight for each family, and is told to take more.
    let enforcer = attach(2_600);
    let v4 = |number: u32| IpAddr::from(Ipv4Addr::from_bits(0x0a00_0000 + number * 7));
    let v6 = |number: u32| IpAddr::from(Ipv6Addr::from_bits(u128::from(number) * 3 + (0x2001 << 112)));
    let wide = |number: u32| {
        let network = Ipv6Addr::from_bits((0x2002 << 112) + (u128::from(number) << 64));
        Target::Prefix(ipnet::IpNet::new(network.into(), 64).unwrap())
    };
    for number in 0..1_300 {
        enforcer.ban(Target::Host(v6(number)), HOUR, Origin::List).unwrap();
        enforcer.ban(wide(number), HOUR, Origin::Fleet).unwrap();
    }
    assert!(enforcer.usage().overflowed > 100, "{:?}", enforcer.usage());
    let full = enforcer.ban(Target::Host(v4(1)), HOUR, Origin::List).unwrap_err();
    assert!(matches!(full, EnforcerError::MapFull { capacity: 2_600, .. }), "{full}");
    assert_eq!(enforcer.list().unwrap().bans.len(), 2_600);
    for number in 0..1_300 {
        assert!(drops(&enforcer, v6(number)), "{number}");
        assert!(!drops(&enforcer, v6(number + 1_300)), "{number}");
        assert!(enforcer.lookup(wide(number)).unwrap().is_some());
    }
    // Every second one goes, wherever it was, and the others stay.
    for number in (0..1_300).step_by(2) {
        assert!(enforcer.unban(Target::Host(v6(number))).unwrap());
        assert!(enforcer.unban(wide(number)).unwrap());
    }
    for number in 0..1_300 {
        assert_eq!(drops(&enforcer, v6(number)), number % 2 == 1, "{number}");
        assert_eq!(enforcer.lookup(wide(number)).unwrap().is_some(), number % 2 == 1);
    }
    for number in 0..1_300 {
        enforcer.ban(Target::Host(v4(number)), HOUR, Origin::List).unwrap();
    }
    assert!((0..1_300).all(|number| drops(&enforcer, v4(number))));
}

#[test]
fn no_packet_of_a_banned_host_passes_while_bans_come_and_go() {
    let enforcer = attach(20_000);
    let steady: IpAddr = "198.51.100.7".parse().unwrap();
    let steady_v6: IpAddr = "2001:db8:bad::7".parse().unwrap();
    for host in [steady, steady_v6] {
        enforcer.ban(Target::Host(host), HOUR, Origin::Operator).unwrap();
    }
    enforcer
        .ban(Target::Prefix("172.16.0.0/12".parse().unwrap()), HOUR, Origin::Operator)
        .unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut dice = Dice(7);
            for _ in 0..40 {
                for _ in 0..100 {
                    enforcer.ban(dice.target(), HOUR, Origin::Operator).unwrap();
                    enforcer.unban(dice.target()).unwrap();
                }
                enforcer.rebuild_filter().unwrap();
            }
            stop.store(true, Ordering::Relaxed);
        });
        let hosts = [steady, steady_v6, "172.31.255.255".parse().unwrap()];
        let mut sent = 0;
        while !stop.load(Ordering::Relaxed) {
            for host in hosts {
                let repeat = 2_000;
                enforcer.test_run(&frame(host), repeat).unwrap();
                sent += u64::from(repeat);
            }
        }
        assert_eq!(enforcer.counters().unwrap().dropped().packets, sent);
    });
    assert_eq!(enforcer.counters().unwrap().get(Reason::Passed).packets, 0);
}

#[test]
fn many_bans_are_written_at_once_and_the_refused_are_told() {
    let enforcer = attach(100_000);
    enforcer.allow("10.0.0.0/24".parse().unwrap()).unwrap();
    let hosts = (0..100_256_u32).map(|number| Target::Host(Ipv4Addr::from_bits(0x0a00_0000 + number).into()));
    let refused = enforcer.ban_all(hosts.map(|target| (target, HOUR, Origin::List)));
    assert_eq!(refused.len(), 256);
    assert!(
        refused
            .iter()
            .all(|(_, why)| matches!(why, EnforcerError::NeverBanned { .. }))
    );
    assert_eq!(enforcer.usage().hosts, 100_000);
    assert!(drops(&enforcer, "10.1.0.0".parse().unwrap()));
    assert!(!drops(&enforcer, "10.0.0.7".parse().unwrap()));
}

#[test]
fn hits_are_counted_for_each_ban() {
    let enforcer = attach(16);
    let targets: [(Target, IpAddr); 4] = [
        (
            Target::Host("198.51.100.7".parse().unwrap()),
            "198.51.100.7".parse().unwrap(),
        ),
        (
            Target::Host("2001:db8:bad::7".parse().unwrap()),
            "2001:db8:bad::7".parse().unwrap(),
        ),
        (
            Target::Prefix("2001:db8:1:2::/64".parse().unwrap()),
            "2001:db8:1:2::9".parse().unwrap(),
        ),
        (
            Target::Prefix("10.0.0.0/9".parse().unwrap()),
            "10.127.0.1".parse().unwrap(),
        ),
    ];
    for (target, source) in targets {
        enforcer.ban(target, HOUR, Origin::Operator).unwrap();
        assert_eq!(enforcer.lookup(target).unwrap().unwrap().hits, None);
        let frame = frame(source);
        enforcer.test_run(&frame, 5).unwrap();
        let hits = enforcer.lookup(target).unwrap().unwrap().hits.unwrap();
        assert_eq!((hits.packets, hits.bytes), (5, 5 * frame.len() as u64), "{target}");
        assert!(enforcer.unban(target).unwrap());
        enforcer.ban(target, HOUR, Origin::Operator).unwrap();
        assert_eq!(enforcer.lookup(target).unwrap().unwrap().hits, None);
    }
}

#[test]
fn the_bans_of_one_origin_can_be_counted_only() {
    let enforcer = attach(16);
    let (list, operator): (IpAddr, IpAddr) = ("198.51.100.7".parse().unwrap(), "198.51.100.8".parse().unwrap());
    enforcer.ban(Target::Host(list), HOUR, Origin::List).unwrap();
    enforcer.ban(Target::Host(operator), HOUR, Origin::Operator).unwrap();
    enforcer.set_origin_mode(Origin::List, Mode::Monitor).unwrap();
    assert!(!drops(&enforcer, list) && drops(&enforcer, operator));
    assert_eq!(enforcer.counters().unwrap().would_be(Reason::BannedHost).packets, 1);
    enforcer.set_origin_mode(Origin::List, Mode::Enforce).unwrap();
    assert!(drops(&enforcer, list));
}

fn limited(limits: RateLimits) -> Enforcer {
    attach_with(AttachOptions {
        rate_limits: Some(limits),
        exempt_ports: vec![22],
        ..AttachOptions::default()
    })
}

/// How many of so many packets pass.
fn passed(enforcer: &Enforcer, frame: &[u8], packets: u32) -> u64 {
    let before = enforcer.counters().unwrap().get(Reason::Passed).packets;
    enforcer.test_run(frame, packets).unwrap();
    enforcer.counters().unwrap().get(Reason::Passed).packets - before
}

const SLOW: Rate = Rate {
    per_second: 1,
    burst: 10,
};

#[test]
fn a_source_may_send_its_burst_and_no_more() {
    let enforcer = limited(RateLimits {
        packets: Some(SLOW),
        ..RateLimits::default()
    });
    for source in ["198.51.100.7", "198.51.100.8", "2001:db8:1::1", "2001:db8:2::1"] {
        let through = passed(&enforcer, &frame(source.parse().unwrap()), 1_000);
        assert!((10..=12).contains(&through), "{source}: {through}");
    }
    let limited = enforcer.counters().unwrap().get(Reason::RateLimited).packets;
    assert!(limited >= 4 * 988, "{limited}");
    // Another address of the same /64 is the same source.
    assert!(passed(&enforcer, &frame("2001:db8:1::2".parse().unwrap()), 10) <= 2);
    let management = Packet::tcp("198.51.100.7", 40000, US_V4, 22).build();
    enforcer.test_run(&management, 1).unwrap();
    assert_eq!(enforcer.counters().unwrap().get(Reason::ExemptPort).packets, 1);
    enforcer.allow("198.51.100.0/24".parse().unwrap()).unwrap();
    assert!(!drops(&enforcer, "198.51.100.7".parse().unwrap()));
}

#[test]
fn bytes_and_new_connections_have_limits_of_their_own() {
    let source: IpAddr = "198.51.100.7".parse().unwrap();
    let syn = frame(source);
    let mut data = syn.clone();
    data[14 + 20 + 13] = 0x10;
    let by_bytes = limited(RateLimits {
        bytes: Some(Rate {
            per_second: 100,
            burst: 10 * syn.len() as u64,
        }),
        ..RateLimits::default()
    });
    let through = passed(&by_bytes, &data, 100);
    assert!((10..=20).contains(&through), "{through}");
    let by_syns = limited(RateLimits {
        syns: Some(SLOW),
        ..RateLimits::default()
    });
    assert_eq!(passed(&by_syns, &data, 1_000), 1_000);
    let through = passed(&by_syns, &syn, 100);
    assert!((10..=12).contains(&through), "{through}");
    assert_eq!(passed(&by_syns, &data, 1_000), 1_000);
}

#[test]
fn a_source_over_its_limit_again_and_again_is_reported_again_and_again() {
    let enforcer = limited(RateLimits {
        packets: Some(SLOW),
        strikes: Some(50),
        ..RateLimits::default()
    });
    let mut events = enforcer.take_events().unwrap();
    enforcer
        .test_run(&frame("198.51.100.7".parse().unwrap()), 1_000)
        .unwrap();
    let mut reports = Vec::new();
    while let Some(report) = events.next_report() {
        if report.strikes {
            reports.push(report.source.to_string());
        }
    }
    assert!((15..=20).contains(&reports.len()), "{reports:?}");
    assert!(reports.iter().all(|source| source == "198.51.100.7"), "{reports:?}");
}

fn in_an_hour() -> Duration {
    Duration::from(nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME).unwrap()) + HOUR
}

#[test]
fn reconciling_repairs_what_drifted_and_tells_how_much() {
    let enforcer = attach(64);
    let host = |last: u8| Target::Host(IpAddr::from([198, 51, 100, last]));
    let intended: Vec<Intended> = (1..=10)
        .map(|last| Intended {
            target: host(last),
            until: in_an_hour(),
            origin: Origin::List,
        })
        .collect();
    for last in 1..=6 {
        enforcer.ban(host(last), HOUR, Origin::List).unwrap();
    }
    enforcer.ban(host(7), HOUR * 2, Origin::List).unwrap();
    enforcer.ban(host(8), HOUR, Origin::Operator).unwrap();
    enforcer.ban(host(99), HOUR, Origin::List).unwrap();
    enforcer.allow("198.51.100.10/32".parse().unwrap()).unwrap();
    let among = |bans: &[Intended], target| bans.iter().find(|ban| ban.target == target).copied();
    let found = enforcer
        .reconcile([intended.clone()], &|target| among(&intended, target), &at_once)
        .unwrap();
    let expected = Reconciled {
        intended: 10,
        enforced: 6,
        missing: 2,
        wrong: 2,
        strays: 1,
        refused: 1,
    };
    assert_eq!(found, expected);
    assert!((found.ratio() - 0.6).abs() < 1e-9);
    assert!(!drops(&enforcer, "198.51.100.99".parse().unwrap()));
    let again = enforcer
        .reconcile(
            [intended[..9].to_vec()],
            &|target| among(&intended[..9], target),
            &at_once,
        )
        .unwrap();
    assert_eq!((again.enforced, again.strays, again.ratio()), (9, 0, 1.0));
    for ban in &intended[..9] {
        let held = enforcer.lookup(ban.target).unwrap().unwrap();
        assert!(held.remaining <= HOUR && held.origin == Some(Origin::List));
    }
}

/// Between the moment at which the intention was read and the comparison, one ban is made and another is lifted.
#[test]
fn what_changes_meanwhile_is_no_drift() {
    let enforcer = attach(64);
    let host = |last: u8| Target::Host(IpAddr::from([198, 51, 100, last]));
    let ban = |last| Intended {
        target: host(last),
        until: in_an_hour(),
        origin: Origin::List,
    };
    let (lifted, made) = (ban(1), ban(2));
    enforcer.ban(made.target, HOUR, Origin::List).unwrap();
    let current = |target| (target == made.target).then_some(made);
    let found = enforcer.reconcile([vec![lifted]], &current, &at_once).unwrap();
    assert_eq!((found.missing, found.strays), (0, 0));
    assert!(enforcer.lookup(made.target).unwrap().is_some(), "taken for a stray");
    assert!(enforcer.lookup(lifted.target).unwrap().is_none(), "brought back");
}

/// The intention of many bans changes before the tables do: in between, one is banned in the kernel that nobody intends
/// any more, and one is intended that it does not know yet.
#[test]
fn what_is_under_way_is_no_drift() {
    let enforcer = attach(64);
    let host = |last: u8| Target::Host(IpAddr::from([198, 51, 100, last]));
    let coming = Intended {
        target: host(2),
        until: in_an_hour(),
        origin: Origin::List,
    };
    enforcer.ban(host(1), HOUR, Origin::List).unwrap();
    let current = |target| (target == coming.target).then_some(coming);
    let finished = |act: &mut dyn FnMut()| {
        enforcer.unban(host(1)).unwrap();
        enforcer.ban(coming.target, HOUR, Origin::List).unwrap();
        act();
    };
    let found = enforcer.reconcile([vec![coming]], &current, &finished).unwrap();
    assert_eq!((found.missing, found.wrong, found.strays), (0, 0, 0));
    assert_eq!((found.enforced, found.ratio()), (1, 1.0));
}

/// Nobody else changes anything.
fn at_once(act: &mut dyn FnMut()) {
    act();
}
