//! Builds frames, one header after the other, with as little as a test needs to say.

#![expect(clippy::expect_used, clippy::panic, reason = "a wrong frame is a wrong test")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// 802.1Q.
pub const DOT1Q: u16 = 0x8100;
/// 802.1ad, the outer tag of QinQ.
pub const DOT1AD: u16 = 0x88a8;

/// The smallest frame that the kernel's test run takes: an Ethernet header.
pub const SMALLEST_TEST_RUN: usize = 14;

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_ARP: u16 = 0x0806;
const ETHERTYPE_IPV6: u16 = 0x86dd;

const HOP_BY_HOP: u8 = 0;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION_OPTIONS: u8 = 60;

/// An IP packet in the making.
#[derive(Clone, Debug)]
pub struct Packet {
    source: IpAddr,
    destination: IpAddr,
    tags: Vec<u16>,
    options: Vec<u8>,
    extensions: Vec<Extension>,
    fragment: Option<Fragment>,
    protocol: u8,
    transport: Vec<u8>,
}

/// An IPv6 extension header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extension {
    /// Of that many bytes, a multiple of 8.
    HopByHop(usize),
    /// Of that many bytes, a multiple of 8.
    Routing(usize),
    /// Of that many bytes, a multiple of 8.
    DestinationOptions(usize),
    /// Of that many bytes, a multiple of 4.
    Authentication(usize),
    /// With an offset in units of 8 bytes, and whether more follow.
    Fragment(u16, bool),
}

#[derive(Clone, Copy, Debug)]
struct Fragment {
    offset: u16,
    more: bool,
}

impl Packet {
    /// A packet of another protocol than TCP and UDP, with a little payload.
    pub fn of_protocol(source: &str, destination: &str, protocol: u8) -> Self {
        Self {
            source: source.parse().expect("an address"),
            destination: destination.parse().expect("an address"),
            tags: Vec::new(),
            options: Vec::new(),
            extensions: Vec::new(),
            fragment: None,
            protocol,
            transport: vec![0; 8],
        }
    }

    /// A TCP segment.
    pub fn tcp(source: &str, source_port: u16, destination: &str, destination_port: u16) -> Self {
        let mut packet = Self::of_protocol(source, destination, TCP);
        packet.transport = tcp_header(source_port, destination_port);
        packet
    }

    /// A UDP datagram.
    pub fn udp(source: &str, source_port: u16, destination: &str, destination_port: u16) -> Self {
        let mut packet = Self::of_protocol(source, destination, UDP);
        packet.transport = [source_port, destination_port, 12, 0]
            .iter()
            .flat_map(|field| field.to_be_bytes())
            .chain([0; 4])
            .collect();
        packet
    }

    /// Adds a VLAN tag inside of those that are there.
    pub fn tag(mut self, ethertype: u16) -> Self {
        self.tags.push(ethertype);
        self
    }

    /// Adds that many bytes of IPv4 options, a multiple of 4.
    pub fn options(mut self, bytes: usize) -> Self {
        self.options = vec![1; bytes];
        self
    }

    /// Adds an IPv6 extension header after those that are there.
    pub fn extension(mut self, extension: Extension) -> Self {
        self.extensions.push(extension);
        self
    }

    /// Makes an IPv4 fragment of it, with an offset in units of 8 bytes.
    pub fn fragment(mut self, offset: u16, more: bool) -> Self {
        self.fragment = Some(Fragment { offset, more });
        self
    }

