//! What a frame says, read by another library than the XDP program: the reference that its parser is held against.
//!
//! Every header is read by `etherparse`. Ours is only the walk from one to the next, with the limits that the program
//! documents: two VLAN tags, five extension headers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use etherparse::{
    EtherType, Ethernet2HeaderSlice, IpNumber, Ipv4HeaderSlice, Ipv6FragmentHeaderSlice, Ipv6HeaderSlice,
    Ipv6RawExtHeaderSlice, SingleVlanHeaderSlice, ether_type, ip_number,
};

const MOST_TAGS: usize = 2;
const MOST_EXTENSIONS: usize = 5;

/// A frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dissected {
    /// Cut off within the headers that tell the source, or of another IP version than it says.
    Malformed,
    /// No IP.
    NotIp,
    /// An IP packet.
    Ip(IpPacket),
}

/// What verdicts are about. Addresses are canonical: a v4-mapped one is IPv4.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IpPacket {
    /// Who sent it.
    pub source: IpAddr,
    /// To whom.
    pub destination: IpAddr,
    /// Of TCP and UDP, where they are in this packet.
    pub ports: Option<Ports>,
}

/// The ports of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// Or UDP.
    pub is_tcp: bool,
    /// The sender's.
    pub source: u16,
    /// The receiver's.
    pub destination: u16,
}

impl IpPacket {
    /// Both ends of the TCP connection it belongs to: the sender's, ours.
    #[must_use]
    pub fn tcp_flow(&self) -> Option<(SocketAddr, SocketAddr)> {
        let ports = self.ports.filter(|ports| ports.is_tcp)?;
        Some((
            SocketAddr::new(self.source, ports.source),
            SocketAddr::new(self.destination, ports.destination),
        ))
    }
}

/// Reads a frame.
#[must_use]
pub fn dissect(frame: &[u8]) -> Dissected {
    let Ok(ethernet) = Ethernet2HeaderSlice::from_slice(frame) else {
        return Dissected::Malformed;
    };
    let mut kind = ethernet.ether_type();
    let mut rest = &frame[ethernet.slice().len()..];
    for _ in 0..MOST_TAGS {
        if ![ether_type::VLAN_TAGGED_FRAME, ether_type::PROVIDER_BRIDGING].contains(&kind) {
            break;
        }
        let Ok(tag) = SingleVlanHeaderSlice::from_slice(rest) else {
            return Dissected::Malformed;
        };
        kind = tag.ether_type();
        rest = &rest[tag.slice().len()..];
    }
    network(kind, rest)
}

fn network(kind: EtherType, packet: &[u8]) -> Dissected {
    let read = match kind {
        ether_type::IPV4 => ipv4(packet),
        ether_type::IPV6 => ipv6(packet),
        _ => return Dissected::NotIp,
    };
    read.map_or(Dissected::Malformed, Dissected::Ip)
}

fn ipv4(packet: &[u8]) -> Option<IpPacket> {
    let mut fixed: [u8; 20] = *packet.first_chunk()?;
    // The source does not depend on the options being there.
    fixed[0] = (fixed[0] & 0xf0) | 5;
    let header = Ipv4HeaderSlice::from_slice(&fixed).ok()?;
    let ports = Ipv4HeaderSlice::from_slice(packet)
        .ok()
        .filter(|header| header.fragments_offset().value() == 0)
        .and_then(|header| ports(header.protocol(), &packet[header.slice().len()..]));
    Some(IpPacket {
        source: Ipv4Addr::from(header.source()).into(),
        destination: Ipv4Addr::from(header.destination()).into(),
        ports,
    })
}

fn ipv6(packet: &[u8]) -> Option<IpPacket> {
    let header = Ipv6HeaderSlice::from_slice(packet).ok()?;
    Some(IpPacket {
        source: Ipv6Addr::from(header.source()).to_canonical(),
        destination: Ipv6Addr::from(header.destination()).to_canonical(),
        ports: behind_extensions(header.next_header(), &packet[header.slice().len()..]),
    })
}

fn behind_extensions(mut next: IpNumber, mut rest: &[u8]) -> Option<Ports> {
    for _ in 0..=MOST_EXTENSIONS {
        let length = match next {
            ip_number::IPV6_HEADER_HOP_BY_HOP | ip_number::IPV6_ROUTE_HEADER | ip_number::IPV6_DESTINATION_OPTIONS => {
                let header = Ipv6RawExtHeaderSlice::from_slice(rest).ok()?;
                next = header.next_header();
                header.slice().len()
            }
            ip_number::AUTHENTICATION_HEADER => {
                let (number, length) = authentication(rest)?;
                next = number;
                length
            }
            ip_number::IPV6_FRAGMENTATION_HEADER => {
                let header = Ipv6FragmentHeaderSlice::from_slice(rest).ok()?;
                if header.fragment_offset().value() != 0 {
                    return None;
                }
                next = header.next_header();
                header.slice().len()
            }
            transport => return ports(transport, rest),
        };
        rest = rest.get(length..)?;
    }
    None
}

/// What follows, and the length. `etherparse` refuses a header shorter than RFC 4302 allows; the kernel walks over it
/// (`ipv6_skip_exthdr`), and so must we.
fn authentication(rest: &[u8]) -> Option<(IpNumber, usize)> {
    let (next, length) = (*rest.first()?, usize::from(*rest.get(1)?));
    Some((IpNumber(next), (length + 2) * 4))
}

fn ports(transport: IpNumber, rest: &[u8]) -> Option<Ports> {
    let is_tcp = match transport {
        ip_number::TCP => true,
        ip_number::UDP => false,
        _ => return None,
    };
    let &[a, b, c, d] = rest.first_chunk()?;
    Some(Ports {
        is_tcp,
        source: u16::from_be_bytes([a, b]),
        destination: u16::from_be_bytes([c, d]),
    })
}
