//! What a decision may know of a request, and the names of those who take part in it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::{HeaderMap, Method};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::fingerprint::Fingerprint;
use crate::path::NormalPath;

/// The address of the client, never of a proxy in between. IPv4 in IPv6 is IPv4: mapped (`::ffff:a.b.c.d`), and
/// translated under NAT64's well-known prefix (`64:ff9b::a.b.c.d`, RFC 6052), behind which the whole of IPv4 would
/// otherwise be one /64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientAddress(IpAddr);

impl ClientAddress {
    /// Wraps an address in its canonical form.
    #[must_use]
    pub fn new(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(v6) => Self(embedded(v6).map_or(IpAddr::V6(v6), IpAddr::V4)),
            v4 @ IpAddr::V4(_) => Self(v4),
        }
    }

    /// The canonical address.
    #[must_use]
    pub fn ip(self) -> IpAddr {
        self.0
    }

    /// Who counts as one source: an IPv4 address, or an IPv6 /64, since a host picks its own interface identifier.
    #[must_use]
    pub fn source(self) -> Source {
        match self.0 {
            IpAddr::V4(_) => Source(self.0),
            IpAddr::V6(v6) => Source(IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)))),
        }
    }
}

impl ClientAddress {
    /// The network around the address that people tend to share: /24 or /48.
    #[must_use]
    pub fn neighbourhood(self) -> IpNet {
        let length = match self.0 {
            IpAddr::V4(_) => 24,
            IpAddr::V6(_) => 48,
        };
        // Both lengths are valid for their family, so the fallback is never taken.
        IpNet::new(self.0, length).map_or(IpNet::from(self.0), |network| network.trunc())
    }
}

/// The IPv4 address that a translator put into an IPv6 one. What is not global has no business there (RFC 6052 section
/// 3.1) and stands for itself: nobody becomes loopback by that.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    const WELL_KNOWN: u128 = 0x0064_ff9b_u128 << 96;
    let low = u32::try_from(address.to_bits() ^ WELL_KNOWN).ok()?;
    let v4 = Ipv4Addr::from_bits(low);
    let is_local = v4.is_loopback() || v4.is_private() || v4.is_link_local();
    let is_special = v4.octets()[0] == 0 || v4.is_multicast() || v4.is_broadcast();
    (!is_local && !is_special).then_some(v4)
}

impl fmt::Display for ClientAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An IPv4 address or an IPv6 /64: the unit in which addresses are scored, bound and banned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Source(IpAddr);

impl Source {
    /// The source as a network: a /32 or a /64.
    #[must_use]
    pub fn network(self) -> IpNet {
        let length = match self.0 {
            IpAddr::V4(_) => 32,
            IpAddr::V6(_) => 64,
        };
        // Both lengths are valid for their family, so the fallback is never taken.
        IpNet::new(self.0, length).unwrap_or(IpNet::from(self.0))
    }

    /// The sources of a prefix, at most 65,536 of them.
    pub fn within(network: IpNet) -> impl Iterator<Item = Self> {
        const MOST: u32 = 1 << 16;
        let (first, bits) = match network {
            IpNet::V4(v4) => (IpAddr::V4(v4.network()), 32 - v4.prefix_len()),
            IpNet::V6(v6) => (IpAddr::V6(v6.network()), 64u8.saturating_sub(v6.prefix_len())),
        };
        let count = 1u32.checked_shl(bits.into()).unwrap_or(MOST).min(MOST);
        (0..count).map(move |number| match first {
            IpAddr::V4(v4) => Self(IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits().wrapping_add(number)))),
            IpAddr::V6(v6) => {
                let bits = v6.to_bits().wrapping_add(u128::from(number) << 64);
                Self(IpAddr::V6(Ipv6Addr::from_bits(bits)))
            }
        })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(_) => self.0.fmt(f),
            IpAddr::V6(_) => self.network().fmt(f),
        }
    }
}

/// A connection of the listener, as long as it lives. Numbers are not used twice in a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ConnectionId(pub u64);

/// What a client is told of a refusal, and what `portcullis why` looks up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reference(pub u64);

