//! All sessions that are in use, bounded, and those that were ended before their time.
//!
//! Whoever is pushed out must open a new session: its facts are gone, and coming back with a clean slate would let a
//! client flush what forbids (I2, I3). So the table keeps the latest opening time among those pushed out, and sessions
//! without state that were opened before it are refused.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::recent::{Named, Recent};
use super::record::{KeptState, Record};
use super::shared::SharedTexts;
use super::{KeptSession, SessionId, SessionStatus, SessionSummary};
use crate::changes::{Changed, Changes};
use crate::ledger::Ledger;
use crate::refusal::Refusal;
use crate::request::ConnectionId;
use crate::sequence::{Revived, Rules};
use crate::time::{MonoMillis, Now, WallMillis};

const SHARDS: usize = 64;

/// Sessions in use, in shards with a lock each.
pub struct SessionTable {
    shards: Vec<Mutex<Shard>>,
}

/// Sessions whose names fall together.
pub struct Shard {
    records: Recent<Record>,
    agents: SharedTexts,
    ended: HashMap<SessionId, Ended>,
    /// Sessions without state that were opened up to here may have been pushed out.
    horizon: Option<WallMillis>,
    capacity: usize,
    changes: Changes<SessionId>,
}

/// Something that is not what was written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Garbled;

/// A session that was ended before its time.
struct Ended {
    /// `None`: for good.
    until: Option<MonoMillis>,
    summary: SessionSummary,
    ledger: Ledger,
    /// Its state, in case the operator takes it back; `None` if it was ended before a restart.
    record: Option<Box<Record>>,
}

impl SessionTable {
    /// Room for about `capacity` sessions, and for as many that were ended.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        let shards = if capacity < SHARDS * 64 { 1 } else { SHARDS };
        let each = (capacity / shards).max(1);
        Self {
            shards: (0..shards).map(|_| Mutex::new(Shard::new(each))).collect(),
        }
    }

    /// The shard of a session, locked.
    pub fn shard(&self, id: SessionId) -> MutexGuard<'_, Shard> {
        let shard = &self.shards[usize::from(id.0[0]) % self.shards.len()];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every session, in use or ended.
    #[must_use]
    pub fn summaries(&self, half_life: Duration, now: Now) -> Vec<SessionSummary> {
        self.each().flat_map(|shard| shard.summaries(half_life, now)).collect()
    }

    /// What changed since the last call.
    #[must_use]
    pub fn take_changed(&self) -> Changed<SessionId> {
        Changed::joined(self.each().map(|mut shard| shard.changes.take()))
    }

    /// Every session in use.
    #[must_use]
    pub fn names(&self) -> Vec<SessionId> {
        let names =
            |shard: MutexGuard<'_, Shard>| -> Vec<SessionId> { shard.records.iter().map(|one| one.id).collect() };
        self.each().flat_map(names).collect()
    }

    /// See [`Shard::check_horizon`]: the latest of all shards.
    #[must_use]
    pub fn horizon(&self) -> Option<WallMillis> {
        self.each().filter_map(|shard| shard.horizon).max()
    }

    /// Refuses sessions without state that were opened up to here.
    pub fn raise_horizon(&self, to: WallMillis) {
        self.each()
            .for_each(|mut shard| shard.horizon = shard.horizon.max(Some(to)));
    }

    /// Puts sessions that came back into the order of their last calls.
    pub fn order_by_use(&self) {
        self.each()
            .for_each(|mut shard| shard.records.sort_by_key(Record::used));
    }

    fn each(&self) -> impl Iterator<Item = MutexGuard<'_, Shard>> {
        self.shards
            .iter()
            .map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How many sessions are in use.
    #[must_use]
    pub fn len(&self) -> usize {
        self.each().map(|shard| shard.records.len()).sum()
    }

    /// Whether none is in use.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Named for Record {
    fn name(&self) -> SessionId {
        self.id
    }
}

impl Shard {
    fn new(capacity: usize) -> Self {
        Self {
            records: Recent::new(capacity),
            agents: SharedTexts::default(),
            ended: HashMap::new(),
            horizon: None,
            capacity,
            // Those that are there, and as many that are gone.
            changes: Changes::new(2 * capacity),
        }
    }

    /// Whether a session was ended.
    ///
    /// # Errors
    /// [`Refusal::SessionBanned`] or [`Refusal::SessionRevoked`].
    pub fn check_ended(&mut self, id: SessionId, now: Now) -> Result<(), Refusal> {
        match self.ended.get(&id).map(|ended| ended.until) {
            None => Ok(()),
            Some(None) => Err(Refusal::SessionRevoked),
            Some(Some(until)) if until > now.mono => Err(Refusal::SessionBanned(until.since(now.mono))),
            Some(Some(_)) => {
                self.forget_ended(id);
                Ok(())
            }
        }
    }

    /// Whether a session without state may start here.
    ///
    /// # Errors
    /// [`Refusal::SessionEvicted`].
    pub fn check_horizon(&self, opened: WallMillis) -> Result<(), Refusal> {
        match self.horizon {
            Some(horizon) if opened <= horizon => Err(Refusal::SessionEvicted),
            Some(_) | None => Ok(()),
        }
    }

