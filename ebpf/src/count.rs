//! The counters.

use crate::maps::COUNTERS;

/// Counts one packet of `bytes` under `index`.
#[inline(always)]
pub(crate) fn count(index: u32, bytes: u64) {
    if let Some(counter) = COUNTERS.get_ptr_mut(index) {
        // SAFETY: the slot is this processor's own; its other writers ran before or run after.
        let counter = unsafe { &mut *counter };
        counter.packets += 1;
        counter.bytes += bytes;
    }
}
