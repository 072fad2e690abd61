//! How many sessions a source opened lately, and how much work that costs it.
//!
//! Two rows of counters, of which each source has one by a keyed hash; the smaller one is its count (a count-min
//! sketch). Memory is fixed. Sources that share counters make each other look busier, never calmer: whoever suffers
//! from that solves a puzzle that he would not have had to.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use siphasher::sip128::{Hasher128, SipHasher13};
use std::hash::Hasher;

use crate::request::Source;
use crate::time::MonoMillis;

const CELLS: usize = 1 << 16;
const ROWS: usize = 2;
/// The time in which a count halves.
const HALF_LIFE: Duration = Duration::from_secs(600);
/// An IPv6 /48 is one customer or many; it may open this many times as much as a /64.
const WIDER: f32 = 8.0;

/// Whether opening a session costs work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WorkMode {
    /// Never.
    Off,
    /// For sources that have points, or opened many sessions lately.
    #[default]
    Reputation,
    /// For everybody.
    Always,
}

/// How much work.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WorkPolicy {
    /// For whom.
    pub mode: WorkMode,
    /// Zero bits of each of the eight puzzles to begin with.
    pub bits: u8,
    /// Zero bits at the most.
    pub max_bits: u8,
    /// Points of a source from which on it must work.
    pub points: f32,
    /// Sessions that a source may open within some minutes without work.
    pub sessions: f32,
}

impl Default for WorkPolicy {
    fn default() -> Self {
        Self {
            mode: WorkMode::default(),
            bits: 14,
            max_bits: 20,
            points: 50.0,
            sessions: 30.0,
        }
    }
}

impl WorkPolicy {
    /// The bits that a source has to find: one more each time its points or sessions double. `None`: it need not work.
    /// `sessions` is in the measure of [`Mints::excess`].
    #[must_use]
    pub fn bits_for(&self, points: f32, opened: Opened) -> Option<u8> {
        let sessions = opened.source.max(opened.wider / WIDER);
        let excess = (points / self.points).max(sessions / self.sessions);
        let is_due = match self.mode {
            WorkMode::Off => false,
            // Counts fade from the first moment on, so that thirty sessions are never quite thirty.
            WorkMode::Reputation => excess >= 0.99,
            WorkMode::Always => true,
        };
        // A cast saturates; 255 doublings are out of reach.
        let doublings = excess.max(1.0).log2() as u8;
        is_due.then(|| self.bits.saturating_add(doublings).min(self.max_bits))
    }
}

/// Sessions opened lately.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Opened {
    /// By the source.
    pub source: f32,
    /// By the /48 around it; an IPv4 address stands for itself.
    pub wider: f32,
}

/// The counters.
pub struct Mints {
    key: [u8; 16],
    /// Count and time of each: an `f32` above seconds.
    cells: Vec<AtomicU64>,
}

