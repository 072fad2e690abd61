//! The counters.

use portcullis_common::HitCell;

use crate::maps::{COUNTERS, HITS, hit_cells};

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

/// Counts one packet of `bytes` for the ban of that id.
///
/// Processors share the cells and do not wait for each other: of two at the same moment one may be
/// lost, and a few of another ban may be counted while the cell changes hands.
#[inline(always)]
pub(crate) fn hit(id: u64, bytes: u64, now: u64) {
    if id == 0 {
        return;
    }
    let Some(cell) = HITS.get_ptr_mut(HitCell::index(id, hit_cells())) else {
        return;
    };
    // SAFETY: the map outlives the program, and its cells are plain data.
    let cell = unsafe { &mut *cell };
    if cell.id != id {
        if cell.id != 0 && cell.last_boot_ns + HitCell::QUIET_NS > now {
            return;
        }
        cell.packets = 0;
        cell.bytes = 0;
        cell.id = id;
    }
    cell.packets += 1;
    cell.bytes += bytes;
    cell.last_boot_ns = now;
}
