//! Where a request comes from, in eight bytes.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::request::Source;

/// An IPv4 address or an IPv6 /64. IPv4 is kept as `::a.b.c.d` would be in the network half; no IPv6 host has such a
/// network (RFC 4291 section 2.4), and `::` itself is no host of either family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place(u64);

/// The version of the Internet Protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

/// Hosts of one /24 share a line or a carrier's pool of addresses.
const V4_NETWORK: u64 = 0xffff_ff00;
/// A /48 is a site (RFC 6177).
const V6_NETWORK: u64 = 0xffff_ffff_ffff_0000;

impl Place {
    pub(super) fn of(source: Source) -> Self {
        match source.network().addr() {
            IpAddr::V4(v4) => Self(u64::from(v4.to_bits())),
            IpAddr::V6(v6) => {
                let [a, b, c, d, e, f, g, h, ..] = v6.octets();
                Self(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
            }
        }
    }

    pub(super) fn family(self) -> Family {
        if self.0 != 0 && self.0 <= u64::from(u32::MAX) {
            Family::V4
        } else {
            Family::V6
        }
    }

    /// The /24 or /48 around it.
    pub(super) fn network(self) -> Self {
        match self.family() {
            Family::V4 => Self(self.0 & V4_NETWORK),
            Family::V6 => Self(self.0 & V6_NETWORK),
        }
    }

    pub(super) fn to_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }
}
