//! The hashes of sources. Seeded, so that nobody can choose addresses that meet in one line.
//!
//! The program and the daemon compute them alike; this is their only place.

use crate::Address;

const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
const ODD_2: u64 = 0xd6e8_feb8_6659_fd93;
const ODD_32: u32 = 0x85eb_ca6b;
/// The first 48 bits of an IPv6 address, as the two words of a packet stand in one.
const NET_48: u64 = (0xffff_ffff_u64) | ((0xffff_0000_u32.to_be() as u64) << 32);

/// What makes the hashes of one machine different from those of another.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed(pub [u64; 2]);

/// What a source is looked up by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// Of the whole address. For IPv4 a permutation of its 32 bits, so that it stands for the address.
    pub host: u64,
    /// Of the /64 of an IPv6 address; 0 for IPv4.
    pub wide: u64,
    /// Of the /24 of an IPv4 address, of the /48 of an IPv6 address.
    pub network: u64,
}

impl Source {
    /// Of an IPv4 address, in the byte order of the machine.
    #[inline(always)]
    #[must_use]
    pub const fn of_v4(address: u32, seed: Seed) -> Self {
        Self {
            host: permute(address, seed) as u64,
            wide: 0,
            network: spread((address >> 8) as u64 ^ seed.0[1]),
        }
    }

    /// Of an IPv6 address.
    #[inline(always)]
    #[must_use]
    pub const fn of_v6(address: &Address, seed: Seed) -> Self {
        let [a, b, c, d] = address.0;
        let high = a as u64 | ((b as u64) << 32);
        let low = c as u64 | ((d as u64) << 32);
        let wide = mix(high ^ seed.0[0]);
        Self {
            host: mix(wide ^ low),
            wide,
            network: spread((high & NET_48) ^ seed.0[1]),
        }
    }

    /// Of an address of either family.
    #[must_use]
    pub const fn of(address: &Address, seed: Seed) -> Self {
        if address.is_v4() {
            Self::of_v4(u32::from_be(address.0[3]), seed)
        } else {
            Self::of_v6(address, seed)
        }
    }
}

/// Shuffles the IPv4 addresses among themselves: no two get the same number.
#[inline(always)]
#[must_use]
pub const fn permute(address: u32, seed: Seed) -> u32 {
    let mut x = address ^ (seed.0[0] as u32);
    x = x.wrapping_mul(ODD_32);
    x ^= x >> 15;
    x = x.wrapping_mul(multiplier(seed));
    x ^ (x >> 16)
}

/// The address that [`permute`] made this number of.
#[must_use]
pub const fn restore(number: u32, seed: Seed) -> u32 {
    let mut x = number ^ (number >> 16);
    x = x.wrapping_mul(inverse(multiplier(seed)));
    x ^= (x >> 15) ^ (x >> 30);
    x = x.wrapping_mul(inverse(ODD_32));
    x ^ (seed.0[0] as u32)
}

/// Good in its upper bits, for one multiplication.
#[inline(always)]
#[must_use]
pub const fn spread(key: u64) -> u64 {
    key.wrapping_mul(ODD)
}

/// Good in all bits.
#[inline(always)]
#[must_use]
pub const fn mix(key: u64) -> u64 {
    let mut x = key.wrapping_mul(ODD);
    x ^= x >> 32;
    x = x.wrapping_mul(ODD_2);
    x ^ (x >> 29)
}

const fn multiplier(seed: Seed) -> u32 {
    (seed.0[0] >> 32) as u32 | 1
}

/// The number whose product with an odd one is 1, by Newton's iteration.
const fn inverse(odd: u32) -> u32 {
    let mut x = odd;
    let mut step = 0;
    while step < 5 {
        x = x.wrapping_mul(2_u32.wrapping_sub(odd.wrapping_mul(x)));
        step += 1;
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: Seed = Seed([0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210]);

    #[test]
    fn every_v4_address_comes_back_from_its_number() {
        for seed in [SEED, Seed([0, 0]), Seed([u64::MAX, 7])] {
            for step in 0..100_000_u32 {
                let address = step.wrapping_mul(2_654_435_761);
                assert_eq!(restore(permute(address, seed), seed), address);
            }
        }
    }

    #[test]
    fn neighbours_share_their_network_and_nothing_else() {
        let source = |text: &str| Source::of(&Address::from(text.parse::<core::net::IpAddr>().unwrap()), SEED);
        let (a, b) = (source("192.0.2.1"), source("192.0.2.2"));
        assert_eq!(a.network, b.network);
        assert_ne!(a.host, b.host);
        assert_ne!(a.network, source("192.0.3.1").network);
        let (a, b) = (source("2001:db8:1:1::1"), source("2001:db8:1:1::2"));
        assert_eq!((a.network, a.wide), (b.network, b.wide));
        assert_ne!(a.host, b.host);
        let c = source("2001:db8:1:2::1");
        assert_eq!(a.network, c.network);
        assert_ne!(a.wide, c.wide);
        assert_ne!(a.network, source("2001:db8:2:1::1").network);
    }
}
