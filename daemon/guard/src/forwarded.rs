//! Who the client is when a proxy speaks for it.
//!
//! Only trusted proxies are believed. The list of addresses that they send is walked from the right, where the nearest
//! one wrote, to the first address that is not one of theirs: what stands left of it, the client may have written.

use std::net::{IpAddr, SocketAddr};

use http::header::FORWARDED;
use http::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;

use crate::request::ClientAddress;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Hops that are walked. More than any real path has, and a bound on what a long field costs.
const MOST_HOPS: usize = 32;

/// The field in which trusted proxies name the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spokesman {
    /// A list of addresses, each proxy appending the one that it was called from.
    XForwardedFor,
    /// The same with more words (RFC 7239).
    Forwarded,
    /// One address, which the proxy overwrites.
    Single(HeaderName),
}

impl Spokesman {
    /// By the name of the field. `None` if that is no name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        Some(if name == X_FORWARDED_FOR {
            Self::XForwardedFor
        } else if name == FORWARDED {
            Self::Forwarded
        } else {
            Self::Single(name)
        })
    }
}

/// Which proxies are trusted, and how they speak.
#[derive(Clone, Debug)]
pub struct TrustedProxies {
    networks: Vec<IpNet>,
    by: Spokesman,
}

impl TrustedProxies {
    /// Proxies of these networks.
    #[must_use]
    pub fn new(networks: Vec<IpNet>, by: Spokesman) -> Self {
        Self { networks, by }
    }

    /// Whether somebody is one.
    #[must_use]
    pub fn trust(&self, address: ClientAddress) -> bool {
        self.networks.iter().any(|network| network.contains(&address.ip()))
    }

    /// The client of a request that came from a trusted proxy at `proxy`. What cannot be read ends the walk: then the
    /// last proxy that could be is the client, and nobody else is blamed.
    #[must_use]
    pub fn client(&self, proxy: ClientAddress, headers: &HeaderMap) -> ClientAddress {
        match &self.by {
            Spokesman::XForwardedFor => self.walk(proxy, items(headers, &X_FORWARDED_FOR).map(address)),
            Spokesman::Forwarded => self.walk(proxy, items(headers, &FORWARDED).map(node)),
            Spokesman::Single(name) => {
                let mut values = headers.get_all(name).iter();
                let (first, second) = (values.next(), values.next());
                let only = first.filter(|_| second.is_none()).and_then(|value| value.to_str().ok());
                only.and_then(address).unwrap_or(proxy)
            }
        }
    }

    fn walk(&self, proxy: ClientAddress, hops: impl Iterator<Item = Option<ClientAddress>>) -> ClientAddress {
        let mut client = proxy;
        for hop in hops.take(MOST_HOPS) {
            let Some(hop) = hop else { return client };
            client = hop;
            if !self.trust(hop) {
                return client;
            }
        }
        client
    }

    /// Whether a request says for whom it is, be it readable or not.
    #[must_use]
    pub fn is_named(&self, headers: &HeaderMap) -> bool {
        match &self.by {
            Spokesman::XForwardedFor => headers.contains_key(X_FORWARDED_FOR),
            Spokesman::Forwarded => headers.contains_key(FORWARDED),
            Spokesman::Single(name) => headers.contains_key(name),
        }
    }

    /// The field of one address in which they name the client, if they do by one.
    #[must_use]
    pub fn field(&self) -> Option<&HeaderName> {
        match &self.by {
            Spokesman::XForwardedFor | Spokesman::Forwarded => None,
            Spokesman::Single(name) => Some(name),
        }
    }

    /// Whether a trusted proxy says that its client came by TLS; `None` if it does not say.
    #[must_use]
    pub fn is_secure(headers: &HeaderMap) -> Option<bool> {
        let mut values = headers.get_all(X_FORWARDED_PROTO).iter();
        let (first, second) = (values.next()?, values.next());
        match first.as_bytes() {
            b"https" if second.is_none() => Some(true),
            b"http" if second.is_none() => Some(false),
            _ => None,
        }
    }
}

