//! How often each source did something lately, in a fixed amount of memory.
//!
//! Two rows of counters, of which each source has one by a keyed hash; the smaller one is its count (a count-min
//! sketch). Sources that share counters make each other look busier, never calmer.

use std::hash::Hasher;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use siphasher::sip128::{Hasher128, SipHasher13};

use crate::request::Source;
use crate::time::MonoMillis;

const CELLS: usize = 1 << 16;
const ROWS: usize = 2;

/// What a source did lately, faded by its age.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Recent {
    /// By the source.
    pub source: f32,
    /// By the /48 around it; an IPv4 address stands for itself.
    pub wider: f32,
}

/// The counters.
pub struct Sketch {
    key: [u8; 16],
    half_life: Duration,
    /// Count and time of each: an `f32` above seconds.
    cells: Vec<AtomicU64>,
}

impl Sketch {
    /// `key` is secret and fresh for each run, so that nobody can choose whose counters he fills. A count halves every
    /// `half_life`.
    #[must_use]
    pub fn new(key: [u8; 16], half_life: Duration) -> Self {
        Self {
            key,
            half_life,
            cells: (0..ROWS * CELLS).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// Counts something that a source did.
    pub fn count(&self, source: Source, now: MonoMillis) {
        self.count_as(source, 1.0, now);
    }

    /// Counts as if a source had done it so often.
    pub fn count_as(&self, source: Source, times: f32, now: MonoMillis) {
        for key in keys(source).into_iter().flatten() {
            for cell in self.cells_of(key) {
                // Whoever is slower counts on top of the faster one.
                let _ = cell.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |old| {
                    Some(packed(self.value(old, now) + times, now))
                });
            }
        }
    }

    /// How often a source did it lately.
    #[must_use]
    pub fn recent(&self, source: Source, now: MonoMillis) -> Recent {
        let count = |key| {
            let values = self
                .cells_of(key)
                .map(|cell| self.value(cell.load(Ordering::Relaxed), now));
            values.fold(f32::INFINITY, f32::min)
        };
        let [own, wider] = keys(source);
        let own = own.map_or(0.0, count);
        Recent {
            source: own,
            wider: wider.map_or(own, count),
        }
    }

    fn value(&self, cell: u64, now: MonoMillis) -> f32 {
        let count = f32::from_bits((cell >> 32) as u32);
        // Whole seconds on both sides: else each count would fade by the same part of a second again.
        let elapsed = seconds(now).saturating_sub((cell & u64::from(u32::MAX)) as u32);
        count * (-Duration::from_secs(elapsed.into()).as_secs_f32() / self.half_life.as_secs_f32()).exp2()
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
    u64::from(count.to_bits()) << 32 | u64::from(seconds(now))
}

fn seconds(now: MonoMillis) -> u32 {
    u32::try_from(now.0 / 1000).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::ClientAddress;

    const HALF_LIFE: Duration = Duration::from_secs(600);

    fn source(text: &str) -> Source {
        ClientAddress::new(text.parse().unwrap()).source()
    }

    #[test]
    fn counts_fade_and_wider_networks_count_together() {
        let sketch = Sketch::new([7; 16], HALF_LIFE);
        let start = MonoMillis(5_000);
        (0..40).for_each(|_| sketch.count(source("10.0.0.1"), start));
        assert_eq!(sketch.recent(source("10.0.0.1"), start).source, 40.0);
        assert_eq!(sketch.recent(source("10.0.0.2"), start), Recent::default());
        assert_eq!(sketch.recent(source("10.0.0.1"), start.after(HALF_LIFE)).source, 20.0);
        for subnet in 0..100 {
            sketch.count(source(&format!("2001:db8:1:{subnet:x}::1")), start);
        }
        let recent = sketch.recent(source("2001:db8:1:5::9"), start);
        assert_eq!((recent.source, recent.wider), (1.0, 100.0));
        assert_eq!(sketch.recent(source("2001:db8:2:5::9"), start), Recent::default());
    }

    #[test]
    fn counting_often_within_a_second_loses_nothing() {
        let sketch = Sketch::new([7; 16], HALF_LIFE);
        (0..1000).for_each(|_| sketch.count(source("10.0.0.1"), MonoMillis(5_999)));
        assert_eq!(sketch.recent(source("10.0.0.1"), MonoMillis(5_999)).source, 1000.0);
    }

    #[test]
    fn a_flood_of_sources_makes_others_look_busier_at_worst() {
        let sketch = Sketch::new([7; 16], HALF_LIFE);
        let now = MonoMillis(0);
        for n in 0..100_000u32 {
            sketch.count(ClientAddress::new(std::net::Ipv4Addr::from(n).into()).source(), now);
        }
        let counts: Vec<_> = (0..1000u32)
            .map(|n| {
                sketch
                    .recent(ClientAddress::new(std::net::Ipv4Addr::from(n).into()).source(), now)
                    .source
            })
            .collect();
        assert!(counts.iter().all(|count| (1.0..30.0).contains(count)), "{counts:?}");
    }
}
