//! The maps and the settings, under the names that `portcullis_common::maps` gives them.

use core::cell::UnsafeCell;

use aya_ebpf::{
    btf_maps::{HashMap, LpmTrie, LruHashMap, PerCpuArray, RingBuf},
    macros::btf_map,
};
use portcullis_common::{Address, BanEntry, Counter, DropEvent, FlowKey, MAX_EXEMPT_PORTS, Reason, Settings, maps};

use crate::clock::Scratch;

#[btf_map]
pub(crate) static HOSTS: HashMap<Address, BanEntry, { maps::HOSTS_CAPACITY as usize }> = HashMap::new();
#[btf_map]
pub(crate) static PREFIXES: LpmTrie<Address, BanEntry, { maps::PREFIXES_CAPACITY as usize }> = LpmTrie::new();
#[btf_map]
pub(crate) static FLOWS: LruHashMap<FlowKey, BanEntry, { maps::FLOWS_CAPACITY as usize }> = LruHashMap::new();
#[btf_map]
pub(crate) static NEVER_BAN: LpmTrie<Address, u32, { maps::NEVER_BAN_CAPACITY as usize }> = LpmTrie::new();
#[btf_map]
pub(crate) static COUNTERS: PerCpuArray<Counter, { Reason::COUNTERS as usize }> = PerCpuArray::new();
#[btf_map]
pub(crate) static EVENTS: RingBuf<DropEvent, { maps::EVENTS_BYTES as usize }> = RingBuf::new();
#[btf_map]
pub(crate) static SCRATCH: PerCpuArray<Scratch, 1> = PerCpuArray::new();

/// The settings, which the daemon writes while the program runs.
#[unsafe(link_section = ".data.settings")]
#[unsafe(no_mangle)]
static SETTINGS: Shared = Shared(UnsafeCell::new(Settings::INITIAL));

#[repr(transparent)]
struct Shared(UnsafeCell<Settings>);

// SAFETY: the program never writes it, and reads it by `setting!` only.
unsafe impl Sync for Shared {}

macro_rules! setting {
    ($field:ident $([$index:expr])?) => {{
        let settings = SETTINGS.0.get();
        // SAFETY: the field is initialised and aligned; it is plain data, so that whatever the
        // daemon stores meanwhile is a value. Volatile, as the compiler sees no writer.
        unsafe { (&raw const (*settings).$field $([$index])?).read_volatile() }
    }};
}

/// Which tables may hold something.
#[inline(always)]
pub(crate) fn tables() -> u32 {
    setting!(tables)
}

/// Whether to drop or only to count.
#[inline(always)]
pub(crate) fn mode() -> u32 {
    setting!(mode)
}

/// The shortest time between two events of one processor.
#[inline(always)]
pub(crate) fn event_interval_ns() -> u32 {
    setting!(event_interval_ns)
}

/// Whether a destination port (network byte order) is exempt.
#[inline(always)]
pub(crate) fn is_exempt(port: u16) -> bool {
    let mut index = 0;
    let mut exempt = false;
    while index < MAX_EXEMPT_PORTS {
        exempt |= setting!(exempt_ports[index]) == port;
        index += 1;
    }
    exempt && port != 0
}
