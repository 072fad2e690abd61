//! Bans written at random, against a plain list of what should hold.
//!
//! Whoever writes the maps and the program that reads them are looked at together: after each step, the tables and the
//! fate of a packet must be what the list says. A test and a fuzz target play the same steps.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a helper of tests may fail as a test may"
)]

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use ipnet::IpNet;
use portcullis::enforcer::{AttachOptions, Capacities, Enforcer, EnforcerError, Mode, Origin, Target};

/// So few that lines overflow and the table gets full.
const HOSTS: u32 = 600;
const PREFIXES: u32 = 64;
/// The first has ended before anybody asks, and stays in the tables until they are swept.
const TIMES: [Duration; 2] = [Duration::ZERO, Duration::from_secs(3600)];

/// Tables for these steps.
///
/// # Panics
/// Without the privilege to load the program.
#[must_use]
pub fn enforcer() -> Enforcer {
    let attached = Enforcer::attach(&AttachOptions {
        mode: Mode::Enforce,
        event_interval: Duration::from_secs(3600),
        capacities: Capacities {
            hosts: HOSTS,
            hosts_limit: 0,
            hosts_v6: HOSTS,
            prefixes: PREFIXES,
            flows: 64,
        },
        ..AttachOptions::default()
    });
    attached.unwrap_or_else(|error| panic!("this needs to load the XDP program: {error}"))
}

/// Takes four bytes at a time for a step, looks at everything at the end, and leaves the tables empty.
///
/// # Panics
/// Where the kernel disagrees with the list.
pub fn play(enforcer: &Enforcer, steps: &[u8]) {
    let mut list = List {
        enforcer,
        banned: HashMap::new(),
        exempt: HashSet::new(),
    };
    for step in steps.as_chunks::<4>().0 {
        list.take(*step);
    }
    list.check();
    list.clear();
}

/// What should hold.
struct List<'e> {
    enforcer: &'e Enforcer,
    banned: HashMap<Target, Origin>,
    exempt: HashSet<IpNet>,
}

impl List<'_> {
    fn take(&mut self, [what, a, b, c]: [u8; 4]) {
        let target = target(a, b, c);
        match what % 8 {
            0..=3 => self.ban(target, TIMES[usize::from(what >> 7 == 0)], origin(what)),
            4 => {
                let was = self.banned.remove(&target).is_some();
                let lifted = self.enforcer.unban(target).expect("lifted");
                // One that has ended, and was not swept, is lifted too.
                assert!(lifted || !was, "{target} was not there");
            }
            5 => {
                let network = network(target);
                self.enforcer.allow(network).expect("room for all of them");
                self.exempt.insert(network);
            }
            6 => {
                let network = network(target);
                let was = self.enforcer.disallow(network).expect("taken out");
                assert_eq!(was, self.exempt.remove(&network));
            }
            _ if what >> 7 == 0 => self.enforcer.rebuild_filter().expect("rebuilt"),
            _ => drop(self.enforcer.sweep_expired().expect("swept")),
        }
        self.check_one(target);
    }

    fn ban(&mut self, target: Target, ttl: Duration, origin: Origin) {
        match self.enforcer.ban(target, ttl, origin) {
            Ok(()) if ttl.is_zero() => drop(self.banned.remove(&target)),
            Ok(()) => drop(self.banned.insert(target, origin)),
            Err(EnforcerError::NeverBanned { .. }) => {
                let network = network(target);
                assert!(self.exempt.iter().any(|exempt| exempt.contains(&network)), "{target}");
            }
            // Then everything stays as it was, which is looked at next.
            Err(EnforcerError::MapFull { .. }) => {}
            Err(other) => panic!("{other}"),
        }
    }

    /// The table and the program agree with the list about a target.
    fn check_one(&self, target: Target) {
        let held = self.enforcer.lookup(target).expect("read").and_then(|ban| ban.origin);
        assert_eq!(held, self.banned.get(&target).copied(), "{target}");
        let source = network(target).addr();
        let covered = |network: IpNet| network.contains(&source);
        let banned = self.banned.keys().any(|target| covered(network(*target)));
        let exempt = self.exempt.iter().any(|network| covered(*network));
        let run = self.enforcer.test_run(&frame(source), 1).expect("run");
        assert_eq!(run.dropped, banned && !exempt, "a packet of {source}");
    }

    fn check(&self) {
        let contents = self.enforcer.list().expect("read");
        let held: HashMap<_, _> = contents
            .bans
            .into_iter()
            .map(|(target, ban)| (target, ban.origin.expect("an origin")))
            .collect();
        assert_eq!(held, self.banned);
        assert_eq!(contents.allowed.into_iter().collect::<HashSet<_>>(), self.exempt);
    }

    fn clear(self) {
        for target in self.banned.into_keys() {
            assert!(self.enforcer.unban(target).expect("lifted"), "{target} was lost");
        }
        for network in self.exempt {
            assert!(self.enforcer.disallow(network).expect("taken out"));
        }
        self.enforcer.sweep_expired().expect("swept");
        let usage = self.enforcer.usage();
        assert_eq!((usage.hosts, usage.overflowed), (0, 0));
    }
}

fn origin(number: u8) -> Origin {
    Origin::ALL[usize::from(number >> 4) % Origin::ALL.len()]
}

/// A few hundred hosts and networks of both families, many of them inside of others.
fn target(kind: u8, high: u8, low: u8) -> Target {
    let v4 = Ipv4Addr::new(198, 18, high % 4, low);
    let v6 = Ipv6Addr::new(0x2001, 0xdb8, 0, u16::from(high % 4), 0, 0, 0, u16::from(low));
    let prefix = |address: IpAddr, length| {
        let network = IpNet::new(address, length).expect("a length of the family");
        Target::Prefix(network.trunc())
    };
    match kind % 8 {
        0..=2 => Target::Host(v4.into()),
        3 => prefix(v4.into(), 24 + low % 8),
        4 => prefix(v4.into(), 8 + low % 16),
        5 => Target::Host(v6.into()),
        6 => prefix(v6.into(), 64),
        _ => prefix(v6.into(), 32 + low % 32),
    }
}

fn network(target: Target) -> IpNet {
    match target {
        Target::Host(address) => address.into(),
        Target::Prefix(network) => network,
        Target::Flow(flow) => flow.remote.ip().into(),
    }
}

/// A UDP datagram from there.
fn frame(source: IpAddr) -> Vec<u8> {
    let mut frame = vec![0; 62];
    match source {
        IpAddr::V4(source) => {
            frame[12..15].copy_from_slice(&[0x08, 0x00, 0x45]);
            frame[23] = 17;
            frame[26..30].copy_from_slice(&source.octets());
        }
        IpAddr::V6(source) => {
            frame[12..15].copy_from_slice(&[0x86, 0xdd, 0x60]);
            frame[20] = 17;
            frame[22..38].copy_from_slice(&source.octets());
        }
    }
    frame
}
