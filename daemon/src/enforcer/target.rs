//! What can be banned, and the key that stands for it in a table.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use ipnet::IpNet;
use portcullis_common::{Address, FlowKey, PrefixKey};

use super::{EnforcerError, maps::BanTable};

/// What can be banned. A v4-mapped IPv6 address is the IPv4 address in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// One address.
    Host(IpAddr),
    /// A network. One of full length is the same as the host.
    Prefix(IpNet),
    /// One TCP connection.
    Flow(Flow),
}

/// A TCP connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Flow {
    /// The peer.
    pub remote: SocketAddr,
    /// Our end, as the packets carry it.
    pub local: SocketAddr,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(address) => address.fmt(f),
            Self::Prefix(network) => network.fmt(f),
            Self::Flow(flow) => write!(f, "{} -> {}", flow.remote, flow.local),
        }
    }
}

/// The length of the networks that IPv6 gives to one customer's link.
const WIDE_BITS: u32 = 64;

/// The key of a target in its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key {
    Host(Address),
    /// The /64 of an IPv6 address: as common as the hosts of IPv4, and as fast.
    Wide(Address),
    Prefix(PrefixKey),
    Flow(FlowKey),
}

impl Key {
    /// The key of a network, in the table that it belongs to.
    pub(super) const fn of_prefix(key: PrefixKey) -> Self {
        match key.bits {
            PrefixKey::ADDRESS_BITS => Self::Host(key.address),
            WIDE_BITS => Self::Wide(key.address),
            _ => Self::Prefix(key),
        }
    }

    pub(super) const fn table(&self) -> BanTable {
        match self {
            Self::Host(_) | Self::Wide(_) => BanTable::Hosts,
            Self::Prefix(_) => BanTable::Prefixes,
            Self::Flow(_) => BanTable::Flows,
        }
    }

    /// What a ban entry notes about its key.
    pub(super) const fn prefix_bits(&self) -> u32 {
        match self {
            Self::Prefix(key) => key.bits,
            Self::Wide(_) => WIDE_BITS,
            Self::Host(_) | Self::Flow(_) => 0,
        }
    }

    /// The prefix that holds every source that this target is about.
    pub(super) const fn sources(&self) -> PrefixKey {
        match self {
            Self::Host(address) => PrefixKey::of_host(*address),
            Self::Wide(address) => PrefixKey {
                bits: WIDE_BITS,
                address: *address,
            },
            Self::Prefix(key) => *key,
            Self::Flow(key) => PrefixKey::of_host(key.remote),
        }
    }
}

impl TryFrom<Target> for Key {
    type Error = EnforcerError;

    #[inline]
    fn try_from(target: Target) -> Result<Self, EnforcerError> {
        match target {
            Target::Host(address) => Ok(Self::Host(address.into())),
            Target::Prefix(network) => prefix_key(network).map(Self::of_prefix),
            Target::Flow(flow) => flow_key(flow).map(Self::Flow),
        }
    }
}

impl From<Key> for Target {
    fn from(key: Key) -> Self {
        match key {
            Key::Host(address) => Self::Host(address.into()),
            Key::Wide(_) => Self::Prefix(network(&key.sources())),
            Key::Prefix(key) => Self::Prefix(network(&key)),
            Key::Flow(key) => Self::Flow(Flow {
                remote: SocketAddr::new(key.remote.into(), u16::from_be(key.remote_port)),
                local: SocketAddr::new(key.local.into(), u16::from_be(key.local_port)),
            }),
        }
    }
}

/// The key of a network. Refuses an IPv6 network that would also hold all of IPv4, as IPv4 lives
/// inside IPv6 in the tables.
pub(super) fn prefix_key(network: IpNet) -> Result<PrefixKey, EnforcerError> {
    match PrefixKey::new(network.network(), network.prefix_len()) {
        Some(key) if !key.swallows_v4() => Ok(key),
        Some(_) | None => Err(EnforcerError::SwallowsV4 { network }),
    }
}

/// The network of a key.
pub(super) fn network(key: &PrefixKey) -> IpNet {
    let (address, length) = key.network();
    IpNet::new(address, length).unwrap_or_else(|_| IpNet::from(address))
}

fn flow_key(flow: Flow) -> Result<FlowKey, EnforcerError> {
    let (remote, local) = (flow.remote.ip().to_canonical(), flow.local.ip().to_canonical());
    if remote.is_ipv4() != local.is_ipv4() {
        return Err(EnforcerError::MixedFlow {
            remote: flow.remote,
            local: flow.local,
        });
    }
    Ok(FlowKey {
        remote: remote.into(),
        local: local.into(),
        remote_port: flow.remote.port().to_be(),
        local_port: flow.local.port().to_be(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(target: Target) -> Key {
        Key::try_from(target).unwrap()
    }

    #[test]
    fn v4_mapped_targets_are_v4_targets() {
        let mapped = Target::Host("::ffff:192.0.2.7".parse().unwrap());
        assert_eq!(key(mapped), key(Target::Host("192.0.2.7".parse().unwrap())));

        let mapped = Target::Prefix("::ffff:192.0.2.0/120".parse().unwrap());
        assert_eq!(key(mapped), key(Target::Prefix("192.0.2.0/24".parse().unwrap())));

        let mapped = Target::Flow(Flow {
            remote: "[::ffff:192.0.2.7]:1234".parse().unwrap(),
            local: "[::ffff:192.0.2.1]:443".parse().unwrap(),
        });
        let plain = Target::Flow(Flow {
            remote: "192.0.2.7:1234".parse().unwrap(),
            local: "192.0.2.1:443".parse().unwrap(),
        });
        assert_eq!(key(mapped), key(plain));
    }

    #[test]
    fn keys_turn_back_into_their_targets() {
        let targets = [
            Target::Host("2001:db8::1".parse().unwrap()),
            Target::Prefix("10.0.0.0/8".parse().unwrap()),
            Target::Prefix("2001:db8::/32".parse().unwrap()),
            Target::Prefix("2001:db8:1:2::/64".parse().unwrap()),
            Target::Flow(Flow {
                remote: "[2001:db8::1]:1234".parse().unwrap(),
                local: "[2001:db8::2]:443".parse().unwrap(),
            }),
        ];
        for target in targets {
            assert_eq!(Target::from(key(target)), target);
        }
    }

    #[test]
    fn a_prefix_of_full_length_is_a_host() {
        let host = Target::Host("192.0.2.7".parse().unwrap());
        assert_eq!(key(Target::Prefix("192.0.2.7/32".parse().unwrap())), key(host));
    }

    #[test]
    fn a_v6_prefix_that_holds_all_of_v4_is_refused() {
        let all = Target::Prefix("::/0".parse().unwrap());
        let refused = Key::try_from(all).unwrap_err().to_string();
        assert!(refused.contains("2000::/3"), "{refused}");
        assert!(Key::try_from(Target::Prefix("0.0.0.0/0".parse().unwrap())).is_ok());
    }
}
