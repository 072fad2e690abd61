//! The parser of the XDP program against another one, on random packets. Needs root.
//!
//! Packets are built by `etherparse`, cut off and damaged at random, and run through the program with a ban that hits
//! or just misses them; the verdict must be what `dissect` and the ban say. A failure prints the seed of its case:
//! `PORTCULLIS_SEED=… cargo test -p portcullis-tests --test xdp_parser_property` runs it again. `PORTCULLIS_CASES` sets
//! how many there are.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper of tests may fail as a test may"
)]

use std::{
    collections::BTreeMap,
    hash::{BuildHasher as _, RandomState},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use etherparse::{
    EtherType, Ethernet2Header, IpAuthHeader, IpFragOffset, IpNumber, Ipv4Header, Ipv4Options, Ipv6FragmentHeader,
    Ipv6Header, Ipv6RawExtHeader, SingleVlanHeader, TcpHeader, UdpHeader, VlanId, ether_type, ip_number,
};
use ipnet::IpNet;
use portcullis::enforcer::{AttachOptions, Capacities, Enforcer, Flow, Mode, Origin, Target};
use portcullis_tests::dissect::{Dissected, IpPacket, Ports, dissect};

const HOUR: Duration = Duration::from_secs(3600);
const CASES: u64 = 20_000;
const EXEMPT_PORT: u16 = 22;
/// The shortest frame that the kernel's test run takes.
const SHORTEST: usize = 14;

/// A small generator (splitmix64), so that a failure comes again.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn roll(&mut self, sides: u64) -> u64 {
        self.next() % sides
    }

    fn one_in(&mut self, sides: u64) -> bool {
        self.roll(sides) == 0
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.roll(choices.len() as u64) as usize]
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }

    fn v4(&mut self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.next() as u32)
    }

    /// Any address, a v4-mapped one now and then.
    fn v6(&mut self) -> Ipv6Addr {
        match self.roll(6) {
            0 => self.v4().to_ipv6_mapped(),
            _ => Ipv6Addr::from_bits(u128::from(self.next()) << 64 | u128::from(self.next())),
        }
    }

    fn port(&mut self) -> u16 {
        let any = self.next() as u16;
        self.of(&[EXEMPT_PORT, 443, any, any, any])
    }
}

/// A frame, and what whoever built it meant.
struct Built {
    frame: Vec<u8>,
    meant: IpPacket,
}

fn transport(dice: &mut Dice) -> (IpNumber, Option<Ports>, Vec<u8>) {
    let (source, destination) = (dice.port(), dice.port());
    let ports = |is_tcp| {
        Some(Ports {
            is_tcp,
            source,
            destination,
        })
    };
    let header = match dice.roll(5) {
        0 => (ip_number::UDP, ports(false), {
            let header = UdpHeader {
                source_port: source,
                destination_port: destination,
                length: 8,
                checksum: 0,
            };
            header.to_bytes().to_vec()
        }),
        1 => {
            let other = [
                ip_number::GRE,
                ip_number::SCTP,
                ip_number::ENCAPSULATING_SECURITY_PAYLOAD,
                ip_number::ICMP,
                ip_number::IPV6_ICMP,
            ];
            (dice.of(&other), None, dice.bytes(12))
        }
        _ => {
            let header = TcpHeader::new(source, destination, dice.next() as u32, 1024);
            (ip_number::TCP, ports(true), header.to_bytes().to_vec())
        }
    };
    let (number, ports, mut bytes) = header;
    let payload = dice.roll(40) as usize;
    bytes.extend(dice.bytes(payload));
    (number, ports, bytes)
}

