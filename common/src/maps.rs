//! Names and capacities of the maps.

/// The filter in front of all tables, an array of words: see [`filter`](crate::filter).
pub const FILTER: &str = "FILTER";
/// Banned IPv4 hosts: lines of eight [`Slot`](crate::Slot)s, one cache line each.
pub const HOSTS_V4: &str = "HOSTS_V4";
/// Banned IPv6 hosts and /64s: the same.
pub const HOSTS_V6: &str = "HOSTS_V6";
/// The [`Address`](crate::Address) of each slot of [`HOSTS_V6`].
pub const KEYS_V6: &str = "KEYS_V6";
/// What found its line full: [`PrefixKey`](crate::PrefixKey) to [`Slot`](crate::Slot), a hash that
/// refuses when it is full. (An LRU hash would forget a ban without a word.)
pub const OVERFLOW: &str = "OVERFLOW";
/// Banned prefixes: [`PrefixKey`](crate::PrefixKey) to [`BanEntry`](crate::BanEntry).
pub const PREFIXES: &str = "PREFIXES";
/// Banned connections: [`FlowKey`](crate::FlowKey) to [`BanEntry`](crate::BanEntry), an LRU hash:
/// a connection that is forgotten is caught again by its session's verdict.
pub const FLOWS: &str = "FLOWS";
/// Prefixes that are never dropped: [`PrefixKey`](crate::PrefixKey) to its own `bits`.
pub const NEVER_BAN: &str = "NEVER_BAN";
/// [`Counter`](crate::Counter) per processor, indexed by
/// [`Reason::counter`](crate::Reason::counter).
pub const COUNTERS: &str = "COUNTERS";
/// [`HitCell`](crate::HitCell)s, an array.
pub const HITS: &str = "HITS";
/// [`RateCell`](crate::RateCell)s in lines of two, an array.
pub const RATES: &str = "RATES";
/// [`DropEvent`](crate::DropEvent)s, a ring buffer.
pub const EVENTS: &str = "EVENTS";
/// What each processor remembers between two hits; the program's own business.
pub const SCRATCH: &str = "SCRATCH";
/// The one record of [`Settings`](crate::Settings).
pub const SETTINGS: &str = "SETTINGS";

/// The XDP program.
pub const PROGRAM: &str = "portcullis";
/// The constant that holds the [`Geometry`](crate::Geometry).
pub const GEOMETRY: &str = "GEOMETRY";
/// The constant that tells whether the program looks at rates: 0 or 1.
pub const RATE_LIMITS: &str = "RATE_LIMITS";
/// The constant that tells whether sources are replaced by random ones, for benches: 0, or one of the two below.
pub const SHUFFLE: &str = "SHUFFLE";
/// [`SHUFFLE`]: the processor may look several of them up at the same time.
pub const SHUFFLE_TOGETHER: u32 = 1;
/// [`SHUFFLE`]: each packet waits for the one before, as if it had come alone.
pub const SHUFFLE_ALONE: u32 = 2;

/// Default capacity for hosts; the daemon may choose another one when it loads the program.
pub const HOSTS_CAPACITY: u32 = 1_000_000;
/// Default capacity of [`PREFIXES`].
pub const PREFIXES_CAPACITY: u32 = 65_536;
/// Default capacity of [`FLOWS`].
pub const FLOWS_CAPACITY: u32 = 32_768;
/// Capacity of [`NEVER_BAN`].
pub const NEVER_BAN_CAPACITY: u32 = 4_096;
/// Lines of [`RATES`], a power of two; two sources fit in each.
pub const RATE_LINES: u32 = 32_768;
/// Size of [`EVENTS`].
pub const EVENTS_BYTES: u32 = 64 * 1024;
