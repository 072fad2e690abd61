//! The maps, the settings and the constants, under the names that `portcullis_common::maps` gives them.

use core::ptr;

use aya_ebpf::{
    bindings::BPF_F_MMAPABLE,
    btf_maps::{Array, HashMap, LpmTrie, LruHashMap, PerCpuArray, RingBuf},
    macros::btf_map,
};
use portcullis_common::{
    Address, BanEntry, Counter, DropEvent, FlowKey, Geometry, HitCell, MAX_EXEMPT_PORTS, PrefixKey, RateCell, Reason,
    Settings, Slot, filter, hash::Seed, maps,
};

use crate::clock::Scratch;

const MMAPABLE: usize = BPF_F_MMAPABLE as usize;
const SMALLEST: Geometry = Geometry::SMALLEST;

/// One cache line of banned hosts.
pub(crate) type Line = [u64; Slot::PER_LINE];
/// One cache line of sources whose rate is looked at.
pub(crate) type RateLine = [RateCell; RateCell::PER_LINE];

#[btf_map]
pub(crate) static FILTER: Array<u64, { (filter::FINE_AT + SMALLEST.filter_words) as usize }, MMAPABLE> = Array::new();
#[btf_map]
pub(crate) static HOSTS_V4: Array<Line, { SMALLEST.v4_lines as usize }, MMAPABLE> = Array::new();
#[btf_map]
pub(crate) static HOSTS_V6: Array<Line, { SMALLEST.v6_lines as usize }, MMAPABLE> = Array::new();
#[btf_map]
pub(crate) static KEYS_V6: Array<Address, { SMALLEST.v6_lines as usize * Slot::PER_LINE }, MMAPABLE> = Array::new();
#[btf_map]
pub(crate) static OVERFLOW: HashMap<PrefixKey, u64, 1024> = HashMap::new();
#[btf_map]
pub(crate) static PREFIXES: LpmTrie<Address, BanEntry, { maps::PREFIXES_CAPACITY as usize }> = LpmTrie::new();
#[btf_map]
pub(crate) static FLOWS: LruHashMap<FlowKey, BanEntry, { maps::FLOWS_CAPACITY as usize }> = LruHashMap::new();
#[btf_map]
pub(crate) static NEVER_BAN: LpmTrie<Address, u32, { maps::NEVER_BAN_CAPACITY as usize }> = LpmTrie::new();
#[btf_map]
pub(crate) static COUNTERS: PerCpuArray<Counter, { Reason::COUNTERS as usize }> = PerCpuArray::new();
#[btf_map]
pub(crate) static HITS: Array<HitCell, { SMALLEST.hit_cells as usize }, MMAPABLE> = Array::new();
#[btf_map]
pub(crate) static RATES: Array<RateLine, { maps::RATE_LINES as usize }> = Array::new();
#[btf_map]
pub(crate) static EVENTS: RingBuf<DropEvent, { maps::EVENTS_BYTES as usize }> = RingBuf::new();
#[btf_map]
pub(crate) static SCRATCH: PerCpuArray<Scratch, 1> = PerCpuArray::new();
#[btf_map]
pub(crate) static SETTINGS: Array<Settings, 1> = Array::new();

#[unsafe(no_mangle)]
static GEOMETRY: Geometry = SMALLEST;
#[unsafe(no_mangle)]
static RATE_LIMITS: u32 = 0;
#[unsafe(no_mangle)]
static SHUFFLE: u32 = 0;

macro_rules! constant {
    ($($place:tt)+) => {{
        // SAFETY: it is initialised and aligned. Volatile, as the daemon replaces it before the
        // program is loaded, of which the compiler knows nothing.
        unsafe { ptr::read_volatile(&raw const $($place)+) }
    }};
}

#[inline(always)]
pub(crate) fn filter_mask() -> u32 {
    constant!(GEOMETRY.filter_words) - 1
}

#[inline(always)]
pub(crate) fn v4_mask() -> u32 {
    constant!(GEOMETRY.v4_lines) - 1
}

#[inline(always)]
pub(crate) fn v6_mask() -> u32 {
    constant!(GEOMETRY.v6_lines) - 1
}

#[inline(always)]
pub(crate) fn hit_cells() -> u32 {
    constant!(GEOMETRY.hit_cells)
}

#[inline(always)]
pub(crate) fn seed() -> Seed {
    Seed([constant!(GEOMETRY.seed.0[0]), constant!(GEOMETRY.seed.0[1])])
}

/// Whether the daemon asked for rate limits; if not, the verifier removes their code.
#[inline(always)]
pub(crate) fn rate_limits() -> bool {
    constant!(RATE_LIMITS) != 0
}

/// Whether this is a bench with random sources, and which.
#[inline(always)]
pub(crate) fn shuffle() -> u32 {
    constant!(SHUFFLE)
}

/// The settings, which the daemon writes while the program runs.
#[inline(always)]
pub(crate) fn settings() -> Option<SharedSettings> {
    SETTINGS.get_ptr(0).map(SharedSettings)
}

/// What another may write while we read it.
pub(crate) struct SharedSettings(pub(crate) *const Settings);

macro_rules! setting {
    ($settings:expr, $($field:tt)+) => {{
        // SAFETY: the map outlives the program, and the field is plain data, so that whatever the
        // daemon stores meanwhile is a value. Volatile, as the compiler sees no writer.
        unsafe { (&raw const (*$settings.0).$($field)+).read_volatile() }
    }};
}
pub(crate) use setting;

impl SharedSettings {
    /// Whether a destination port (network byte order) is exempt.
    #[inline(always)]
    pub(crate) fn is_exempt(&self, port: u16) -> bool {
        let mut index = 0;
        let mut exempt = false;
        while index < MAX_EXEMPT_PORTS {
            exempt |= setting!(self, exempt_ports[index]) == port;
            index += 1;
        }
        exempt && port != 0
    }
}

/// One word of the filter.
#[inline(always)]
pub(crate) fn filter_word(index: u32) -> u64 {
    match FILTER.get_ptr(index) {
        // SAFETY: the map outlives the program. Volatile, as the daemon writes it meanwhile.
        Some(word) => unsafe { word.read_volatile() },
        None => 0,
    }
}