fn ipv4(dice: &mut Dice) -> (IpPacket, Vec<u8>) {
    let (protocol, mut ports, payload) = transport(dice);
    let (source, destination) = (dice.v4(), dice.v4());
    let mut header = Ipv4Header::new(
        payload.len() as u16,
        64,
        protocol,
        source.octets(),
        destination.octets(),
    )
    .unwrap();
    if dice.one_in(3) {
        let words = dice.roll(11) as usize;
        header.options = Ipv4Options::try_from(&dice.bytes(words * 4)[..]).unwrap();
    }
    if dice.one_in(4) {
        let offset = dice.of(&[0, 0, 1, 185, 8191]);
        header.fragment_offset = IpFragOffset::try_new(offset).unwrap();
        header.more_fragments = dice.one_in(2);
        ports = ports.filter(|_| offset == 0);
    }
    let mut bytes = header.to_bytes().to_vec();
    bytes.extend(payload);
    let meant = IpPacket {
        source: source.into(),
        destination: destination.into(),
        ports,
    };
    (meant, bytes)
}

fn ipv6(dice: &mut Dice) -> (IpPacket, Vec<u8>) {
    let (mut next, mut ports, mut bytes) = transport(dice);
    let count = dice.of(&[0, 0, 1, 2, 3, 5, 6]);
    if count > 5 {
        ports = None;
    }
    // From the last one to the first, as each tells what follows it.
    for _ in 0..count {
        let (number, header, hides_ports) = extension(dice, next);
        bytes.splice(0..0, header);
        next = number;
        ports = ports.filter(|_| !hides_ports);
    }
    let (source, destination) = (dice.v6(), dice.v6());
    let header = Ipv6Header {
        payload_length: bytes.len() as u16,
        next_header: next,
        hop_limit: 64,
        source: source.octets(),
        destination: destination.octets(),
        ..Ipv6Header::default()
    };
    bytes.splice(0..0, header.to_bytes());
    let meant = IpPacket {
        source: source.to_canonical(),
        destination: destination.to_canonical(),
        ports,
    };
    (meant, bytes)
}

/// An extension header, its number, and whether the ports behind it belong to another fragment.
fn extension(dice: &mut Dice, next: IpNumber) -> (IpNumber, Vec<u8>, bool) {
    match dice.roll(5) {
        0 => {
            let offset = dice.of(&[0, 0, 1, 8191]);
            let header = Ipv6FragmentHeader::new(next, IpFragOffset::try_new(offset).unwrap(), dice.one_in(2), 7);
            let bytes = header.to_bytes().to_vec();
            (ip_number::IPV6_FRAGMENTATION_HEADER, bytes, offset != 0)
        }
        1 => {
            let words = dice.of(&[0, 1, 3, 8]);
            let header = IpAuthHeader::new(next, 1, 2, &dice.bytes(words * 4)).unwrap();
            (ip_number::AUTHENTICATION_HEADER, header.to_bytes().to_vec(), false)
        }
        _ => {
            let number = dice.of(&[
                ip_number::IPV6_HEADER_HOP_BY_HOP,
                ip_number::IPV6_ROUTE_HEADER,
                ip_number::IPV6_DESTINATION_OPTIONS,
            ]);
            let units = dice.of(&[0, 0, 1, 5]);
            let header = Ipv6RawExtHeader::new_raw(next, &dice.bytes(6 + units * 8)).unwrap();
            (number, header.to_bytes().to_vec(), false)
        }
    }
}

fn build(dice: &mut Dice) -> Built {
    let (kind, (meant, packet)) = match dice.roll(2) {
        0 => (ether_type::IPV4, ipv4(dice)),
        _ => (ether_type::IPV6, ipv6(dice)),
    };
    let tags: Vec<EtherType> = (0..dice.roll(3))
        .map(|_| dice.of(&[ether_type::VLAN_TAGGED_FRAME, ether_type::PROVIDER_BRIDGING]))
        .collect();
    let link = Ethernet2Header {
        source: [2, 0, 0, 0, 0, 1],
        destination: [2, 0, 0, 0, 0, 2],
        ether_type: tags.first().copied().unwrap_or(kind),
    };
    let mut frame = link.to_bytes().to_vec();
    for number in 0..tags.len() {
        let tag = SingleVlanHeader {
            vlan_id: VlanId::try_new(dice.roll(4095) as u16).unwrap(),
            ether_type: tags.get(number + 1).copied().unwrap_or(kind),
            ..SingleVlanHeader::default()
        };
        frame.extend(tag.to_bytes());
    }
    frame.extend(packet);
    Built { frame, meant }
}

