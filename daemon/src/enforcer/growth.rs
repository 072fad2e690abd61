//! Larger tables while the program runs: they are made and filled beside the old ones, and the program is swapped for one
//! that looks into them, between two packets. The old tables are complete until then, and so no banned packet passes.

use std::fs;

use super::{
    Capacities, Enforcer, EnforcerError, Tables, geometry, handed::Handed, hands::Hands, holder::Offer, lock,
    maps::Maps, privilege, settings::Settings, table::Source,
};

/// What became of the size of the tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Growth {
    /// How often they grew since the start.
    pub times: u32,
    /// Why they could not when they last should have; `None` if they could.
    pub failure: Option<String>,
}

/// Lines that are copied while others wait.
const LINES_AT_ONCE: u32 = 16_384;
/// What larger tables must leave to others: a part of all memory, as a divisor.
const MEMORY_LEFT: u64 = 16;

/// What is ready to be swapped in.
struct Larger {
    offered: Handed,
    maps: Maps,
    geometry: portcullis_common::Geometry,
    capacities: Capacities,
}

impl Enforcer {
    /// Makes larger tables if these are nearly full and the limit allows it; tells whether it did. Call it every few
    /// seconds, off the threads that must not wait: it takes a second for each few million bans.
    ///
    /// # Errors
    /// The tables stay as they are, with every ban. [`growth`](Self::growth) remembers why.
    pub fn grow_if_crowded(&self) -> Result<bool, EnforcerError> {
        let wanted = wanted(&self.tables());
        wanted.map_or(Ok(false), |hosts| self.grow(hosts).map(|()| true))
    }

    /// How often the tables grew, and why they could not.
    pub fn growth(&self) -> Growth {
        lock(&self.growth).clone()
    }

    fn grow(&self, hosts: u32) -> Result<(), EnforcerError> {
        let outcome = run(self, hosts);
        let mut growth = lock(&self.growth);
        match &outcome {
            Ok(()) => {
                growth.times += 1;
                growth.failure = None;
            }
            Err(error) => growth.failure = Some(error.to_string()),
        }
        outcome
    }

    /// Makes room for so many more hosts, if that is possible; whether it is worth another try.
    ///
    /// Where it failed before, this waits for [`grow_if_crowded`](Self::grow_if_crowded) to succeed: each attempt costs.
    pub(super) fn make_room(&self, hosts: u64) -> bool {
        if lock(&self.growth).failure.is_some() {
            return false;
        }
        let wanted = {
            let tables = self.tables();
            let (present, ..) = tables.maps.hosts();
            doubled(&tables.capacities, u64::from(present) + hosts).or_else(|| wanted(&tables))
        };
        match wanted.map(|hosts| self.grow(hosts)) {
            Some(Ok(())) => true,
            Some(Err(error)) => {
                tracing::error!(%error, "the tables cannot grow");
                false
            }
            // Somebody else may have made room meanwhile.
            None => {
                let usage = self.usage();
                usage.hosts < usage.capacity
            }
        }
    }
}

/// Whether the tables should be larger, and how large. Before they are full, as making larger ones takes a while.
fn wanted(tables: &Tables) -> Option<u32> {
    let (hosts, overflowed, capacity) = tables.maps.hosts();
    let is_crowded = u64::from(hosts) * 4 >= u64::from(capacity) * 3;
    // Many of one family, IPv6 above all, fill their lines before there are too many of all.
    let is_uneven = overflowed >= geometry::overflow_capacity(capacity) / 2;
    let next = capacity.saturating_mul(2).min(tables.capacities.hosts_limit);
    ((is_crowded || is_uneven) && next > capacity).then_some(next)
}

/// How large tables must be, at least `capacity` and at most `limit`, so that so many bans do not make them grow.
#[must_use]
pub fn room_for(bans: u64, capacity: u32, limit: u32) -> u32 {
    let mut room = capacity;
    while bans.saturating_mul(4) >= u64::from(room) * 3 && room < limit {
        room = room.max(1).saturating_mul(2).min(limit);
    }
    room
}

/// The smallest doubling of `capacity` that holds so many hosts, as far as the limit allows.
fn doubled(capacities: &Capacities, hosts: u64) -> Option<u32> {
    let limit = capacities.hosts_limit;
    let mut next = capacities.hosts;
    while u64::from(next) < hosts && next < limit {
        next = next.max(1).saturating_mul(2).min(limit);
    }
    (next > capacities.hosts).then_some(next)
}

/// Makes room for so many hosts. Others may ban and unban meanwhile; only at the very end they wait.
fn run(enforcer: &Enforcer, hosts: u32) -> Result<(), EnforcerError> {
    let mut hands = lock(&enforcer.hands);
    let from = {
        let mut tables = enforcer.tables();
        if tables.capacities.hosts >= hosts {
            // Somebody else was faster.
            return Ok(());
        }
        tables.maps.follow_changes();
        tables.capacities
    };
    let offer = hands.prepare_larger(hosts);
    let larger = offer.and_then(|offer| fill(enforcer, offer));
    let replaced = larger.and_then(|larger| swap(enforcer, &mut hands, larger));
    if replaced.is_err() {
        enforcer.tables().maps.changes();
        hands.give_up();
    }
    let (replaced, to) = replaced?;
    tracing::info!(from = from.hosts, to, "the tables grew");
    // The memory of the old tables is given back while nobody waits.
    drop(hands);
    drop(replaced);
    Ok(())
}

