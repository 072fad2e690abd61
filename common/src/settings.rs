//! What the daemon tells the program: once when it is loaded, and while it runs.

use crate::{ABI_VERSION, Plain, hash::Seed};

/// How many ports can be exempt.
pub const MAX_EXEMPT_PORTS: usize = 8;

/// [`Settings::mode`]: count what would be dropped, drop nothing.
pub const MODE_MONITOR: u32 = 0;
/// [`Settings::mode`]: drop.
pub const MODE_ENFORCE: u32 = 1;

/// How many ports the SYN-flood mode can watch.
pub const MAX_FLOOD_PORTS: usize = 8;

/// [`Settings::malformed`]: pass packets without a whole header, and count them.
pub const MALFORMED_PASS: u32 = 0;
/// [`Settings::malformed`]: drop them.
pub const MALFORMED_DROP: u32 = 1;

/// The sizes of the tables and the seed of their hashes: constants of a loaded program, which the
/// verifier makes part of its code. They are kept with the tables, as they give them their meaning.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Fine words of the filter; a power of two.
    pub filter_words: u32,
    /// Lines for IPv4 hosts; a power of two, at least 256.
    pub v4_lines: u32,
    /// Lines for IPv6 hosts and /64s; a power of two.
    pub v6_lines: u32,
    /// Cells for hit counters; a power of two.
    pub hit_cells: u32,
    /// Of the hashes.
    pub seed: Seed,
}

const _: () = assert!(size_of::<Geometry>() == 32 && align_of::<Geometry>() == 8);

// SAFETY: 4 * 4 + 2 * 8 bytes fill the 32, every pattern is a value.
unsafe impl Plain for Geometry {}

impl Geometry {
    /// The smallest tables that the program works with.
    pub const SMALLEST: Self = Self {
        filter_words: 8192,
        v4_lines: 256,
        v6_lines: 256,
        hit_cells: 1024,
        seed: Seed([0; 2]),
    };
}

/// A limit on what a source may send, as the time that each unit takes of a budget.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limit {
    /// 1/1024 of a nanosecond for each unit; 0 is no limit.
    pub cost: u64,
    /// How far a source may be ahead of its rate, in nanoseconds.
    pub burst_ns: u64,
}

/// The limits of every source.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// On packets.
    pub packets: Limit,
    /// On bytes.
    pub bytes: Limit,
    /// On TCP segments that open a connection.
    pub syns: Limit,
}

/// When opening connections is a flood, whoever opens them.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SynFlood {
    /// On TCP segments that open a connection to one of `ports`, from all sources together, for each
    /// processor.
    pub limit: Limit,
    /// Destination ports, network byte order, 0 for none.
    pub ports: [u16; MAX_FLOOD_PORTS],
}

/// The one record of settings.
///
/// The daemon writes the whole record while packets are read, so no field may depend on another
/// one being written at the same time.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// [`ABI_VERSION`] of who made the tables; the daemon compares it before it touches one.
    pub abi_version: u32,
    /// A bit for each number of an [`Origin`](crate::Origin) whose bans are only counted.
    pub monitored_origins: u32,
    /// [`MODE_MONITOR`] or [`MODE_ENFORCE`].
    pub mode: u32,
    /// A processor reports at most one drop in this many nanoseconds.
    pub event_interval_ns: u32,
    /// Destination ports of TCP and UDP that are never dropped, network byte order, 0 for none.
    pub exempt_ports: [u16; MAX_EXEMPT_PORTS],
    /// Of the tables.
    pub geometry: Geometry,
    /// Read only by a program that was loaded with rate limits.
    pub limits: Limits,
    /// So many times over its limits, and a source is reported. 0 is never.
    pub strikes: u64,
    /// Read only by a program that was loaded with rate limits.
    pub syn_flood: SynFlood,
    /// [`MALFORMED_PASS`] or [`MALFORMED_DROP`].
    pub malformed: u32,
    /// Nothing.
    pub padding: u32,
}

const _: () = assert!(size_of::<Settings>() == 160 && align_of::<Settings>() == 8);

// SAFETY: 4 * 4 + 8 * 2 + 32 + 6 * 8 + 8 + 32 + 2 * 4 bytes fill the 160, every pattern is a value.
unsafe impl Plain for Settings {}

impl Settings {
    /// What a program starts with: it monitors, and reports a hundred drops a second.
    pub const INITIAL: Self = Self {
        abi_version: ABI_VERSION,
        monitored_origins: 0,
        mode: MODE_MONITOR,
        event_interval_ns: 10_000_000,
        exempt_ports: [22_u16.to_be(), 0, 0, 0, 0, 0, 0, 0],
        geometry: Geometry::SMALLEST,
        limits: Limits {
            packets: Limit { cost: 0, burst_ns: 0 },
            bytes: Limit { cost: 0, burst_ns: 0 },
            syns: Limit { cost: 0, burst_ns: 0 },
        },
        strikes: 0,
        syn_flood: SynFlood {
            limit: Limit { cost: 0, burst_ns: 0 },
            ports: [0; MAX_FLOOD_PORTS],
        },
        malformed: MALFORMED_PASS,
        padding: 0,
    };
}
