//! A banned host in one word, so that one store writes it and no reader sees half of it.

use crate::Origin;

/// `expiry:35 | used:1 | wide:1 | origin:3 | tag:24`. Zero is an empty slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot(pub u64);

const TAG_BITS: u32 = 24;
const TAG_MASK: u64 = (1 << TAG_BITS) - 1;
const ORIGIN_SHIFT: u32 = TAG_BITS;
const ORIGIN_MASK: u64 = 7;
const WIDE: u64 = 1 << 27;
const USED: u64 = 1 << 28;
const EXPIRY_SHIFT: u32 = 29;
/// One of these many nanoseconds is the unit of expiry: 8.4 ms.
const UNIT_SHIFT: u32 = 23;
const LAST_UNIT: u64 = (1 << (64 - EXPIRY_SHIFT)) - 1;

impl Slot {
    /// Nothing.
    pub const EMPTY: Self = Self(0);
    /// No ban, but not empty either: keeps the overflow table within reach.
    pub const TOMBSTONE: Self = Self(ORIGIN_MASK << ORIGIN_SHIFT);
    /// The slots of a line.
    pub const PER_LINE: usize = 8;
    /// A line whose last slot is not empty may have entries in the overflow table.
    pub const LAST: usize = Self::PER_LINE - 1;

    /// A ban until `expires_boot_ns`, which is rounded down: none lasts longer than told.
    #[must_use]
    pub const fn new(identity: u64, origin: Origin, expires_boot_ns: u64) -> Self {
        let units = expires_boot_ns >> UNIT_SHIFT;
        let units = if units > LAST_UNIT { LAST_UNIT } else { units };
        Self(units << EXPIRY_SHIFT | (origin as u64) << ORIGIN_SHIFT | identity)
    }

    /// What tells the hosts of a line apart: of an IPv4 address or a whole IPv6 address.
    #[inline(always)]
    #[must_use]
    pub const fn identity(tag: u64) -> u64 {
        tag & TAG_MASK | USED
    }

    /// The same for the /64 of an IPv6 address.
    #[inline(always)]
    #[must_use]
    pub const fn wide_identity(tag: u64) -> u64 {
        tag & TAG_MASK | USED | WIDE
    }

    /// The number of the slot that a host takes unless it is in use, from 32 bits of its hash: where it is looked for
    /// first, so that a processor guesses right where it will be found. Never [`LAST`](Self::LAST).
    #[inline(always)]
    #[must_use]
    pub const fn likely(bits: u64) -> usize {
        (((bits >> 16 & 0xffff) * Self::LAST as u64) >> 16) as usize
    }

    /// Whether this is the slot of that identity.
    #[inline(always)]
    #[must_use]
    pub const fn is(self, identity: u64) -> bool {
        (self.0 ^ identity) & (TAG_MASK | WIDE | USED) == 0
    }

    /// Whether there is nothing in it.
    #[inline(always)]
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether a new ban may take its place.
    #[must_use]
    pub const fn is_free(self) -> bool {
        self.0 == 0 || self.0 == Self::TOMBSTONE.0
    }

    /// The ban holds while `CLOCK_BOOTTIME` is below this.
    #[inline(always)]
    #[must_use]
    pub const fn expires_boot_ns(self) -> u64 {
        (self.0 >> EXPIRY_SHIFT) << UNIT_SHIFT
    }

    /// Number of the [`Origin`].
    #[inline(always)]
    #[must_use]
    pub const fn origin(self) -> u32 {
        (self.0 >> ORIGIN_SHIFT & ORIGIN_MASK) as u32
    }

    /// Whether it is the ban of a /64.
    #[must_use]
    pub const fn is_wide(self) -> bool {
        self.0 & WIDE != 0
    }

    /// What the identity was made of.
    #[must_use]
    pub const fn tag(self) -> u32 {
        (self.0 & TAG_MASK) as u32
    }
}

/// The tag of an IPv4 address. With the number of a line among at least 256 it is the address.
#[inline(always)]
#[must_use]
pub const fn v4_tag(permuted: u64) -> u64 {
    permuted >> 8
}

/// The tag of a hash of IPv6.
#[inline(always)]
#[must_use]
pub const fn v6_tag(hash: u64) -> u64 {
    hash >> 40
}

/// The bits of a hash of IPv6 for [`Slot::likely`]: neither those of the line nor all of the tag.
#[inline(always)]
#[must_use]
pub const fn v6_likely(hash: u64) -> usize {
    Slot::likely(hash >> 8)
}

/// The permuted address that lies in line number `line` with `tag`.
#[must_use]
pub const fn v4_permuted(line: u32, tag: u32) -> u32 {
    tag << 8 | line & 0xff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_gives_back_what_went_in() {
        let expires = 5_000_000_000;
        let slot = Slot::new(Slot::identity(0xabcdef), Origin::Fleet, expires);
        assert!(slot.is(Slot::identity(0xabcdef)) && !slot.is(Slot::wide_identity(0xabcdef)));
        assert!(!slot.is(Slot::identity(0xabcdee)) && !slot.is_wide() && !slot.is_free());
        assert_eq!(slot.origin(), Origin::Fleet as u32);
        assert_eq!(slot.tag(), 0xabcdef);
        assert!(slot.expires_boot_ns() <= expires && expires - slot.expires_boot_ns() < 1 << UNIT_SHIFT);
    }

    #[test]
    fn the_longest_ban_ends_with_the_last_unit() {
        let slot = Slot::new(Slot::wide_identity(1), Origin::List, u64::MAX);
        assert!(slot.is_wide() && slot.is(Slot::wide_identity(1)));
        assert_eq!(slot.expires_boot_ns(), LAST_UNIT << UNIT_SHIFT);
    }

    #[test]
    fn hosts_spread_over_all_slots_but_the_last() {
        let mut seen = [0_u32; Slot::PER_LINE];
        for host in 0..70_000_u64 {
            seen[Slot::likely(crate::hash::mix(host) & 0xffff_ffff)] += 1;
        }
        assert_eq!(seen[Slot::LAST], 0);
        assert!(
            seen[..Slot::LAST].iter().all(|count| (9_000..11_000).contains(count)),
            "{seen:?}"
        );
    }

    #[test]
    fn neither_an_empty_slot_nor_a_tombstone_is_anybodys() {
        for slot in [Slot::EMPTY, Slot::TOMBSTONE] {
            assert!(slot.is_free());
            assert_eq!(slot.expires_boot_ns(), 0);
        }
        assert!(!Slot::EMPTY.is(Slot::identity(0)));
        assert!(Slot::EMPTY.is_empty() && !Slot::TOMBSTONE.is_empty());
    }
}
