//! One address type for both families, so that there is one table of each kind and not two.

use core::net::{IpAddr, Ipv6Addr};

use crate::Plain;

/// An IPv6 address, or an IPv4 address in its v4-mapped form (`::ffff:a.b.c.d`, RFC 4291 2.5.5.2).
///
/// Four words as they stand in a packet, in network byte order. Words and not bytes, because the
/// compiler takes an array of bytes apart on the BPF target.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Address(pub [u32; 4]);

const _: () = assert!(size_of::<Address>() == 16 && align_of::<Address>() == 4);

// SAFETY: four words, no padding, every pattern is an address.
unsafe impl Plain for Address {}

impl Address {
    /// The bits before the IPv4 address in a v4-mapped address.
    pub const MAPPED_BITS: u8 = 96;

    /// The v4-mapped address of an IPv4 address as it stands in a packet, in network byte order.
    #[inline(always)]
    #[must_use]
    pub const fn from_v4_word(word: u32) -> Self {
        Self([0, 0, 0xffff_u32.to_be(), word])
    }

    /// Whether this is an IPv4 address.
    #[must_use]
    pub const fn is_v4(&self) -> bool {
        let [a, b, c, _] = self.0;
        a == 0 && b == 0 && c == 0xffff_u32.to_be()
    }

    /// The address as an IPv6 address, v4-mapped if it is IPv4.
    #[must_use]
    pub const fn to_v6(&self) -> Ipv6Addr {
        let [a, b, c, d] = self.0;
        let high = ((u32::from_be(a) as u64) << 32) | u32::from_be(b) as u64;
        let low = ((u32::from_be(c) as u64) << 32) | u32::from_be(d) as u64;
        Ipv6Addr::from_bits(((high as u128) << 64) | low as u128)
    }
}

impl From<Ipv6Addr> for Address {
    fn from(address: Ipv6Addr) -> Self {
        let bits = address.to_bits();
        let word = |index: u32| ((bits >> (96 - 32 * index)) as u32).to_be();
        Self([word(0), word(1), word(2), word(3)])
    }
}

impl From<IpAddr> for Address {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => Self::from(v4.to_ipv6_mapped()),
            IpAddr::V6(v6) => Self::from(v6),
        }
    }
}

impl From<Address> for IpAddr {
    fn from(address: Address) -> Self {
        address.to_v6().to_canonical()
    }
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

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
        let v4 = Ipv4Addr::new(192, 0, 2, 7);
        let word = u32::from_ne_bytes(v4.octets());
        assert_eq!(Address::from_v4_word(word), Address::from(IpAddr::V4(v4)));

        let v6: Ipv6Addr = "2001:db8:1:2:3:4:5:6".parse().unwrap();
        let bytes = v6.octets();
        let word = |i: usize| u32::from_ne_bytes(bytes[i * 4..i * 4 + 4].try_into().unwrap());
        let address = Address([word(0), word(1), word(2), word(3)]);
        assert_eq!(address, Address::from(v6));
        assert_eq!(address.to_v6(), v6);
        assert!(!address.is_v4());
    }
}
