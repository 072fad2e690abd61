//! What the daemon may change while the program runs.

use crate::{ABI_VERSION, Plain};

/// How many ports can be exempt.
pub const MAX_EXEMPT_PORTS: usize = 8;

/// [`Settings::mode`]: count what would be dropped, drop nothing.
pub const MODE_MONITOR: u32 = 0;
/// [`Settings::mode`]: drop.
pub const MODE_ENFORCE: u32 = 1;

/// Which tables may hold something. A clear bit spares the look-up, a set bit promises nothing.
pub struct Tables;

impl Tables {
    /// The host table.
    pub const HOSTS: u32 = 1;
    /// The prefix table.
    pub const PREFIXES: u32 = 2;
    /// The flow table.
    pub const FLOWS: u32 = 4;
}

/// The one record of settings, a global variable of the program.
///
/// The daemon writes the whole record while packets are read, so no field may depend on another
/// one being written at the same time.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// [`ABI_VERSION`] of the program; the daemon compares it before it touches a map.
    pub abi_version: u32,
    /// The bits of [`Tables`] that are in use.
    pub tables: u32,
    /// [`MODE_MONITOR`] or [`MODE_ENFORCE`].
    pub mode: u32,
    /// A processor reports at most one drop in this many nanoseconds.
    pub event_interval_ns: u32,
    /// Destination ports of TCP and UDP that are never dropped, network byte order, 0 for none.
    pub exempt_ports: [u16; MAX_EXEMPT_PORTS],
}

const _: () = assert!(size_of::<Settings>() == 32 && align_of::<Settings>() == 4);

// SAFETY: 4 * 4 + 8 * 2 bytes fill the 32, every pattern is a value.
unsafe impl Plain for Settings {}

impl Settings {
    /// What a program starts with: it monitors, and reports a hundred drops a second.
    pub const INITIAL: Self = Self {
        abi_version: ABI_VERSION,
        tables: 0,
        mode: MODE_MONITOR,
        event_interval_ns: 10_000_000,
        exempt_ports: [22_u16.to_be(), 0, 0, 0, 0, 0, 0, 0],
    };
}
