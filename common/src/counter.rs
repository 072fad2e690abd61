//! The value of the counter table.

use crate::Plain;

/// What one processor counted for one reason.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counter {
    /// Packets.
    pub packets: u64,
    /// Bytes, from the Ethernet header on; of a frame in several buffers only the first counts.
    pub bytes: u64,
}

const _: () = assert!(size_of::<Counter>() == 16 && align_of::<Counter>() == 8);

// SAFETY: two words, no padding, every pattern is a value.
unsafe impl Plain for Counter {}