impl Mints {
    /// `key` is secret and fresh for each run, so that nobody can choose whose counters he fills.
    #[must_use]
    pub fn new(key: [u8; 16]) -> Self {
        Self {
            key,
            cells: (0..ROWS * CELLS).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// Counts a session that a source opened.
    pub fn count(&self, source: Source, now: MonoMillis) {
        self.count_as(source, 1.0, now);
    }

    /// Counts as if a source had opened so many, so that it has to work for the next one.
    pub fn count_as(&self, source: Source, sessions: f32, now: MonoMillis) {
        for key in keys(source).into_iter().flatten() {
            for cell in self.cells_of(key) {
                // Whoever is slower counts on top of the faster one.
                let _ = cell.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |old| {
                    Some(packed(value(old, now) + sessions, now))
                });
            }
        }
    }

    /// Sessions that a source opened lately, faded by their age.
    #[must_use]
    pub fn opened(&self, source: Source, now: MonoMillis) -> Opened {
        let count = |key| {
            let values = self.cells_of(key).map(|cell| value(cell.load(Ordering::Relaxed), now));
            values.fold(f32::INFINITY, f32::min)
        };
        let [own, wider] = keys(source);
        let own = own.map_or(0.0, count);
        Opened {
            source: own,
            wider: wider.map_or(own, count),
        }
    }

    fn cells_of(&self, key: Key) -> impl Iterator<Item = &AtomicU64> {
        let mut hasher = SipHasher13::new_with_key(&self.key);
        hasher.write(&key);
        let hash = hasher.finish128();
        let rows = [hash.h1, hash.h2].map(|half| (half % CELLS as u64) as usize);
        let places = rows.into_iter().enumerate().map(|(row, place)| row * CELLS + place);
        places.filter_map(|place| self.cells.get(place))
    }
}

/// Length of the prefix, and the prefix.
type Key = [u8; 17];

/// A source, and the /48 around it if it is of IPv6.
fn keys(source: Source) -> [Option<Key>; 2] {
    let network = source.network();
    let key = |length: u8, octets: [u8; 16]| {
        let mut key = [length; 17];
        key[1..].copy_from_slice(&octets);
        key
    };
    match network.addr() {
        IpAddr::V4(v4) => [Some(key(32, v4.to_ipv6_mapped().octets())), None],
        IpAddr::V6(v6) => {
            let mut wider = v6.octets();
            wider[6..].fill(0);
            [Some(key(64, v6.octets())), Some(key(48, wider))]
        }
    }
}

fn packed(count: f32, now: MonoMillis) -> u64 {
    let seconds = u32::try_from(now.0 / 1000).unwrap_or(u32::MAX);
    u64::from(count.to_bits()) << 32 | u64::from(seconds)
}

fn value(cell: u64, now: MonoMillis) -> f32 {
    let count = f32::from_bits((cell >> 32) as u32);
    let then = MonoMillis((cell & u64::from(u32::MAX)) * 1000);
    count * (-now.since(then).as_secs_f32() / HALF_LIFE.as_secs_f32()).exp2()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::ClientAddress;

    fn source(text: &str) -> Source {
        ClientAddress::new(text.parse().unwrap()).source()
    }

    #[test]
    fn counts_fade_and_wider_networks_count_together() {
        let mints = Mints::new([7; 16]);
        let start = MonoMillis(5_000);
        (0..40).for_each(|_| mints.count(source("10.0.0.1"), start));
        assert_eq!(mints.opened(source("10.0.0.1"), start).source, 40.0);
        assert_eq!(mints.opened(source("10.0.0.2"), start), Opened::default());
        assert_eq!(mints.opened(source("10.0.0.1"), start.after(HALF_LIFE)).source, 20.0);
        for subnet in 0..100 {
            mints.count(source(&format!("2001:db8:1:{subnet:x}::1")), start);
        }
        let opened = mints.opened(source("2001:db8:1:5::9"), start);
        assert_eq!((opened.source, opened.wider), (1.0, 100.0));
        assert_eq!(mints.opened(source("2001:db8:2:5::9"), start), Opened::default());
    }

    #[test]
    fn a_flood_of_sources_makes_others_look_busier_at_worst() {
        let mints = Mints::new([7; 16]);
        let now = MonoMillis(0);
        for n in 0..100_000u32 {
            mints.count(ClientAddress::new(std::net::Ipv4Addr::from(n).into()).source(), now);
        }
        let counts: Vec<_> = (0..1000u32)
            .map(|n| {
                mints
                    .opened(ClientAddress::new(std::net::Ipv4Addr::from(n).into()).source(), now)
                    .source
            })
            .collect();
        assert!(counts.iter().all(|count| (1.0..30.0).contains(count)), "{counts:?}");
    }

    #[test]
    fn the_difficulty_follows_the_reputation() {
        let policy = WorkPolicy::default();
        let opened = |source| Opened { source, wider: source };
        for (points, sessions, bits) in [
            (0.0, 0.0, None),
            (49.0, 29.0, None),
            (50.0, 0.0, Some(14)),
            (0.0, 30.0, Some(14)),
            (99.9, 30.0, Some(14)),
            (100.0, 30.0, Some(15)),
            (100.0, 240.0, Some(17)),
            (1e9, 0.0, Some(20)),
        ] {
            assert_eq!(policy.bits_for(points, opened(sessions)), bits, "{points} {sessions}");
        }
        let wide = Opened {
            source: 1.0,
            wider: 240.0,
        };
        assert_eq!(policy.bits_for(0.0, wide), Some(14));
        let with = |mode| WorkPolicy { mode, ..policy };
        assert_eq!(with(WorkMode::Always).bits_for(0.0, opened(0.0)), Some(14));
        assert_eq!(with(WorkMode::Off).bits_for(1e9, opened(1e9)), None);
    }
}
