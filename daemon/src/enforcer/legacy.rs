//! Tables of earlier layouts, which an upgrade finds pinned. What they hold is copied; they are never written, and what
//! nobody here can read is not guessed at.

use std::path::Path;

use portcullis_common::{Address, FlowKey, Geometry, Limits, MAX_EXEMPT_PORTS, Plain, PrefixKey, maps as names};

use super::{
    Capacities, EnforcerError,
    maps::{Entry, Maps},
    table::{Source, Table},
    target::Key,
};

/// Layout 1: one hash of addresses, one trie of prefixes, one hash of connections.
const PLAIN_TABLES: u32 = 1;

/// Layout 2: the tables of today behind a filter whose bits meant something else.
const OTHER_FILTER: u32 = 2;

/// Layout 3: the tables of today under settings that were shorter.
const SHORT_SETTINGS: u32 = 3;

/// The settings of layouts 2 and 3.
#[repr(C)]
#[derive(Clone, Copy)]
struct ShortSettings {
    head: [u32; 4],
    exempt_ports: [u16; MAX_EXEMPT_PORTS],
    geometry: Geometry,
    limits: Limits,
    strikes: u64,
}

const _: () = assert!(size_of::<ShortSettings>() == 120);

// SAFETY: 4 * 4 + 8 * 2 + 32 + 6 * 8 + 8 bytes fill the 120, every pattern is a value.
unsafe impl Plain for ShortSettings {}

/// A ban of layout 1.
#[repr(C)]
#[derive(Clone, Copy)]
struct PlainEntry {
    expires_boot_ns: u64,
    origin: u32,
    prefix_bits: u32,
}

// SAFETY: 8 + 2 * 4 bytes fill the 16, every pattern is a value.
unsafe impl Plain for PlainEntry {}

impl From<PlainEntry> for Entry {
    fn from(entry: PlainEntry) -> Self {
        Self {
            expires_boot_ns: entry.expires_boot_ns,
            origin: entry.origin,
        }
    }
}

/// Copies every ban that holds, and the never-ban set.
pub(super) fn take_over(maps: &mut Maps, layout: u32, path: &Path) -> Result<(), EnforcerError> {
    let (allowed, bans) = match layout {
        PLAIN_TABLES => plain_tables(&Source::Pins(path))?,
        OTHER_FILTER | SHORT_SETTINGS => {
            let Some(geometry) = geometry(layout, path) else {
                return Ok(());
            };
            let earlier = Maps::open(&Source::Pins(path), &geometry, &Capacities::default())?;
            return maps.take_over(&earlier);
        }
        unknown => {
            tracing::warn!(
                layout = unknown,
                path = %path.display(),
                "bans of a layout that this version does not know are left behind; import them again"
            );
            return Ok(());
        }
    };
    tracing::info!(layout, bans = bans.len(), "bans of an earlier version were taken over");
    for prefix in &allowed {
        maps.allow(prefix)?;
    }
    maps.put_all(bans)
}

/// The size of the tables, if the layout has one that ours can be compared with.
pub(super) fn geometry(layout: u32, path: &Path) -> Option<Geometry> {
    if layout != OTHER_FILTER && layout != SHORT_SETTINGS {
        return None;
    }
    let settings = Table::<u32, ShortSettings>::open(&Source::Pins(path), names::SETTINGS).ok()?;
    Some(settings.get(&0).ok()??.geometry)
}

type Contents = (Vec<PrefixKey>, Vec<(Key, Entry)>);

fn plain_tables(source: &Source<'_>) -> Result<Contents, EnforcerError> {
    let hosts = Table::<Address, PlainEntry>::open(source, "HOSTS")?.entries()?;
    let prefixes = Table::<PrefixKey, PlainEntry>::open(source, "PREFIXES")?.entries()?;
    let flows = Table::<FlowKey, PlainEntry>::open(source, "FLOWS")?.entries()?;
    let allowed = Table::<PrefixKey, u32>::open(source, "NEVER_BAN")?.entries()?;
    let hosts = hosts.into_iter().map(|(key, entry)| (Key::Host(key), entry.into()));
    let prefixes = prefixes
        .into_iter()
        .map(|(key, entry)| (Key::of_prefix(key), entry.into()));
    let flows = flows.into_iter().map(|(key, entry)| (Key::Flow(key), entry.into()));
    let bans = hosts.chain(prefixes).chain(flows).collect();
    Ok((allowed.into_iter().map(|(key, _)| key).collect(), bans))
}
