//! What a session is bound to: the User-Agent and the network it is used from.
//!
//! A signature proves the key; the binding notices when the key's surroundings change. Neither is proof of theft: an
//! address changes with every train ride, so that only costs a fresh nonce, which the SDK fetches unseen.

use http::HeaderMap;
use http::header::USER_AGENT;
use siphasher::sip128::SipHasher13;

use crate::request::{ClientAddress, Source};

/// The surroundings of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding {
    /// From where.
    pub source: Source,
    /// By which browser: a hash of the User-Agent field.
    pub user_agent: [u8; 16],
}

/// What differs between the surroundings of a session and those of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    None,
    /// Another /32 or /64.
    Address,
    /// Another User-Agent; the address may differ as well.
    UserAgent,
}

impl Binding {
    /// The surroundings of a request.
    #[must_use]
    pub fn of(client: ClientAddress, headers: &HeaderMap) -> Self {
        let agent = headers.get(USER_AGENT).map_or(&[][..], http::HeaderValue::as_bytes);
        // Whoever wants the same hash can send the same User-Agent, so it need not be a cryptographic one.
        let user_agent = SipHasher13::new().hash(agent).as_bytes();
        Self {
            source: client.source(),
            user_agent,
        }
    }

    /// What changed from `self` to `other`.
    #[must_use]
    pub fn change_to(&self, other: &Self) -> Change {
        if self.user_agent != other.user_agent {
            Change::UserAgent
        } else if self.source != other.source {
            Change::Address
        } else {
            Change::None
        }
    }

    /// The binding as bytes, for a MAC.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes[..16].copy_from_slice(&self.user_agent);
        let address = match self.source.network().addr() {
            std::net::IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            std::net::IpAddr::V6(v6) => v6,
        };
        bytes[16..].copy_from_slice(&address.octets());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binding(address: &str, agent: &'static str) -> Binding {
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, http::HeaderValue::from_static(agent));
        Binding::of(ClientAddress::new(address.parse().unwrap()), &headers)
    }

    #[test]
    fn changes_are_told_apart() {
        let home = binding("2001:db8::1", "Firefox/153");
        assert_eq!(
            home.change_to(&binding("2001:db8::abcd", "Firefox/153")),
            Change::None,
            "a privacy address"
        );
        assert_eq!(
            home.change_to(&binding("2001:db8:0:1::1", "Firefox/153")),
            Change::Address
        );
        assert_eq!(home.change_to(&binding("10.0.0.1", "Firefox/153")), Change::Address);
        assert_eq!(home.change_to(&binding("2001:db8::1", "curl/8")), Change::UserAgent);
        assert_eq!(
            home.change_to(&Binding::of(
                ClientAddress::new("10.0.0.1".parse().unwrap()),
                &HeaderMap::new()
            )),
            Change::UserAgent
        );
    }
}