    /// The state of a session, marked as just used and about to change.
    pub fn get(&mut self, id: SessionId) -> Option<&mut Record> {
        let record = self.records.get(id)?;
        if !record.is_noted {
            record.is_noted = true;
            self.changes.note(id);
        }
        Some(record)
    }

    /// The state of a session, not marked.
    #[must_use]
    pub fn peek(&self, id: SessionId) -> Option<&Record> {
        self.records.peek(id)
    }

    /// What a session in use or ended is, and where its points came from.
    #[must_use]
    pub fn account(&self, id: SessionId, half_life: Duration, now: Now) -> Option<(SessionSummary, Ledger)> {
        let in_use = self.records.peek(id);
        let in_use = in_use.map(|record| (record.summary(half_life, now), record.ledger.clone()));
        in_use.or_else(|| {
            let ended = self.ended.get(&id)?;
            Some((ended.summary_at(now)?, ended.ledger.clone()))
        })
    }

    /// Keeps the state of a new session; pushes out the one idle for longest if there is no room.
    pub fn insert(&mut self, mut record: Record, now: Now) {
        record.is_noted = true;
        self.changes.note(record.id);
        self.push(record, now);
    }

    fn push(&mut self, mut record: Record, now: Now) {
        record.share_agent(&mut self.agents);
        if let Some(pushed_out) = self.records.push(record)
            && self.records.peek(pushed_out.id).is_none()
        {
            self.changes.note(pushed_out.id);
            if pushed_out.expires() > now.wall {
                self.horizon = self.horizon.max(Some(pushed_out.opened));
            }
        }
    }

    /// The state of a session, to be written down; `None` if it has none, or its time is over. A later change is told
    /// again.
    #[must_use]
    pub fn keep_state(&mut self, id: SessionId, now: Now) -> Option<KeptState> {
        let record = self.records.peek_mut(id)?;
        record.is_noted = false;
        (record.expires() > now.wall).then(|| record.keep())
    }

    /// Gives a session the state that was written down. `Err` if it is not what was written; `None` if there is nothing to
    /// give it to: its time is over, or it was ended.
    ///
    /// # Errors
    /// [`Garbled`].
    pub fn restore_state(&mut self, kept: KeptState, rules: &Rules, now: Now) -> Result<Option<Revived>, Garbled> {
        let mut record = Record::of_kept(kept);
        if record.expires() <= now.wall || self.ended.contains_key(&record.id) {
            return Ok(None);
        }
        let revived = record.revive(rules).ok_or(Garbled)?;
        self.push(record, now);
        Ok(Some(revived))
    }

    /// Ends a session, for a time or for good, and returns the connections it was last seen on. `None` if it is not in
    /// use.
    pub fn end(
        &mut self,
        id: SessionId,
        ttl: Option<Duration>,
        half_life: Duration,
        now: Now,
    ) -> Option<Vec<ConnectionId>> {
        let record = self.records.pop(id)?;
        self.changes.note(id);
        let until = ttl.map(|ttl| now.mono.after(ttl));
        let status = ttl.map_or(SessionStatus::Revoked, SessionStatus::Banned);
        let summary = SessionSummary {
            status,
            ..record.summary(half_life, now)
        };
        self.make_room_for_ended(now);
        let ledger = record.ledger.clone();
        let connections = record.connections();
        let ended = Ended {
            until,
            summary,
            ledger,
            record: Some(Box::new(record)),
        };
        self.ended.insert(id, ended);
        Some(connections)
    }

    /// Takes the end of a session back: it goes on with all that is known of it, but its points. `false` if it was not
    /// ended.
    ///
    /// One that was ended before a restart is treated like all sessions after one: its streams must be issued anew.
    pub fn reinstate(&mut self, id: SessionId, now: Now) -> bool {
        let Some(ended) = self.ended.remove(&id) else {
            return false;
        };
        if let Some(mut record) = ended.record {
            record.reinstate(now);
            self.insert(*record, now);
        }
        true
    }

    /// A session that was ended, to be written down. `None` if it was not, or its time is over.
    #[must_use]
    pub fn keep(&self, id: SessionId, now: Now) -> Option<KeptSession> {
        let Ended { until, summary, .. } = self.ended.get(&id)?;
        let until = until.map(|until| now.wall.after(until.since(now.mono)));
        (summary.expires > now.wall).then(|| KeptSession::of(summary, until))
    }

    /// Ends a session that was ended before a restart. Later than its end it has to be opened anew all the same.
    pub fn restore(&mut self, kept: &KeptSession, now: Now) {
        if kept.expires <= now.wall {
            return;
        }
        let until = kept.until.map(|until| now.mono.after(kept.remaining(until, now)));
        let summary = kept.summary(now);
        self.make_room_for_ended(now);
        let ledger = Ledger::default();
        let ended = Ended {
            until,
            summary,
            ledger,
            record: None,
        };
        self.ended.insert(kept.id, ended);
    }

