//! What the ring buffer carries.

use crate::{Address, Plain};

/// A sample of the packets that were dropped, or would have been in monitor mode.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DropEvent {
    /// `CLOCK_BOOTTIME`, exact to a timer tick.
    pub boot_ns: u64,
    /// How many packets this processor dropped without an event since its last one.
    pub unsampled: u64,
    /// Who sent it.
    pub source: Address,
    /// Which interface it arrived at.
    pub interface: u32,
    /// A [`Reason`](crate::Reason).
    pub reason: u32,
    /// The [`Origin`](crate::Origin) of the ban that it met.
    pub origin: u32,
    /// [`Self::DROPPED`] unless monitor mode let it through, and [`Self::STRIKES`].
    pub outcome: u32,
}

impl DropEvent {
    /// It was dropped.
    pub const DROPPED: u32 = 1;
    /// Its source was over its rate limits so often that it should be banned.
    pub const STRIKES: u32 = 2;
}

const _: () = assert!(size_of::<DropEvent>() == 48 && align_of::<DropEvent>() == 8);

// SAFETY: 8 + 8 + 16 + 4 * 4 bytes fill the 48, every pattern is a value.
unsafe impl Plain for DropEvent {}