/// Crockford's alphabet: no letter can be mistaken for a digit when read out over the telephone.
const REFERENCE_ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const REFERENCE_LENGTH: usize = 13;

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (0..REFERENCE_LENGTH).rev().try_for_each(|digit| {
            let index = (self.0 >> (5 * digit)) & 31;
            let letter = REFERENCE_ALPHABET
                .get(usize::try_from(index).unwrap_or(0))
                .copied()
                .unwrap_or(b'0');
            fmt::Write::write_char(f, char::from(letter))
        })
    }
}

impl std::str::FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() != REFERENCE_LENGTH {
            return Err(ReferenceError);
        }
        let digit = |byte: u8| {
            REFERENCE_ALPHABET
                .iter()
                .position(|&letter| letter == byte.to_ascii_lowercase())
        };
        let value = text
            .bytes()
            .try_fold(0u128, |value, byte| Some((value << 5) | digit(byte)? as u128));
        value
            .and_then(|value| u64::try_from(value).ok())
            .map(Reference)
            .ok_or(ReferenceError)
    }
}

/// A text that is no reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a reference: it has {REFERENCE_LENGTH} letters and digits, as in the `ref` of a problem document")]
pub struct ReferenceError;

/// The head of a request, as the listener saw it.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The method as sent. Signed.
    pub method: &'a Method,
    /// The method that the application will act on, after any override. Rules match it.
    pub operation: &'a Method,
    /// The Host field, lower case, without the default port; already checked to be single and well-formed.
    pub authority: &'a str,
    /// The path as sent, without the query. Signed.
    pub raw_path: &'a str,
    /// The query as sent, without `?` and without a ticket; `None` if there was no `?` or nothing else.
    pub query: Option<&'a str>,
    /// The value of the ticket, if there was one.
    pub ticket: Option<&'a str>,
    /// The path that rules match and the upstream gets.
    pub path: &'a NormalPath,
    /// All header fields.
    pub headers: &'a HeaderMap,
    /// Whether bytes follow the head.
    pub has_body: bool,
    /// Who asks.
    pub client: ClientAddress,
    /// Whether a trusted proxy sent it, whose word on its client is believed.
    pub trusted: bool,
    /// What its TLS handshake says of its program; `None` where TLS ends elsewhere.
    pub fingerprint: Option<Fingerprint>,
    /// Over which connection.
    pub connection: ConnectionId,
    /// What a refusal of this request will be called.
    pub reference: Reference,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reference_reads_back() {
        for value in [0, 1, 31, 32, u64::MAX, 0x0123_4567_89ab_cdef] {
            assert_eq!(Reference(value).to_string().parse(), Ok(Reference(value)));
        }
        assert!("zzzzzzzzzzzzz".parse::<Reference>().is_err(), "more than 64 bits");
        assert!("short".parse::<Reference>().is_err());
    }

    #[test]
    fn a_source_is_a_host_or_a_slash_64() {
        let source = |text: &str| ClientAddress::new(text.parse().unwrap()).source().to_string();
        assert_eq!(source("10.1.2.3"), "10.1.2.3");
        assert_eq!(source("::ffff:10.1.2.3"), "10.1.2.3");
        assert_eq!(source("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
    }

    #[test]
    fn a_prefix_has_its_sources() {
        let within = |network: &str| Source::within(network.parse().unwrap()).collect::<Vec<_>>();
        let v4 = within("10.0.0.0/24");
        assert_eq!((v4.len(), v4[255].to_string()), (256, "10.0.0.255".into()));
        let v6 = within("2001:db8::/56");
        assert_eq!((v6.len(), v6[255].to_string()), (256, "2001:db8:0:ff::/64".into()));
        assert_eq!(within("2001:db8::/48").len(), 65_536);
        assert_eq!(within("2001:db8::1/128").len(), 1);
        assert_eq!(within("::/0").len(), 65_536);
    }

    #[test]
    fn behind_nat64_everybody_is_who_he_is() {
        let source = |text: &str| ClientAddress::new(text.parse().unwrap()).source().to_string();
        assert_eq!(source("64:ff9b::203.0.113.7"), "203.0.113.7");
        for special in [
            "127.0.0.1",
            "10.0.0.1",
            "192.168.1.1",
            "169.254.1.1",
            "0.0.0.0",
            "224.0.0.1",
        ] {
            assert_eq!(source(&format!("64:ff9b::{special}")), "64:ff9b::/64", "{special}");
        }
        assert_eq!(
            source("64:ff9b:1::203.0.113.7"),
            "64:ff9b:1::/64",
            "a prefix of somebody's own"
        );
    }
}
