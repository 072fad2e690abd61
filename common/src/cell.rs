//! What the program writes about single sources, in arrays whose size nobody can grow.

use crate::{Plain, hash::spread};

/// How often a ban was met. Cells are chosen by [`id`](Self::id); when two bans meet in one, the
/// busy one keeps it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HitCell {
    /// The hash of the banned host or prefix; 0 for a free cell.
    pub id: u64,
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
    /// The last one, by `CLOCK_BOOTTIME`, exact to a timer tick.
    pub last_boot_ns: u64,
}

const _: () = assert!(size_of::<HitCell>() == 32 && align_of::<HitCell>() == 8);

// SAFETY: four words, no padding, every pattern is a value.
unsafe impl Plain for HitCell {}

impl HitCell {
    /// A cell whose ban was not met for so long may be taken by another.
    pub const QUIET_NS: u64 = 10_000_000_000;

    /// The id of a banned host, from the hash of its address; never 0.
    #[inline(always)]
    #[must_use]
    pub const fn id_of(hash: u64) -> u64 {
        spread(hash) | 1
    }

    /// The cell of an id among `cells`, a power of two.
    #[inline(always)]
    #[must_use]
    pub const fn index(id: u64, cells: u32) -> u32 {
        (id >> 40) as u32 & (cells - 1)
    }
}

/// What a source has sent lately: for each limit the moment when it will be back at its rate.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateCell {
    /// The hash of the source; its lowest bits count how often it was over a limit.
    pub id: u64,
    /// By the limit on packets.
    pub packets: u64,
    /// By the limit on bytes.
    pub bytes: u64,
    /// By the limit on new connections.
    pub syns: u64,
}

const _: () = assert!(size_of::<RateCell>() == 32 && align_of::<RateCell>() == 8);

// SAFETY: four words, no padding, every pattern is a value.
unsafe impl Plain for RateCell {}

impl RateCell {
    /// The cells of a line.
    pub const PER_LINE: usize = 2;
    /// The bits of [`id`](Self::id) that count.
    pub const STRIKES: u64 = 0xffff;
}