/// The items of a list field, from the right.
fn items<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values: Vec<&HeaderValue> = headers.get_all(name).iter().collect();
    // A value that is no text has one item that nobody can read.
    let text = |value: &'a HeaderValue| value.to_str().unwrap_or("?");
    values
        .into_iter()
        .rev()
        .flat_map(move |value| text(value).rsplit(',').map(str::trim))
}

/// An address, with a port or not: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`.
fn address(text: &str) -> Option<ClientAddress> {
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(text);
    let with_port = || text.parse::<SocketAddr>().ok().map(|socket| socket.ip());
    let address: IpAddr = bare.parse().ok().or_else(with_port)?;
    Some(ClientAddress::new(address))
}

/// The `for` of a forwarded-element (RFC 7239 section 4). Obfuscated names and `unknown` cannot be read.
fn node(element: &str) -> Option<ClientAddress> {
    let mut pairs = element.split(';').filter_map(|pair| pair.trim().split_once('='));
    let (_, value) = pairs.find(|(name, _)| name.eq_ignore_ascii_case("for"))?;
    let value = value.trim();
    address(
        value
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'))
            .unwrap_or(value),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(by: &str) -> TrustedProxies {
        let networks = ["10.0.0.0/8", "2001:db8:ffff::/48"].map(|network| network.parse().unwrap());
        TrustedProxies::new(networks.into(), Spokesman::named(by).unwrap())
    }

    fn client(by: &str, values: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(HeaderName::from_bytes(by.as_bytes()).unwrap(), value.parse().unwrap());
        }
        let proxy = ClientAddress::new("10.0.0.1".parse().unwrap());
        proxies(by).client(proxy, &headers).to_string()
    }

    #[test]
    fn the_list_is_walked_from_the_right() {
        for (values, expected) in [
            (&["203.0.113.7"][..], "203.0.113.7"),
            (&["1.1.1.1, 203.0.113.7"], "203.0.113.7"),
            (&["1.1.1.1", "203.0.113.7, 10.0.0.3", "10.0.0.2"], "203.0.113.7"),
            (&["10.0.0.3,10.0.0.2"], "10.0.0.3"),
            (&["[2001:db8::1]:443"], "2001:db8::1"),
            (&["2001:db8::1,2001:db8:ffff::1"], "2001:db8::1"),
            (&["203.0.113.7:5000"], "203.0.113.7"),
            (&["::ffff:203.0.113.7"], "203.0.113.7"),
            (&[], "10.0.0.1"),
            (&[""], "10.0.0.1"),
            (&["203.0.113.7, unknown"], "10.0.0.1"),
            (&["203.0.113.7, nonsense, 10.0.0.2"], "10.0.0.2"),
            (&["203.0.113.7,"], "10.0.0.1"),
        ] {
            assert_eq!(client("x-forwarded-for", values), expected, "{values:?}");
        }
    }

    #[test]
    fn forwarded_says_it_with_more_words() {
        for (value, expected) in [
            ("for=203.0.113.7", "203.0.113.7"),
            ("for=1.1.1.1, for=203.0.113.7;proto=https;by=10.0.0.1", "203.0.113.7"),
            ("For=\"[2001:db8::1]:4711\"", "2001:db8::1"),
            ("for=\"203.0.113.7:80\", for=10.0.0.9", "203.0.113.7"),
            ("for=203.0.113.7, for=_hidden", "10.0.0.1"),
            ("for=203.0.113.7, for=unknown", "10.0.0.1"),
            ("by=203.0.113.7", "10.0.0.1"),
        ] {
            assert_eq!(client("forwarded", &[value]), expected, "{value}");
        }
    }

    #[test]
    fn a_single_address_is_taken_when_it_is_one() {
        assert_eq!(client("cf-connecting-ip", &["203.0.113.7"]), "203.0.113.7");
        assert_eq!(client("cf-connecting-ip", &["203.0.113.7", "1.1.1.1"]), "10.0.0.1");
        assert_eq!(client("cf-connecting-ip", &["203.0.113.7, 1.1.1.1"]), "10.0.0.1");
    }

    #[test]
    fn a_long_list_is_not_walked_for_ever() {
        let long = format!("203.0.113.7{}", ",10.0.0.2".repeat(1000));
        assert_eq!(client("x-forwarded-for", &[&long]), "10.0.0.2");
    }
}
