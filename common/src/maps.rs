//! Names and capacities of the maps.

/// Banned hosts: [`Address`](crate::Address) to [`BanEntry`](crate::BanEntry), a hash that refuses
/// when it is full. (An LRU hash would forget a ban without a word.)
pub const HOSTS: &str = "HOSTS";
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
/// [`DropEvent`](crate::DropEvent)s, a ring buffer.
pub const EVENTS: &str = "EVENTS";
/// What each processor remembers between two hits; the program's own business.
pub const SCRATCH: &str = "SCRATCH";
/// The section of the one global variable, [`Settings`](crate::Settings), and thus its map.
pub const SETTINGS: &str = ".data.settings";

/// The XDP program.
pub const PROGRAM: &str = "portcullis";

/// Default capacity of [`HOSTS`]; the daemon may choose another one when it loads the program.
pub const HOSTS_CAPACITY: u32 = 131_072;
/// Default capacity of [`PREFIXES`].
pub const PREFIXES_CAPACITY: u32 = 65_536;
/// Default capacity of [`FLOWS`].
pub const FLOWS_CAPACITY: u32 = 65_536;
/// Capacity of [`NEVER_BAN`].
pub const NEVER_BAN_CAPACITY: u32 = 4_096;
/// Size of [`EVENTS`].
pub const EVENTS_BYTES: u32 = 64 * 1024;
