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
