//! What is remembered of addresses: their score, and which well-behaved sessions call from them (the NAT guard, I6).

mod kept;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use self::kept::KeptSource;
use crate::ledger::{Ledger, Line};
use crate::remembered::Remembered;
use crate::request::Source;
use crate::score::Score;
use crate::session::SessionId;
use crate::time::MonoMillis;

/// Clean sessions that are remembered of one source; more do not protect it better.
const CLEAN_KEPT: usize = 4;
/// An address from which two sessions called cleanly within this time is shared: others will come.
const SHARED: Duration = Duration::from_secs(86_400);
const SHARDS: usize = 16;

/// One source.
#[derive(Clone, Debug, Default)]
struct Record {
    score: Score,
    ledger: Ledger,
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

/// How scores fade, and how long a clean call protects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fading {
    /// The time in which a score halves.
    pub half_life: Duration,
    /// See [`Thresholds::nat_guard`](crate::policy::Thresholds::nat_guard).
    pub guard: Duration,
}

/// A source as the operator sees it.
#[derive(Clone, Debug, Default)]
pub struct SourceSummary {
    /// Points now.
    pub score: f32,
    /// Where they came from.
    pub ledger: Ledger,
    /// Sessions that called cleanly from there within the guard time, up to four.
    pub clean_sessions: usize,
}

/// All sources, bounded: the one that was silent for longest is forgotten, with its points. Bans do not live here.
pub struct SourceTable {
    shards: Vec<Mutex<Remembered<Source, Record>>>,
}

impl SourceTable {
    /// Room for about `capacity` sources.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        let shards = if capacity < SHARDS * 64 { 1 } else { SHARDS };
        let each = capacity / shards;
        Self {
            shards: (0..shards).map(|_| Mutex::new(Remembered::new(each))).collect(),
        }
    }

    /// Adds the points of a line to a source. A session does not vouch for what it did itself.
    pub fn charge(&self, source: Source, line: Line, fading: Fading, now: MonoMillis) -> Tally {
        let offender = line.session;
        self.with(source, |record| {
            let score = record.score.add(line.points, fading.half_life, now);
            if line.points > 0.0 {
                record.ledger.add(line);
            }
            Tally {
                score,
                has_clean_neighbour: record.has_clean_neighbour(offender, fading.guard, now),
            }
        })
    }

    /// Whether other sessions call cleanly from a source.
    #[must_use]
    pub fn has_clean_neighbour(
        &self,
        source: Source,
        offender: Option<SessionId>,
        guard: Duration,
        now: MonoMillis,
    ) -> bool {
        self.peek(source, |record| record.has_clean_neighbour(offender, guard, now))
            .unwrap_or(false)
    }

    /// What is known of a source.
    #[must_use]
    pub fn summary(&self, source: Source, fading: Fading, now: MonoMillis) -> SourceSummary {
        let summary = self.peek(source, |record| SourceSummary {
            score: record.score.value(fading.half_life, now),
            ledger: record.ledger.clone(),
            clean_sessions: record.clean_sessions(None, fading.guard, now),
        });
        summary.unwrap_or_default()
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
        self.peek(source, |record| record.score.value(half_life, now))
            .unwrap_or(0.0)
    }

    /// The consequence was drawn: the score starts again.
    pub fn clear_score(&self, source: Source) {
        self.with(source, |record| record.score.clear());
    }

    /// How many sources are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.each().map(|shard| shard.len()).sum()
    }

    /// Whether none is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn each(&self) -> impl Iterator<Item = MutexGuard<'_, Remembered<Source, Record>>> {
        self.shards
            .iter()
            .map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn shard(&self, source: Source) -> MutexGuard<'_, Remembered<Source, Record>> {
        let shard = &self.shards[shard_of(source) % self.shards.len()];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, source: Source, act: impl FnOnce(&mut Record) -> T) -> T {
        act(self.shard(source).open(source))
    }

    /// Looks without making a trace.
    fn peek<T>(&self, source: Source, look: impl FnOnce(&Record) -> T) -> Option<T> {
        self.shard(source).peek(&source).map(look)
    }
}

impl Record {
    /// Whether a ban would hit somebody else: a session that calls cleanly, or those who come back to an address that
    /// several share.
    fn has_clean_neighbour(&self, offender: Option<SessionId>, guard: Duration, now: MonoMillis) -> bool {
        let is_guarded = self.clean_sessions(offender, guard, now) > 0;
        is_guarded || (!guard.is_zero() && self.clean_sessions(offender, SHARED, now) > 1)
    }

    fn clean_sessions(&self, offender: Option<SessionId>, guard: Duration, now: MonoMillis) -> usize {
        let clean = self.clean.iter().flatten();
        clean
            .filter(|(session, at)| Some(*session) != offender && now.since(*at) <= guard)
            .count()
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
    use crate::signal::Signal;
    use crate::time::WallMillis;

    const GUARD: Duration = Duration::from_secs(600);

    fn source(text: &str) -> Source {
        ClientAddress::new(text.parse().unwrap()).source()
    }

    const FADING: Fading = Fading {
        half_life: GUARD,
        guard: GUARD,
    };

    fn line(session: Option<SessionId>) -> Line {
        Line {
            at: WallMillis(0),
            signal: Signal::Malformed,
            points: 10.0,
            times: 1,
            reference: None,
            session,
            rule: None,
        }
    }

    fn add(table: &SourceTable, offender: Option<SessionId>, ms: u64) -> Tally {
        table.charge(source("10.0.0.1"), line(offender), FADING, MonoMillis(ms))
    }

    #[test]
    fn looking_leaves_no_trace_and_shows_every_point() {
        let table = SourceTable::new(10);
        let (here, now) = (source("10.0.0.1"), MonoMillis(0));
        assert_eq!(table.score(here, GUARD, now), 0.0);
        assert_eq!(table.summary(here, FADING, now).score, 0.0);
        assert!(!table.has_clean_neighbour(here, None, GUARD, now));
        assert!(table.is_empty());
        add(&table, None, 0);
        add(&table, Some(SessionId([1; 12])), 0);
        let summary = table.summary(here, FADING, now);
        let lines: f32 = summary.ledger.lines().map(|line| line.points).sum();
        assert_eq!((summary.score, lines), (20.0, 20.0));
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
    fn an_address_that_several_share_is_protected_for_a_day() {
        let table = SourceTable::new(10);
        let here = source("10.0.0.1");
        table.vouch(here, SessionId([1; 12]), MonoMillis(0));
        assert!(!add(&table, None, 600_001).has_clean_neighbour);
        table.vouch(here, SessionId([2; 12]), MonoMillis(0));
        assert!(add(&table, None, 600_001).has_clean_neighbour);
        assert!(!add(&table, Some(SessionId([2; 12])), 600_001).has_clean_neighbour);
        assert!(!add(&table, None, 86_400_001).has_clean_neighbour);
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
