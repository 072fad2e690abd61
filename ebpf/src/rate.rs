//! The rate limits: what a source may send, by the time that each packet takes of its budget.
//!
//! Each limit remembers one moment, when the source will be back at its rate (GCRA); a packet is
//! too much if that is further away than the burst. The table has a fixed size, as inserting into
//! one that grows costs ten times the rest of the program. A source whose line is full of others
//! that are over their rate right now is not limited, and counted as such.

use portcullis_common::{Limit, RateCell, hash::Source, maps::RATE_LINES};

use crate::{
    decide::transport,
    maps::{RATES, RateLine, SharedSettings, setting},
    parse::{Frame, Network},
};

/// What the limits say about a packet.
pub(crate) enum Rate {
    Within,
    /// There was no room to remember its source.
    Unknown,
    Over {
        /// So often by now that the daemon should know.
        report: bool,
    },
}

#[inline(always)]
pub(crate) fn judge(frame: &Frame, network: &Network, source: &Source, settings: &SharedSettings, now: u64) -> Rate {
    // IPv4 by address, IPv6 by /64: there, everybody has as many addresses as he likes.
    let hash = if source.wide == 0 { source.host } else { source.wide };
    let id = portcullis_common::hash::mix(hash) & !RateCell::STRIKES | (RateCell::STRIKES + 1);
    let Some(line) = RATES.get_ptr_mut((id >> 40) as u32 & (RATE_LINES - 1)) else {
        return Rate::Unknown;
    };
    let Some(cell) = cell_of(line, id, now) else {
        return Rate::Unknown;
    };
    // SAFETY: the map outlives the program and its cells are plain data. Processors that count the
    // same source at the same moment may lose one packet of it.
    let cell = unsafe { &mut *cell };
    let syn = setting!(settings, limits.syns.cost) != 0 && transport(network).is_some_and(|header| header.is_syn());
    let packets = charge(cell.packets, &limit(settings, Which::Packets), 1, now);
    let bytes = charge(cell.bytes, &limit(settings, Which::Bytes), frame.length(), now);
    let syns = charge(cell.syns, &limit(settings, Which::Syns), u64::from(syn), now);
    match (packets, bytes, syns) {
        (Some(packets), Some(bytes), Some(syns)) => {
            cell.packets = packets;
            cell.bytes = bytes;
            cell.syns = syns;
            Rate::Within
        }
        _ => over(cell, setting!(settings, strikes)),
    }
}

#[inline(always)]
fn over(cell: &mut RateCell, strikes: u64) -> Rate {
    let count = (cell.id & RateCell::STRIKES) + 1;
    let report = count == strikes;
    // From the start after a report: whoever goes on is reported again.
    if report {
        cell.id &= !RateCell::STRIKES;
    } else if count <= RateCell::STRIKES {
        cell.id += 1;
    }
    Rate::Over { report }
}

#[derive(Clone, Copy)]
enum Which {
    Packets,
    Bytes,
    Syns,
}

#[inline(always)]
fn limit(settings: &SharedSettings, which: Which) -> Limit {
    match which {
        Which::Packets => Limit {
            cost: setting!(settings, limits.packets.cost),
            burst_ns: setting!(settings, limits.packets.burst_ns),
        },
        Which::Bytes => Limit {
            cost: setting!(settings, limits.bytes.cost),
            burst_ns: setting!(settings, limits.bytes.burst_ns),
        },
        Which::Syns => Limit {
            cost: setting!(settings, limits.syns.cost),
            burst_ns: setting!(settings, limits.syns.burst_ns),
        },
    }
}

/// When the source will be back at its rate, having sent `units` more; `None` if that is too late.
#[inline(always)]
fn charge(back: u64, limit: &Limit, units: u64, now: u64) -> Option<u64> {
    let from = if back > now { back } else { now };
    let then = from + ((units * limit.cost) >> 10);
    if then - now > limit.burst_ns && limit.cost != 0 && units != 0 {
        return None;
    }
    Some(then)
}

/// The cell of that source, or one whose source is back at its rate.
#[inline(always)]
fn cell_of(line: *mut RateLine, id: u64, now: u64) -> Option<*mut RateCell> {
    let mut number = 0;
    while number < RateCell::PER_LINE {
        // SAFETY: `number` is below the length of the line.
        let cell = unsafe { &raw mut (*line)[number] };
        // SAFETY: the map outlives the program.
        if unsafe { (*cell).id } & !RateCell::STRIKES == id {
            return Some(cell);
        }
        number += 1;
    }
    number = 0;
    while number < RateCell::PER_LINE {
        // SAFETY: `number` is below the length of the line.
        let cell = unsafe { &raw mut (*line)[number] };
        // SAFETY: the map outlives the program, and its cells are plain data.
        let seen = unsafe { &mut *cell };
        if seen.packets <= now && seen.bytes <= now && seen.syns <= now {
            *seen = RateCell {
                id,
                ..RateCell::default()
            };
            return Some(cell);
        }
        number += 1;
    }
    None
}
