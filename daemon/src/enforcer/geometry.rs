//! How large the tables are.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher as _, Hasher as _},
};

use portcullis_common::{Geometry, Slot, hash::Seed};

use super::Capacities;

/// Bans that share a line on average when the table is full: at four of eight, one in 150 finds its
/// line full.
const LOAD: u32 = 4;
/// IPv6 hosts and /64s are a part of all at first: their lines take three times the memory.
const V6_SHARE: u32 = 4;
const LARGEST_HITS: u32 = 65_536;

/// Tables for that many bans, under a seed that nobody knows.
pub(super) fn of(capacities: &Capacities) -> Geometry {
    let lines = |hosts: u32| hosts.div_ceil(LOAD).next_power_of_two();
    let v4_lines = lines(capacities.hosts).max(Geometry::SMALLEST.v4_lines);
    let v6 = match capacities.hosts_v6 {
        0 => capacities.hosts / V6_SHARE,
        hosts => hosts,
    };
    Geometry {
        filter_words: v4_lines.max(Geometry::SMALLEST.filter_words),
        v4_lines,
        v6_lines: lines(v6).max(Geometry::SMALLEST.v6_lines),
        hit_cells: (v4_lines * Slot::PER_LINE as u32).min(LARGEST_HITS),
        seed: Seed([random(), random()]),
    }
}

/// Tables for that many bans, but none smaller than those found, and under their seed: nothing that was banned is ever
/// without room, and hits are counted on.
pub(super) fn not_below(capacities: &Capacities, found: &Geometry) -> (Geometry, Capacities) {
    let wanted = of(capacities);
    let mut capacities = *capacities;
    if found.v4_lines > wanted.v4_lines {
        capacities.hosts = found.v4_lines.saturating_mul(LOAD);
    }
    if found.v6_lines > of(&capacities).v6_lines {
        capacities.hosts_v6 = found.v6_lines.saturating_mul(LOAD);
    }
    let geometry = Geometry {
        seed: found.seed,
        ..of(&capacities)
    };
    (geometry, capacities)
}

/// How many bytes the tables take that depend on the number of hosts.
pub(super) fn bytes(geometry: &Geometry, capacities: &Capacities) -> u64 {
    const LINE: u64 = 64;
    const KEYS: u64 = 16 * Slot::PER_LINE as u64;
    /// An element of a hash, and its bucket.
    const OVERFLOWED: u64 = 100;
    u64::from(geometry.filter_words) * 8
        + u64::from(geometry.v4_lines) * LINE
        + u64::from(geometry.v6_lines) * (LINE + KEYS)
        + u64::from(overflow_capacity(capacities.hosts)) * OVERFLOWED
}

/// How many hosts may find their line full.
pub(super) fn overflow_capacity(hosts: u32) -> u32 {
    (hosts / 64).max(1024)
}

/// The standard library seeds its maps from the system's random source.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_that_were_found_are_never_made_smaller() {
        let hosts = |hosts| Capacities {
            hosts,
            ..Capacities::default()
        };
        let found = of(&hosts(50_000));
        let (geometry, capacities) = not_below(&hosts(1_000), &found);
        assert_eq!(geometry, found);
        assert!(capacities.hosts >= 50_000, "{capacities:?}");
        let (larger, capacities) = not_below(&hosts(1_000_000), &found);
        assert_eq!((larger.seed, capacities.hosts), (found.seed, 1_000_000));
        assert!(larger.v4_lines > found.v4_lines);
    }

    #[test]
    fn sizes_are_powers_of_two_and_fit_ten_million() {
        for hosts in [0, 1, 16, 131_072, 1_000_000, 10_000_000] {
            let geometry = of(&Capacities {
                hosts,
                ..Capacities::default()
            });
            for size in [
                geometry.filter_words,
                geometry.v4_lines,
                geometry.v6_lines,
                geometry.hit_cells,
            ] {
                assert!(size.is_power_of_two(), "{geometry:?}");
            }
            assert!(geometry.v4_lines >= 256 && u64::from(geometry.v4_lines) * 4 >= u64::from(hosts));
        }
    }
}