/// Capacities for so many hosts, and as many more of IPv6 as of all.
pub(super) fn scaled(from: &Capacities, hosts: u32) -> Capacities {
    Capacities {
        hosts,
        hosts_v6: u64::from(from.hosts_v6)
            .saturating_mul(u64::from(hosts))
            .checked_div(u64::from(from.hosts))
            .and_then(|hosts| u32::try_from(hosts).ok())
            .unwrap_or(hosts),
        ..*from
    }
}

/// Copies what the old tables hold into larger ones, a part at a time.
fn fill(enforcer: &Enforcer, offer: Offer) -> Result<Larger, EnforcerError> {
    let Offer {
        maps: offered,
        capacities,
    } = offer;
    let geometry = *Settings::adopt(&Source::Handed(&offered))?.geometry();
    let mut maps = Maps::open(&Source::Handed(&offered), &geometry, &capacities)?;
    let lines = enforcer.tables().maps.lines();
    for first in (0..lines).step_by(LINES_AT_ONCE as usize) {
        let hosts = enforcer.tables().maps.hosts_in(first..lines.min(first + LINES_AT_ONCE));
        maps.put_all(hosts)?;
    }
    let overflowed = enforcer.tables().maps.overflowed_hosts()?;
    maps.put_all(overflowed)?;
    // The bits of prefixes and flows, whose maps are the same.
    maps.rebuild_filter()?;
    Ok(Larger {
        offered,
        maps,
        geometry,
        capacities,
    })
}

/// Brings the larger tables to the last state and puts them in the place of the others. Returns what was there, and how
/// many hosts fit now.
fn swap(enforcer: &Enforcer, hands: &mut Hands, larger: Larger) -> Result<(Tables, u32), EnforcerError> {
    let mut tables = enforcer.tables();
    let mut maps = larger.maps;
    let changed = tables.maps.changes();
    maps.catch_up(&tables.maps, &changed)?;
    let settings = tables
        .settings
        .moved_to(&Source::Handed(&larger.offered), &larger.geometry)?;
    hands.swap_in()?;
    let capacities = larger.capacities;
    let tables = std::mem::replace(
        &mut *tables,
        Tables {
            maps,
            settings,
            capacities,
        },
    );
    Ok((tables, capacities.hosts))
}

/// A daemon that gave its capabilities up must be told what to do, not that one is missing.
pub(super) fn check_privilege(from: &Capacities, to: &Capacities) -> Result<(), EnforcerError> {
    match privilege::missing() {
        Some(EnforcerError::MissingCapability { missing }) => Err(EnforcerError::MayNotGrow {
            from: from.hosts,
            to: to.hosts,
            reason: format!("{missing} missing"),
        }),
        Some(other) => Err(other),
        None => Ok(()),
    }
}

/// The kernel would take the memory from others before it refuses, and end one of them for it.
pub(super) fn check_memory(from: &Capacities, to: &Capacities, bytes: u64) -> Result<(), EnforcerError> {
    let Some((total, available)) = memory(&fs::read_to_string("/proc/meminfo").unwrap_or_default()) else {
        return Ok(());
    };
    let needed = bytes.saturating_add(total / MEMORY_LEFT);
    if available >= needed {
        return Ok(());
    }
    const MIB: u64 = 1 << 20;
    Err(EnforcerError::NoMemoryToGrow {
        from: from.hosts,
        to: to.hosts,
        reason: format!(
            "it takes {} MiB and must leave {} MiB to others, and {} MiB are available",
            bytes / MIB,
            total / MEMORY_LEFT / MIB,
            available / MIB
        ),
    })
}

/// Bytes of memory in all, and available without pushing anything out.
fn memory(meminfo: &str) -> Option<(u64, u64)> {
    let kilobytes = |key: &str| -> Option<u64> {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(key))?;
        line.split_whitespace().next()?.parse().ok()
    };
    Some((kilobytes("MemTotal:")? * 1024, kilobytes("MemAvailable:")? * 1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_size_is_the_smallest_doubling_that_is_enough() {
        let capacities = |hosts, hosts_limit| Capacities {
            hosts,
            hosts_limit,
            ..Capacities::default()
        };
        assert_eq!(doubled(&capacities(1_000, 10_000), 1_001), Some(2_000));
        assert_eq!(doubled(&capacities(1_000, 10_000), 7_000), Some(8_000));
        assert_eq!(doubled(&capacities(1_000, 10_000), 20_000), Some(10_000));
        assert_eq!(doubled(&capacities(1_000, 10_000), 1_000), None);
        assert_eq!(doubled(&capacities(1_000, 0), 2_000), None);
        assert_eq!(doubled(&capacities(10_000, 10_000), 20_000), None);
    }

    #[test]
    fn what_is_stored_finds_its_room_from_the_start() {
        assert_eq!(room_for(0, 1_000, 10_000), 1_000);
        assert_eq!(room_for(749, 1_000, 10_000), 1_000);
        assert_eq!(room_for(750, 1_000, 10_000), 2_000);
        assert_eq!(room_for(20_000, 1_000, 10_000), 10_000);
        assert_eq!(room_for(5_000, 1_000, 500), 1_000);
    }

    #[test]
    fn tables_that_would_take_the_last_memory_are_refused() {
        let (total, available) = memory("MemTotal: 1000 kB\nMemFree: 1 kB\nMemAvailable:     500 kB\n").unwrap();
        assert_eq!((total, available), (1_024_000, 512_000));
        let capacities = Capacities::default();
        let refused = check_memory(&capacities, &capacities, u64::MAX / 2).unwrap_err();
        assert!(refused.to_string().contains("packet.max_bans_limit"), "{refused}");
        assert!(check_memory(&capacities, &capacities, 1).is_ok());
    }
}
