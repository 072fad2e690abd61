//! The filter in front of the tables: two words tell that nothing is held against a source.
//!
//! A clear bit is certain, a set bit promises nothing. The *fine* word of a source is chosen by its
//! /24 or /48, and its bits stand for banned hosts, for sources of banned flows and for banned
//! prefixes inside of that network. Prefixes that are shorter have exact *coarse* bits, one for
//! each /16 of IPv4, for the first 16 bits of IPv6, and a hashed one for the /32 of IPv6.
//!
//! As whatever is known about a source stands in one fine word, the daemon may replace the words of
//! a running program one after the other: each, old or new, has every bit that is needed.

use crate::{
    Address, PrefixKey,
    hash::{Source, spread},
};

/// The words of one coarse table.
const TABLE: u32 = 1024;
const COARSE_V4: u32 = 0;
const COARSE_V6: u32 = TABLE;
const COARSE_V6_32: u32 = 2 * TABLE;
/// The words of a set of coarse tables.
pub const COARSE_WORDS: u32 = 3 * TABLE;

/// Where the coarse words of the never-ban set begin; those of the bans begin at 0.
pub const NEVER_BAN_AT: u32 = COARSE_WORDS;
/// Where the fine words begin.
pub const FINE_AT: u32 = 2 * COARSE_WORDS;

/// A word and the bits in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The index of the word.
    pub word: u32,
    /// The bits.
    pub bits: u64,
}

/// The fine word of a source.
#[inline(always)]
#[must_use]
pub const fn fine_word(source: &Source, mask: u32) -> u32 {
    FINE_AT + ((source.network >> 40) as u32 & mask)
}

/// Set in the fine word of a banned host, of a source that has banned flows, and of a banned /64 of IPv6 when given its
/// hash.
#[inline(always)]
#[must_use]
pub const fn host_bits(hash: u64) -> u64 {
    low(hash >> 17) | middle(hash >> 22) | high(hash >> 27)
}

/// Also set in the fine word of a source that has banned flows.
#[inline(always)]
#[must_use]
pub const fn flow_bits(hash: u64) -> u64 {
    low(hash >> 7) | high(hash >> 12)
}

/// Set in the fine word of a network that holds a banned prefix, beside [`PREFIXES_HERE`].
#[inline(always)]
#[must_use]
pub const fn network_bits(source: &Source) -> u64 {
    low(source.network >> 22) | middle(source.network >> 28) | high(source.network >> 34)
}

/// Set in every fine word once a coarse bit of IPv4 is: spares the look at them until then.
pub const COARSE_V4_IN_USE: u64 = 1 << 63;
/// The same for IPv6.
pub const COARSE_V6_IN_USE: u64 = 1 << 62;
/// Set in a fine word that has the bits of some network: spares the others' words the look.
pub const PREFIXES_HERE: u64 = 1 << 61;

/// Whether all of `bits` are set.
#[inline(always)]
#[must_use]
pub const fn has(word: u64, bits: u64) -> bool {
    word & bits == bits
}

/// The coarse bit of an IPv4 address in the byte order of the machine.
#[inline(always)]
#[must_use]
pub const fn coarse_v4(address: u32) -> Place {
    place(COARSE_V4, address >> 16)
}

/// The coarse bit of the first 16 bits of an IPv6 address.
#[inline(always)]
#[must_use]
pub const fn coarse_v6(address: &Address) -> Place {
    place(COARSE_V6, u32::from_be(address.0[0]) >> 16)
}

/// The coarse bit of the /32 of an IPv6 address.
#[inline(always)]
#[must_use]
pub const fn coarse_v6_32(address: &Address) -> Place {
    let hash = spread(address.0[0] as u64);
    place(COARSE_V6_32, (hash >> 48) as u32)
}

/// Where a prefix leaves its mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// In the fine word of its network.
    Fine,
    /// In the `count` coarse bits from `first` on, which is counted from the table's beginning.
    Coarse {
        /// The first word of the table.
        table: u32,
        /// The first bit.
        first: u32,
        /// How many.
        count: u32,
    },
}

/// Where a banned prefix leaves its mark.
#[must_use]
pub const fn mark(prefix: &PrefixKey) -> Mark {
    let mapped = Address::MAPPED_BITS as u32;
    if prefix.bits >= mapped + 24 || (!prefix.address.is_v4() && prefix.bits >= 48) {
        return Mark::Fine;
    }
    coarse_mark(prefix)
}

/// Where a never-ban prefix leaves its mark: that set has no fine words.
#[must_use]
pub const fn coarse_mark(prefix: &PrefixKey) -> Mark {
    let mapped = Address::MAPPED_BITS as u32;
    if prefix.bits >= mapped && prefix.address.is_v4() {
        let first = u32::from_be(prefix.address.0[3]) >> 16;
        return coarse(COARSE_V4, first, prefix.bits - mapped);
    }
    if prefix.bits >= 32 {
        let place = coarse_v6_32(&prefix.address);
        let first = (place.word - COARSE_V6_32) * 64 + place.bits.trailing_zeros();
        return coarse(COARSE_V6_32, first, 16);
    }
    coarse(COARSE_V6, u32::from_be(prefix.address.0[0]) >> 16, prefix.bits)
}

const fn coarse(table: u32, first: u32, length: u32) -> Mark {
    let count = if length < 16 { 1 << (16 - length) } else { 1 };
    Mark::Coarse { table, first, count }
}

#[inline(always)]
const fn place(table: u32, number: u32) -> Place {
    Place {
        word: table + (number >> 6),
        bits: bit(number as u64),
    }
}

#[inline(always)]
const fn bit(number: u64) -> u64 {
    1 << (number & 63)
}

/// One of the bits 0 to 31.
#[inline(always)]
const fn low(number: u64) -> u64 {
    1 << (number & 31)
}

/// One of the bits 14 to 45.
#[inline(always)]
const fn middle(number: u64) -> u64 {
    (1 << 14) << (number & 31)
}

/// One of the bits 29 to 60.
#[inline(always)]
const fn high(number: u64) -> u64 {
    (1 << 29) << (number & 31)
}
