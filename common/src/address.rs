//! One address type for both families, so that there is one table of each kind and not two.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::Plain;

/// An IPv6 address, or an IPv4 address in its v4-mapped form (`::ffff:a.b.c.d`, RFC 4291 2.5.5.2).
///
/// Aligned to 4 bytes because the XDP program writes it as four words.
#[repr(C, align(4))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address(pub [u8; 16]);

const _: () = assert!(size_of::<Address>() == 16 && align_of::<Address>() == 4);

// SAFETY: sixteen bytes, no padding, every pattern is an address.
unsafe impl Plain for Address {}

impl Address {
    /// The bits before the IPv4 address in a v4-mapped address.
    pub const MAPPED_BITS: u8 = 96;

    /// The address from four words as they stand in a packet, in network byte order.
    #[inline(always)]
    #[must_use]
    pub const fn from_words(words: [u32; 4]) -> Self {
        let [a, b, c, d] = words;
        let [a, b, c, d] = [a.to_ne_bytes(), b.to_ne_bytes(), c.to_ne_bytes(), d.to_ne_bytes()];
        Self([
            a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3], c[0], c[1], c[2], c[3], d[0], d[1], d[2], d[3],
        ])
    }

    /// The v4-mapped address of an IPv4 address as it stands in a packet, in network byte order.
    #[inline(always)]
    #[must_use]
    pub const fn from_v4_word(word: u32) -> Self {
        Self::from_words([0, 0, 0xffff_u32.to_be(), word])
    }

    /// Whether this is an IPv4 address.
    #[must_use]
    pub const fn is_v4(&self) -> bool {
        Ipv6Addr::from_octets(self.0).to_ipv4_mapped().is_some()
    }
}

impl From<IpAddr> for Address {
    fn from(address: IpAddr) -> Self {
        Self(match address {
            IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
            IpAddr::V6(v6) => v6.octets(),
        })
    }
}

impl From<Ipv4Addr> for Address {
    fn from(address: Ipv4Addr) -> Self {
        IpAddr::V4(address).into()
    }
}

impl From<Address> for IpAddr {
    fn from(address: Address) -> Self {
        Ipv6Addr::from_octets(address.0).to_canonical()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn v4_and_v4_mapped_are_one_address() {
        let v4: IpAddr = "192.0.2.7".parse().unwrap();
        let mapped: IpAddr = "::ffff:192.0.2.7".parse().unwrap();
        assert_eq!(Address::from(v4), Address::from(mapped));
        assert_eq!(IpAddr::from(Address::from(mapped)), v4);
        assert!(Address::from(mapped).is_v4());
    }

    #[test]
    fn words_of_a_packet_give_the_same_address() {
        let word = u32::from_ne_bytes([192, 0, 2, 7]);
        let v4: IpAddr = "192.0.2.7".parse().unwrap();
        assert_eq!(Address::from_v4_word(word), Address::from(v4));

        let v6: IpAddr = "2001:db8:1:2:3:4:5:6".parse().unwrap();
        let bytes = Address::from(v6).0;
        let word = |i: usize| u32::from_ne_bytes(bytes[i * 4..i * 4 + 4].try_into().unwrap());
        let words = [word(0), word(1), word(2), word(3)];
        assert_eq!(Address::from_words(words), Address::from(v6));
        assert!(!Address::from(v6).is_v4());
    }
}
