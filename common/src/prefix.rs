//! The key of the prefix tables.

use core::net::{IpAddr, Ipv6Addr};

use crate::{Address, Plain};

/// A key of a longest-prefix-match trie: the layout of the kernel's `struct bpf_lpm_trie_key`.
///
/// An IPv4 prefix of length `n` is the v4-mapped prefix of length `96 + n`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PrefixKey {
    /// How many leading bits of the address count.
    pub bits: u32,
    /// The address; bits behind the prefix are zero.
    pub address: Address,
}

const _: () = assert!(size_of::<PrefixKey>() == 20 && align_of::<PrefixKey>() == 4);

// SAFETY: a word and sixteen bytes, no padding, every pattern is a value.
unsafe impl Plain for PrefixKey {}

impl PrefixKey {
    /// The length of an address.
    pub const ADDRESS_BITS: u32 = 128;

    /// The key that asks for the longest prefix containing `address`.
    #[inline(always)]
    #[must_use]
    pub const fn of_host(address: Address) -> Self {
        Self {
            bits: Self::ADDRESS_BITS,
            address,
        }
    }

    /// The prefix of `length` bits, counted as its own family counts them. Host bits are cleared.
    ///
    /// `None` if the family has no prefix of that length.
    #[must_use]
    pub fn new(network: IpAddr, length: u8) -> Option<Self> {
        let (most, before) = match network {
            IpAddr::V4(_) => (32, Address::MAPPED_BITS),
            IpAddr::V6(_) => (128, 0),
        };
        if length > most {
            return None;
        }
        let bits = u32::from(before) + u32::from(length);
        Some(Self {
            bits,
            address: masked(network.into(), bits),
        })
    }

    /// Network and length as their own family counts them.
    #[must_use]
    pub fn network(&self) -> (IpAddr, u8) {
        let mapped = u32::from(Address::MAPPED_BITS);
        let v4 = self.bits >= mapped && self.address.is_v4();
        let bits = if v4 { self.bits - mapped } else { self.bits };
        let length = u8::try_from(bits).unwrap_or(u8::MAX);
        let address = self.address.to_v6();
        let network = if v4 {
            address.to_canonical()
        } else {
            IpAddr::V6(address)
        };
        (network, length)
    }

    /// Whether every address of `other` is one of this prefix.
    #[must_use]
    pub fn holds(&self, other: &Self) -> bool {
        self.bits <= other.bits && masked(other.address, self.bits) == self.address
    }

    /// Whether this IPv6 prefix is so short that it holds every v4-mapped address, and thus IPv4.
    #[must_use]
    pub fn swallows_v4(&self) -> bool {
        let mapped = u32::from(Address::MAPPED_BITS);
        let any_v4 = Address::from_v4_word(0);
        self.bits < mapped && masked(any_v4, self.bits) == self.address
    }
}

fn masked(address: Address, bits: u32) -> Address {
    let mask = if bits == 0 {
        0
    } else {
        u128::MAX << (PrefixKey::ADDRESS_BITS - bits)
    };
    Address::from(Ipv6Addr::from_bits(address.to_v6().to_bits() & mask))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(network: &str, length: u8) -> PrefixKey {
        PrefixKey::new(network.parse().unwrap(), length).unwrap()
    }

    #[test]
    fn v4_lengths_count_from_the_mapped_prefix() {
        assert_eq!(prefix("192.0.2.0", 24).bits, 120);
        assert_eq!(prefix("0.0.0.0", 0).bits, 96);
        assert_eq!(prefix("192.0.2.0", 24).network(), ("192.0.2.0".parse().unwrap(), 24));
        assert_eq!(prefix("0.0.0.0", 0).network(), ("0.0.0.0".parse().unwrap(), 0));
    }

    #[test]
    fn host_bits_are_cleared() {
        assert_eq!(prefix("192.0.2.77", 24), prefix("192.0.2.0", 24));
        assert_eq!(prefix("2001:db8::1", 32), prefix("2001:db8::", 32));
        assert_eq!(prefix("2001:db8::1", 0).network(), ("::".parse().unwrap(), 0));
    }

    #[test]
    fn lengths_beyond_the_family_are_refused() {
        assert_eq!(PrefixKey::new("192.0.2.0".parse().unwrap(), 33), None);
        assert_eq!(PrefixKey::new("2001:db8::".parse().unwrap(), 129), None);
    }

    #[test]
    fn a_short_v6_prefix_around_the_mapped_range_swallows_v4() {
        assert!(prefix("::", 0).swallows_v4());
        assert!(prefix("::", 64).swallows_v4());
        assert!(!prefix("2000::", 3).swallows_v4());
        assert!(!prefix("0.0.0.0", 0).swallows_v4());
    }
}
