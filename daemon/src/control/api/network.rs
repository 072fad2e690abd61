//! Reading the addresses and networks that an operator types. One reader for both ends of the socket.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

/// A text that is no address or network, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Neither IPv4 nor IPv6.
    #[error("'{given}' is not an IP address or network")]
    NotAnAddress {
        /// What was given.
        given: String,
    },
    /// An address with a port.
    #[error("'{given}' has a port: did you mean {address}?")]
    Port {
        /// What was given.
        given: String,
        /// The address alone.
        address: IpAddr,
    },
    /// A prefix length that its family does not have.
    #[error("'{given}' has no valid prefix length: it goes from 0 to {longest} for {address}")]
    PrefixLength {
        /// What was given.
        given: String,
        /// Its address part.
        address: IpAddr,
        /// The longest prefix of its family.
        longest: u8,
    },
    /// Bits behind the prefix are set.
    #[error("{given} has host bits: did you mean {network} or {host}?")]
    HostBits {
        /// What was given.
        given: IpNet,
        /// The network around it.
        network: IpNet,
        /// The host alone.
        host: IpNet,
    },
    /// A network where one address is asked for.
    #[error("'{given}' is a network, but one address is asked for: for example {address}")]
    Network {
        /// What was given.
        given: String,
        /// An address in it.
        address: IpAddr,
    },
}

/// Reads an address or a network; an address is the network of that host alone. IPv4 in IPv6 is IPv4.
///
/// # Errors
/// [`AddressError`].
pub fn parse_network(text: &str) -> Result<IpNet, AddressError> {
    let Some((address, length)) = text.split_once('/') else {
        return parse_host(text).map(IpNet::from);
    };
    let address: IpAddr = address
        .parse()
        .map_err(|_| AddressError::NotAnAddress { given: text.to_owned() })?;
    let given = prefix(address, length).ok_or_else(|| AddressError::PrefixLength {
        given: text.to_owned(),
        address,
        longest: IpNet::from(address).max_prefix_len(),
    })?;
    let network = given.trunc();
    if network == given {
        Ok(network)
    } else {
        Err(AddressError::HostBits {
            given,
            network,
            host: IpNet::from(given.addr()),
        })
    }
}

/// Reads a single address. IPv4 in IPv6 is IPv4.
///
/// # Errors
/// [`AddressError`].
pub fn parse_address(text: &str) -> Result<IpAddr, AddressError> {
    match text.parse::<IpNet>() {
        Ok(network) => Err(AddressError::Network {
            given: text.to_owned(),
            address: network.addr(),
        }),
        Err(_) => parse_host(text),
    }
}

fn parse_host(text: &str) -> Result<IpAddr, AddressError> {
    match (text.parse::<IpAddr>(), text.parse::<SocketAddr>()) {
        (Ok(address), _) => Ok(address.to_canonical()),
        (Err(_), Ok(socket)) => Err(AddressError::Port {
            given: text.to_owned(),
            address: socket.ip().to_canonical(),
        }),
        (Err(_), Err(_)) => Err(AddressError::NotAnAddress { given: text.to_owned() }),
    }
}

/// `::ffff:a.b.c.d/96+n` is `a.b.c.d/n`.
fn prefix(address: IpAddr, length: &str) -> Option<IpNet> {
    let length: u8 = length.parse().ok()?;
    let given = IpNet::new(address, length).ok()?;
    match (address, address.to_canonical()) {
        (IpAddr::V6(_), v4 @ IpAddr::V4(_)) if length >= 96 => IpNet::new(v4, length - 96).ok(),
        _ => Some(given),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> String {
        parse_network(text).map_or_else(|error| error.to_string(), |network| network.to_string())
    }

    #[test]
    fn addresses_are_networks_of_one_host() {
        assert_eq!(network("192.0.2.7"), "192.0.2.7/32");
        assert_eq!(network("2001:db8::7"), "2001:db8::7/128");
        assert_eq!(network("::ffff:192.0.2.7"), "192.0.2.7/32");
        assert_eq!(network("::ffff:192.0.2.0/120"), "192.0.2.0/24");
        assert_eq!(network("2001:DB8::/32"), "2001:db8::/32");
        assert_eq!(network("0.0.0.0/0"), "0.0.0.0/0");
    }

    #[test]
    fn host_bits_are_asked_about() {
        assert_eq!(
            network("10.0.0.7/24"),
            "10.0.0.7/24 has host bits: did you mean 10.0.0.0/24 or 10.0.0.7/32?"
        );
        assert_eq!(
            network("2001:db8::7/64"),
            "2001:db8::7/64 has host bits: did you mean 2001:db8::/64 or 2001:db8::7/128?"
        );
    }

    #[test]
    fn what_is_no_network_is_named() {
        for text in [
            "",
            "10.0.0",
            "10.0.0.256",
            "example.com",
            "/24",
            "10.0.0.0/24/24x",
            "1::2::3",
            " 10.0.0.1",
        ] {
            let error = parse_network(text).unwrap_err();
            assert!(error.to_string().contains(text), "{error}");
        }
        assert_eq!(
            network("10.0.0.7:443"),
            "'10.0.0.7:443' has a port: did you mean 10.0.0.7?"
        );
        assert_eq!(
            network("[2001:db8::7]:443"),
            "'[2001:db8::7]:443' has a port: did you mean 2001:db8::7?"
        );
        assert_eq!(
            network("10.0.0.0/33"),
            "'10.0.0.0/33' has no valid prefix length: it goes from 0 to 32 for 10.0.0.0"
        );
        assert_eq!(
            network("10.0.0.0/"),
            "'10.0.0.0/' has no valid prefix length: it goes from 0 to 32 for 10.0.0.0"
        );
    }

    #[test]
    fn an_address_is_not_a_network() {
        assert_eq!(parse_address("::ffff:10.0.0.7").unwrap().to_string(), "10.0.0.7");
        let error = parse_address("10.0.0.0/24").unwrap_err();
        assert_eq!(
            error.to_string(),
            "'10.0.0.0/24' is a network, but one address is asked for: for example 10.0.0.0"
        );
    }
}
