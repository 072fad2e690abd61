//! The rate limits: what a source may send, by the time that each packet takes of its budget.
//!
//! Each limit remembers one moment, when the source will be back at its rate (GCRA); a packet is
//! too much if that is further away than the burst. The table has a fixed size, as inserting into
//! one that grows costs ten times the rest of the program. A source whose line is full of others
//! that are over their rate right now is not limited, and counted as such.
//!
//! While all sources together open more connections than the SYN-flood mode allows, no source that is
//! not in the table yet gets into it: senders that forge addresses push nobody out.

use portcullis_common::{Limit, MAX_FLOOD_PORTS, RateCell, hash::Source, maps::RATE_LINES};

use crate::{
    clock::Scratch,
    decide::transport,
    maps::{RATES, RateLine, SharedSettings, setting},
    parse::{Frame, Network},
};

/// What the limits say about a packet.
pub(crate) enum Rate {
    Within,
    /// There was no room to remember its source.
    Unknown,
    /// It opens a connection, and too many do; its source is not known.
    Flood,
    Over {
        /// So often by now that the daemon should know.
        report: bool,
    },
}

#[inline(always)]
pub(crate) fn judge(
    frame: &Frame,
    network: &Network,
    source: &Source,
    settings: &SharedSettings,
    scratch: &mut Scratch,
) -> Rate {
    let now = scratch.boot_ns;
    // IPv4 by address, IPv6 by /64: there, everybody has as many addresses as he likes.
    let hash = if source.wide == 0 { source.host } else { source.wide };
    let id = portcullis_common::hash::mix(hash) & !RateCell::STRIKES | (RateCell::STRIKES + 1);
    let Some(line) = RATES.get_ptr_mut((id >> 40) as u32 & (RATE_LINES - 1)) else {
        return Rate::Unknown;
    };
    let port = opens(network, settings);
    let flood = port.is_some_and(|port| is_flood(port, settings, scratch));
    let cell = match cell_of(line, id) {
        Some(cell) => cell,
        None if flood => return Rate::Flood,
        None => match new_cell(line, id, now) {
            Some(cell) => cell,
            None => return Rate::Unknown,
        },
    };
    // SAFETY: the map outlives the program and its cells are plain data. Processors that count the
    // same source at the same moment may lose one packet of it.
    let cell = unsafe { &mut *cell };
    let packets = charge(cell.packets, &limit(settings, Which::Packets), 1, now);
    let bytes = charge(cell.bytes, &limit(settings, Which::Bytes), frame.length(), now);
    let syns = charge(cell.syns, &limit(settings, Which::Syns), u64::from(port.is_some()), now);
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

/// The port that this opens a TCP connection to, if anybody asks.
#[inline(always)]
fn opens(network: &Network, settings: &SharedSettings) -> Option<u16> {
    if setting!(settings, limits.syns.cost) == 0 && setting!(settings, syn_flood.limit.cost) == 0 {
        return None;
    }
    let header = transport(network)?;
    header.is_syn().then_some(header.destination_port)
}

/// Whether this processor sees more connections opened to the ports that are watched than it may.
#[inline(always)]
fn is_flood(port: u16, settings: &SharedSettings, scratch: &mut Scratch) -> bool {
    let limit = limit(settings, Which::Flood);
    let mut index = 0;
    let mut watched = false;
    while index < MAX_FLOOD_PORTS {
        watched |= setting!(settings, syn_flood.ports[index]) == port;
        index += 1;
    }
    if !watched || port == 0 {
        return false;
    }
    match charge(scratch.syns, &limit, 1, scratch.boot_ns) {
        Some(then) => {
            scratch.syns = then;
            false
        }
        None => true,
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
    Flood,
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
        Which::Flood => Limit {
            cost: setting!(settings, syn_flood.limit.cost),
            burst_ns: setting!(settings, syn_flood.limit.burst_ns),
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

/// The cell of that source.
#[inline(always)]
fn cell_of(line: *mut RateLine, id: u64) -> Option<*mut RateCell> {
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
    None
}

/// A cell for that source, of one that is back at its rate.
#[inline(always)]
fn new_cell(line: *mut RateLine, id: u64, now: u64) -> Option<*mut RateCell> {
    let mut number = 0;
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