/// Cuts off or changes a few bytes, those of the headers above all.
fn damage(dice: &mut Dice, frame: &mut Vec<u8>) {
    if dice.one_in(2) {
        let length = SHORTEST as u64 + dice.roll(frame.len() as u64 - SHORTEST as u64 + 1);
        frame.truncate(length as usize);
    }
    if dice.one_in(2) {
        for _ in 0..=dice.roll(3) {
            // The addresses of the cards mean nothing.
            if frame.len() > 12 {
                let at = 12 + dice.roll(frame.len() as u64 - 12) as usize;
                frame[at] = match dice.roll(3) {
                    0 => dice.next() as u8,
                    1 => frame[at] ^ (1 << dice.roll(8)),
                    _ => dice.of(&[0, 1, 4, 6, 17, 43, 44, 51, 60, 0x45, 0x60, 0x81, 0x86, 0x88, 0xff]),
                };
            }
        }
    }
}

/// A ban that is about this packet, or nearly.
fn target(dice: &mut Dice, packet: &IpPacket) -> Target {
    match dice.roll(6) {
        0 => Target::Host(packet.source),
        1 => Target::Host(neighbour(dice, packet.source)),
        2 => prefix(dice, packet.source),
        3 => {
            let neighbour = neighbour(dice, packet.source);
            prefix(dice, neighbour)
        }
        _ => {
            let ports = packet.ports.unwrap_or(Ports {
                is_tcp: true,
                source: dice.port(),
                destination: dice.port(),
            });
            let mut remote = SocketAddr::new(packet.source, ports.source);
            let mut local = SocketAddr::new(packet.destination, ports.destination);
            match dice.roll(6) {
                0 => remote.set_port(ports.source ^ 1),
                1 => local.set_port(ports.destination ^ 256),
                2 => local.set_ip(neighbour(dice, packet.destination)),
                3 => remote.set_ip(neighbour(dice, packet.source)),
                _ => {}
            }
            // A v4-mapped address on one side only: there is no such connection, and no such ban.
            if remote.is_ipv4() != local.is_ipv4() {
                return Target::Host(packet.source);
            }
            Target::Flow(Flow { remote, local })
        }
    }
}

/// An address that differs in one bit, but stays of its family.
fn neighbour(dice: &mut Dice, address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) => Ipv4Addr::from_bits(address.to_bits() ^ (1 << dice.roll(32))).into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() ^ (1 << dice.roll(128))).to_canonical(),
    }
}

fn prefix(dice: &mut Dice, address: IpAddr) -> Target {
    let lengths = if address.is_ipv4() { 33 } else { 129 };
    let network = IpNet::new(address, dice.roll(lengths) as u8).unwrap().trunc();
    // Such a network is no target.
    let holds_all_of_v4 = address.is_ipv6() && network.contains(&IpAddr::V6(Ipv4Addr::UNSPECIFIED.to_ipv6_mapped()));
    if holds_all_of_v4 {
        return Target::Host(address);
    }
    Target::Prefix(network)
}

/// What must become of the packet.
fn drops(packet: &IpPacket, target: Target) -> bool {
    if packet.ports.is_some_and(|ports| ports.destination == EXEMPT_PORT) {
        return false;
    }
    match target {
        Target::Host(host) => host == packet.source,
        Target::Prefix(network) => network.contains(&packet.source),
        Target::Flow(flow) => packet.tcp_flow() == Some((flow.remote, flow.local)),
    }
}

