//! What is remembered of addresses: their score, and which well-behaved sessions call from them (the NAT guard, I6).

use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lru::LruCache;

use crate::request::Source;
use crate::score::Score;
use crate::session::SessionId;
use crate::time::MonoMillis;

/// Clean sessions that are remembered of one source; more do not protect it better.
const CLEAN_KEPT: usize = 4;
const SHARDS: usize = 16;

/// One source.
#[derive(Clone, Copy, Debug, Default)]
struct Record {
    score: Score,
    clean: [Option<(SessionId, MonoMillis)>; CLEAN_KEPT],
}

/// The outcome of adding points to a source.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tally {
    /// The sum now.
    pub score: f32,
    /// Whether another session called cleanly from there within the guard time.
    pub has_clean_neighbour: bool,
}

/// All sources, bounded: the one that was silent for longest is forgotten, with its points. Bans do not live here.
pub struct SourceTable {
    shards: Vec<Mutex<LruCache<Source, Record>>>,
}

impl SourceTable {
    /// Room for about `capacity` sources.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        let shards = if capacity < SHARDS * 64 { 1 } else { SHARDS };
        let each = NonZeroUsize::new(capacity / shards).unwrap_or(NonZeroUsize::MIN);
        Self {
            shards: (0..shards).map(|_| Mutex::new(LruCache::new(each))).collect(),
        }
    }

    /// Adds points to a source on behalf of what `offender` did.
    pub fn add(
        &self,
        source: Source,
        points: f32,
        offender: Option<SessionId>,
        half_life: Duration,
        guard: Duration,
        now: MonoMillis,
    ) -> Tally {
        self.with(source, |record| Tally {
            score: record.score.add(points, half_life, now),
            has_clean_neighbour: record
                .clean
                .iter()
                .flatten()
                .any(|&(session, at)| Some(session) != offender && now.since(at) <= guard),
        })
    }

    /// Remembers that a session called cleanly from a source.
    pub fn vouch(&self, source: Source, session: SessionId, now: MonoMillis) {
        self.with(source, |record| {
            let same = record
                .clean
                .iter()
                .position(|entry| entry.is_some_and(|(known, _)| known == session));
            let oldest = || {
                (0..CLEAN_KEPT)
                    .min_by_key(|&place| record.clean[place].map(|(_, at)| at))
                    .unwrap_or(0)
            };
            let place = same.unwrap_or_else(oldest);
            record.clean[place] = Some((session, now));
        });
    }

    /// A session that misbehaved no longer protects its neighbours.
    pub fn disown(&self, source: Source, session: SessionId) {
        self.with(source, |record| {
            for entry in &mut record.clean {
                if entry.is_some_and(|(known, _)| known == session) {
                    *entry = None;
                }
            }
        });
    }

    /// The points of a source. Nobody is remembered for having been asked about.
    #[must_use]
    pub fn score(&self, source: Source, half_life: Duration, now: MonoMillis) -> f32 {
        let shard = self.shard(source);
        shard
            .peek(&source)
            .map_or(0.0, |record| record.score.value(half_life, now))
    }

    /// The consequence was drawn: the score starts again.
    pub fn clear_score(&self, source: Source) {
        self.with(source, |record| record.score.clear());
    }

    /// How many sources are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner).len())
            .sum()
    }

    /// Whether none is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn shard(&self, source: Source) -> MutexGuard<'_, LruCache<Source, Record>> {
        let shard = &self.shards[shard_of(source) % self.shards.len()];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, source: Source, act: impl FnOnce(&mut Record) -> T) -> T {
        let mut shard = self.shard(source);
        act(shard.get_or_insert_mut(source, Record::default))
    }
}

/// The last bytes of the network part differ most between sources.
fn shard_of(source: Source) -> usize {
    match source.network().addr() {
        std::net::IpAddr::V4(v4) => usize::from(v4.octets()[3] ^ v4.octets()[2]),
        std::net::IpAddr::V6(v6) => usize::from(v6.octets()[7] ^ v6.octets()[6]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::ClientAddress;

    const GUARD: Duration = Duration::from_secs(600);

    fn source(text: &str) -> Source {
        ClientAddress::new(text.parse().unwrap()).source()
    }

    fn add(table: &SourceTable, offender: Option<SessionId>, ms: u64) -> Tally {
        table.add(source("10.0.0.1"), 10.0, offender, GUARD, GUARD, MonoMillis(ms))
    }

    #[test]
    fn a_clean_neighbour_protects_for_a_while_and_not_itself() {
        let table = SourceTable::new(10);
        let (good, bad) = (SessionId([1; 12]), SessionId([2; 12]));
        assert!(!add(&table, Some(bad), 0).has_clean_neighbour);
        table.vouch(source("10.0.0.1"), good, MonoMillis(0));
        assert!(add(&table, Some(bad), 600_000).has_clean_neighbour);
        assert!(
            !add(&table, Some(good), 0).has_clean_neighbour,
            "the offender does not vouch for itself"
        );
        assert!(!add(&table, Some(bad), 600_001).has_clean_neighbour);
        table.vouch(source("10.0.0.1"), good, MonoMillis(600_001));
        table.disown(source("10.0.0.1"), good);
        assert!(!add(&table, Some(bad), 600_001).has_clean_neighbour);
    }

    #[test]
    fn memory_is_bounded() {
        let table = SourceTable::new(8);
        for host in 0..=255 {
            table.vouch(source(&format!("10.0.0.{host}")), SessionId([host; 12]), MonoMillis(0));
        }
        assert_eq!(table.len(), 8);
        let many = SourceTable::new(10);
        for session in 0..100 {
            many.vouch(source("10.0.0.1"), SessionId([session; 12]), MonoMillis(session.into()));
        }
        assert_eq!(many.len(), 1);
    }
}