    /// From here on only the horizon keeps the session out: its facts are gone, so it has to be opened anew.
    fn forget_ended(&mut self, id: SessionId) {
        if let Some(ended) = self.ended.remove(&id) {
            self.horizon = self.horizon.max(Some(ended.summary.opened));
        }
    }

    /// Forgets the ended sessions that could not come back anyway; if that is not enough, the oldest one.
    fn make_room_for_ended(&mut self, now: Now) {
        if self.ended.len() < self.capacity {
            return;
        }
        self.ended.retain(|_, ended| ended.summary.expires > now.wall);
        if self.ended.len() >= self.capacity
            && let Some(oldest) = self
                .ended
                .iter()
                .min_by_key(|(_, ended)| ended.summary.opened)
                .map(|(id, _)| *id)
        {
            self.forget_ended(oldest);
        }
    }

    fn summaries(&self, half_life: Duration, now: Now) -> Vec<SessionSummary> {
        let active = self.records.iter().map(|record| record.summary(half_life, now));
        let ended = self.ended.values().filter_map(|ended| ended.summary_at(now));
        active.chain(ended).collect()
    }
}

impl Ended {
    /// `None` when its ban is over.
    fn summary_at(&self, now: Now) -> Option<SessionSummary> {
        let status = match self.until {
            None => SessionStatus::Revoked,
            Some(until) if until > now.mono => SessionStatus::Banned(until.since(now.mono)),
            Some(_) => return None,
        };
        Some(SessionSummary {
            status,
            ..self.summary.clone()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binding::{Binding, Surroundings};
    use crate::request::ClientAddress;
    use crate::session::token::{Epoch, SessionGrant, SessionKey, SigningKey};
    use crate::signature::verify::Verifier;

    const HALF_LIFE: Duration = Duration::from_secs(600);

    fn at(ms: u64) -> Now {
        Now {
            wall: WallMillis(1_000_000 + ms),
            mono: MonoMillis(ms),
        }
    }

    fn record(name: u8, opened: u64) -> Record {
        let grant = SessionGrant {
            id: SessionId([name; 12]),
            opened: WallMillis(opened),
            expires: WallMillis(2_000_000),
            epoch: Epoch([0; 8]),
            key: SessionKey::Hmac(SigningKey([name; 32])),
        };
        let client = ClientAddress::new("10.0.0.1".parse().unwrap());
        let headers = http::HeaderMap::new();
        let binding = Surroundings::new(&Binding::of(client, None, &headers), &headers, at(0).mono);
        let verifier = Verifier::of(&grant.key).unwrap();
        Record::new(&grant, verifier, Epoch([0; 8]), binding, client, at(0))
    }

    #[test]
    fn whoever_is_pushed_out_must_open_a_new_session() {
        let table = SessionTable::new(2);
        let mut shard = table.shard(SessionId([1; 12]));
        assert_eq!(shard.check_horizon(WallMillis(0)), Ok(()));
        for name in 1..=3 {
            shard.insert(record(name, u64::from(name) * 10), at(0));
        }
        assert!(shard.get(SessionId([1; 12])).is_none());
        assert_eq!(shard.check_horizon(WallMillis(10)), Err(Refusal::SessionEvicted));
        assert_eq!(
            shard.check_horizon(WallMillis(11)),
            Ok(()),
            "opened later: was never used before"
        );
    }

    #[test]
    fn an_expired_session_moves_no_horizon() {
        let mut shard = Shard::new(1);
        shard.insert(record(1, 10), at(0));
        shard.insert(record(2, 20), at(1_000_000));
        assert_eq!(shard.check_horizon(WallMillis(5)), Ok(()));
    }

    #[test]
    fn ended_sessions_stay_out_even_when_their_entry_is_forgotten() {
        let mut shard = Shard::new(2);
        for name in 1..=3 {
            shard.insert(record(name, u64::from(name) * 10), at(0));
            assert!(shard.end(SessionId([name; 12]), None, HALF_LIFE, at(0)).is_some());
        }
        assert_eq!(shard.ended.len(), 2);
        assert_eq!(
            shard.check_ended(SessionId([3; 12]), at(0)),
            Err(Refusal::SessionRevoked)
        );
        assert_eq!(shard.check_ended(SessionId([1; 12]), at(0)), Ok(()), "forgotten");
        assert_eq!(
            shard.check_horizon(WallMillis(10)),
            Err(Refusal::SessionEvicted),
            "but out all the same"
        );
    }

    #[test]
    fn a_banned_session_must_be_opened_anew_afterwards() {
        let mut shard = Shard::new(2);
        shard.insert(record(1, 10), at(0));
        shard.end(SessionId([1; 12]), Some(Duration::from_secs(60)), HALF_LIFE, at(0));
        assert_eq!(
            shard.check_ended(SessionId([1; 12]), at(20_000)),
            Err(Refusal::SessionBanned(Duration::from_secs(40)))
        );
        assert_eq!(shard.check_ended(SessionId([1; 12]), at(60_000)), Ok(()));
        assert_eq!(shard.check_horizon(WallMillis(10)), Err(Refusal::SessionEvicted));
    }
}