fn enforcer() -> Enforcer {
    let options = AttachOptions {
        mode: Mode::Enforce,
        exempt_ports: vec![EXEMPT_PORT],
        capacities: Capacities {
            hosts_limit: 0,
            hosts: 64,
            hosts_v6: 0,
            prefixes: 64,
            flows: 64,
        },
        ..AttachOptions::default()
    };
    match Enforcer::attach(&options) {
        Ok(enforcer) => enforcer,
        Err(error) => panic!("this test needs to load the XDP program: {error}"),
    }
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")),
    )
}

/// The seeds of the cases: of one, or of many that differ at each run.
fn seeds() -> impl Iterator<Item = u64> {
    let again = number("PORTCULLIS_SEED");
    let start = again.unwrap_or_else(|| RandomState::new().hash_one("xdp_parser_property"));
    let default = if again.is_some() { 1 } else { CASES };
    (0..number("PORTCULLIS_CASES").unwrap_or(default)).map(move |case| start.wrapping_add(case))
}

/// Runs one case and tells what kind it was.
fn run(enforcer: &Enforcer, seed: u64) -> &'static str {
    let mut dice = Dice(seed);
    let Built { mut frame, meant } = build(&mut dice);
    assert_eq!(
        dissect(&frame),
        Dissected::Ip(meant.clone()),
        "builder and dissector disagree"
    );
    if dice.one_in(2) {
        damage(&mut dice, &mut frame);
    }
    let read = dissect(&frame);
    let (about, dissected) = match &read {
        Dissected::Ip(packet) => (packet, Some(packet)),
        Dissected::NotIp | Dissected::Malformed => (&meant, None),
    };
    let target = target(&mut dice, about);
    let unbanned = enforcer.test_run(&frame, 1).unwrap();
    assert!(
        !unbanned.dropped,
        "dropped although nothing is banned: {read:?} {frame:02x?}"
    );
    enforcer.ban(target, HOUR, Origin::Operator).unwrap();
    let dropped = enforcer.test_run(&frame, 1).unwrap().dropped;
    assert!(enforcer.unban(target).unwrap());
    let expected = dissected.is_some_and(|packet| drops(packet, target));
    assert_eq!(dropped, expected, "{target:?} on {read:?} {frame:02x?}");
    match (&read, target, dropped) {
        (Dissected::NotIp, ..) => "not IP",
        (Dissected::Malformed, ..) => "malformed",
        (Dissected::Ip(_), Target::Host(_), true) => "host, dropped",
        (Dissected::Ip(_), Target::Prefix(_), true) => "prefix, dropped",
        (Dissected::Ip(_), Target::Flow(_), true) => "flow, dropped",
        (Dissected::Ip(_), Target::Host(_), false) => "host, passed",
        (Dissected::Ip(_), Target::Prefix(_), false) => "prefix, passed",
        (Dissected::Ip(_), Target::Flow(_), false) => "flow, passed",
    }
}

#[test]
fn the_program_reads_random_packets_as_another_library_does() {
    let enforcer = enforcer();
    let mut kinds: BTreeMap<&str, u64> = BTreeMap::new();
    let mut cases = 0;
    for seed in seeds() {
        match std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(&enforcer, seed))) {
            Ok(kind) => *kinds.entry(kind).or_default() += 1,
            Err(panic) => {
                eprintln!("again with PORTCULLIS_SEED={seed}");
                std::panic::resume_unwind(panic);
            }
        }
        cases += 1;
    }
    println!("{cases} cases: {kinds:?}");
    if cases >= 10_000 {
        // Whoever changes the generator must not make it miss what it is for.
        assert_eq!(kinds.len(), 8, "{kinds:?}");
        assert!(kinds.values().all(|count| *count >= cases / 1000), "{kinds:?}");
    }
    assert_eq!(enforcer.list().unwrap().bans, []);
}
