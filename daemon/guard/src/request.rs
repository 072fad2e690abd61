//! What a decision may know of a request, and the names of those who take part in it.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use http::{HeaderMap, Method};
use ipnet::IpNet;

use crate::path::NormalPath;

/// The address of the client, never of a proxy in between. IPv4 in IPv6 (`::ffff:a.b.c.d`) is IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientAddress(IpAddr);

impl ClientAddress {
    /// Wraps an address in its canonical form.
    #[must_use]
    pub fn new(address: IpAddr) -> Self {
        Self(address.to_canonical())
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

impl fmt::Display for ClientAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An IPv4 address or an IPv6 /64: the unit in which addresses are scored, bound and banned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
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
    /// The query as sent, without `?`; `None` if there was no `?`.
    pub query: Option<&'a str>,
    /// The path that rules match and the upstream gets.
    pub path: &'a NormalPath,
    /// All header fields.
    pub headers: &'a HeaderMap,
    /// Whether bytes follow the head.
    pub has_body: bool,
    /// Who asks.
    pub client: ClientAddress,
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
}