    /// The frame.
    pub fn build(&self) -> Vec<u8> {
        let (ethertype, network) = match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => (ETHERTYPE_IPV4, self.ipv4(source, destination)),
            (IpAddr::V6(source), IpAddr::V6(destination)) => (ETHERTYPE_IPV6, self.ipv6(source, destination)),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {
                panic!("addresses of two families in one packet")
            }
        };
        ethernet(&self.tags, ethertype, &network)
    }

    /// Where the fixed IP header of the built frame ends: from there on the source is known.
    pub fn network_end(&self) -> usize {
        self.network_start() + if self.source.is_ipv4() { 20 } else { 40 }
    }

    /// Where the ports of the built frame end, should it have any.
    pub fn ports_end(&self) -> usize {
        self.build().len() - self.transport.len() + 4
    }

    fn network_start(&self) -> usize {
        14 + 4 * self.tags.len()
    }

    fn ipv4(&self, source: Ipv4Addr, destination: Ipv4Addr) -> Vec<u8> {
        let words = 5 + self.options.len() / 4;
        let total = words * 4 + self.transport.len();
        let fragment = self
            .fragment
            .map_or(0, |fragment| fragment.offset | if fragment.more { 0x2000 } else { 0 });
        let mut bytes = vec![0x40 | words as u8, 0];
        bytes.extend((total as u16).to_be_bytes());
        bytes.extend([0x12, 0x34]);
        bytes.extend(fragment.to_be_bytes());
        bytes.extend([64, self.protocol, 0, 0]);
        bytes.extend(source.octets());
        bytes.extend(destination.octets());
        bytes.extend(&self.options);
        bytes.extend(&self.transport);
        bytes
    }

    fn ipv6(&self, source: Ipv6Addr, destination: Ipv6Addr) -> Vec<u8> {
        let mut payload = Vec::new();
        for (index, extension) in self.extensions.iter().enumerate() {
            let next = self.extensions.get(index + 1).map_or(self.protocol, Extension::number);
            payload.extend(extension.bytes(next));
        }
        payload.extend(&self.transport);
        let first = self.extensions.first().map_or(self.protocol, Extension::number);
        let mut bytes = vec![0x60, 0, 0, 0];
        bytes.extend((payload.len() as u16).to_be_bytes());
        bytes.extend([first, 64]);
        bytes.extend(source.octets());
        bytes.extend(destination.octets());
        bytes.extend(payload);
        bytes
    }
}

impl Extension {
    fn number(&self) -> u8 {
        match self {
            Self::HopByHop(_) => HOP_BY_HOP,
            Self::Routing(_) => ROUTING,
            Self::DestinationOptions(_) => DESTINATION_OPTIONS,
            Self::Authentication(_) => AUTHENTICATION,
            Self::Fragment(..) => FRAGMENT,
        }
    }

    fn bytes(&self, next: u8) -> Vec<u8> {
        match *self {
            Self::HopByHop(length) | Self::Routing(length) | Self::DestinationOptions(length) => {
                header(next, (length / 8 - 1) as u8, length)
            }
            Self::Authentication(length) => header(next, (length / 4 - 2) as u8, length),
            Self::Fragment(offset, more) => {
                let mut bytes = header(next, 0, 8);
                bytes[2..4].copy_from_slice(&(offset << 3 | u16::from(more)).to_be_bytes());
                bytes
            }
        }
    }
}

/// An ARP request: what nobody may ever drop.
pub fn arp() -> Vec<u8> {
    ethernet(&[], ETHERTYPE_ARP, &[0; 28])
}

/// A frame with that Ethernet type below those tags.
pub fn ethernet(tags: &[u16], ethertype: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    for tag in tags {
        bytes.extend(tag.to_be_bytes());
        bytes.extend([0, 42]);
    }
    bytes.extend(ethertype.to_be_bytes());
    bytes.extend(payload);
    bytes
}

fn header(next: u8, length: u8, bytes: usize) -> Vec<u8> {
    let mut header = vec![0; bytes];
    header[0] = next;
    header[1] = length;
    header
}

fn tcp_header(source_port: u16, destination_port: u16) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(source_port.to_be_bytes());
    bytes.extend(destination_port.to_be_bytes());
    bytes.extend([0; 8]);
    bytes.extend([0x50, 0x02, 0xff, 0xff, 0, 0, 0, 0]);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_where_they_should_be() {
        let packet = Packet::tcp("192.0.2.1", 1000, "192.0.2.2", 80).tag(DOT1Q).options(8);
        let frame = packet.build();
        assert_eq!(frame[packet.network_start()], 0x47);
        assert_eq!(packet.network_end(), 18 + 20);
        assert_eq!(
            &frame[packet.ports_end() - 2..packet.ports_end()],
            &80_u16.to_be_bytes()
        );
    }

    #[test]
    fn extension_headers_chain() {
        let frame = Packet::udp("2001:db8::1", 1, "2001:db8::2", 2)
            .extension(Extension::HopByHop(16))
            .extension(Extension::Fragment(0, true))
            .build();
        assert_eq!(frame[14 + 6], HOP_BY_HOP);
        assert_eq!(&frame[54..56], &[FRAGMENT, 1]);
        assert_eq!(frame[54 + 16], UDP);
    }
}
