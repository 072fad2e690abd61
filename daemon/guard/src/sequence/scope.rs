//! Whose calls a rule counts together: those of a session, an address, a network, a browser, a user, or of a combination.
//!
//! Sessions keep their facts themselves. Everybody else's are here, bounded: who has only facts that allow makes room for
//! others, who has facts that forbid does not. When the table is full of those, somebody new cannot be counted, and the
//! rules that would count him refuse the call.
//!
//! An address can have thousands of people behind it. Whoever has used up the room that everybody has is given more, out
//! of a pool that all share; when the pool is empty, everybody still has the first room.

mod kept;

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::HeaderMap;
use siphasher::sip128::{Hasher128, SipHasher13};

pub use self::kept::{KeptFacts, NotRestored};
use super::facts::{Facts, Full};
use super::value::BindingKey;
use crate::binding;
use crate::changes::Changes;
use crate::fingerprint::Fingerprint;
use crate::request::ClientAddress;
use crate::session::SessionId;
use crate::time::MonoMillis;

/// One part of whom a rule counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// The session.
    Session,
    /// The address, or the /64.
    Ip,
    /// The network: /24 or /48.
    Prefix,
    /// The browser, by its User-Agent, languages, client hints and, where the gate sees it, its TLS handshake. Many people
    /// have the same.
    Fingerprint,
    /// The user that the session is bound to; the session, as long as there is none.
    User,
}

/// Who calls.
#[derive(Clone, Copy, Debug)]
pub struct Who<'a> {
    /// The session that signed.
    pub session: SessionId,
    /// The user that it is bound to.
    pub user: Option<&'a str>,
    /// From where.
    pub client: ClientAddress,
    /// What its TLS handshake looks like, if the gate saw it.
    pub fingerprint: Option<Fingerprint>,
    /// What the browser says of itself.
    pub headers: &'a HeaderMap,
    /// Whether a trusted proxy sent the call: only then header fields except from rules.
    pub trusted: bool,
}

/// Somebody, hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HolderKey(u64, u64);

impl HolderKey {
    /// Of an address, as far as violations are counted by it.
    fn of_source(client: ClientAddress, key: &BindingKey) -> Self {
        let mut hasher = SipHasher13::new_with_key(key.bytes());
        part(&mut hasher, 1, client.source().to_string().as_bytes());
        let hash = hasher.finish128();
        Self(hash.h1, hash.h2)
    }

    pub(super) fn of(scopes: &[Scope], who: &Who<'_>, key: &BindingKey) -> Self {
        let mut hasher = SipHasher13::new_with_key(key.bytes());
        for scope in scopes {
            // What precedes each part keeps different parts of the same bytes apart.
            match (scope, who.user) {
                (Scope::Session, _) | (Scope::User, None) => part(&mut hasher, 0, &who.session.0),
                (Scope::Ip, _) => part(&mut hasher, 1, who.client.source().to_string().as_bytes()),
                (Scope::Prefix, _) => part(&mut hasher, 2, who.client.neighbourhood().to_string().as_bytes()),
                (Scope::Fingerprint, _) => part(
                    &mut hasher,
                    3,
                    &binding::fingerprint(who.fingerprint, who.headers).to_be_bytes(),
                ),
                (Scope::User, Some(user)) => part(&mut hasher, 4, user.as_bytes()),
            }
        }
        let hash = hasher.finish128();
        Self(hash.h1, hash.h2)
    }
}

fn part(hasher: &mut SipHasher13, kind: u8, bytes: &[u8]) {
    hasher.write_u8(kind);
    hasher.write_usize(bytes.len());
    hasher.write(bytes);
}

const SHARDS: usize = 16;
/// How often a full shard is looked through, at most.
const SWEEP: Duration = Duration::from_secs(1);
/// How many of those that can go make room at once: a full shard is not looked through for each.
const AT_ONCE: usize = 64;

/// How many facts a holder may have at the most, unless told.
pub const MOST_FACTS: usize = 8192;
/// Facts in the pool for each holder that fits.
const POOL_EACH: usize = 64;
/// Free room below which a holder is given more.
const SLACK: usize = 64;

/// The facts of everybody but sessions.
pub struct SharedFacts {
    shards: Vec<Mutex<Shard>>,
    key: BindingKey,
}

struct Shard {
    holders: HashMap<HolderKey, Facts, BuildHasherDefault<AlreadyHashed>>,
    capacity: usize,
    /// Room beyond the first one: of one holder, in the pool, and given out of it.
    most_extra: usize,
    pool: usize,
    given: usize,
    swept: Option<MonoMillis>,
    pool_swept: Option<MonoMillis>,
    forgotten: u64,
    refused: u64,
    changes: Changes<HolderKey>,
}

/// How full the facts of everybody but sessions are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SharedUsage {
    /// How many have facts.
    pub holders: usize,
    /// How many fit.
    pub capacity: usize,
    /// Room that was given beyond what everybody has, in facts.
    pub given: usize,
    /// How much there is to give.
    pub pool: usize,
    /// How many were forgotten before their time for lack of room; their calls may be refused.
    pub forgotten: u64,
    /// How often there was no room for something that had to be counted.
    pub refused: u64,
}

impl SharedFacts {
    /// Room for about `capacity` holders.
    #[must_use]
    pub fn new(capacity: usize, key: BindingKey) -> Self {
        let shards = if capacity < SHARDS * 64 { 1 } else { SHARDS };
        let capacity = (capacity / shards).max(1);
        let shard = || {
            Mutex::new(Shard {
                holders: HashMap::default(),
                capacity,
                most_extra: 0,
                pool: 0,
                given: 0,
                swept: None,
                pool_swept: None,
                forgotten: 0,
                refused: 0,
                // Those that are there, and as many that are gone.
                changes: Changes::new(2 * capacity),
            })
        };
        let shards = (0..shards).map(|_| shard()).collect();
        Self { shards, key }.with_facts(MOST_FACTS)
    }

    /// The same, where a holder may have so many facts; at least [`Facts::CAPACITY`].
    #[must_use]
    pub fn with_facts(mut self, most: usize) -> Self {
        let most_extra = most.saturating_sub(Facts::CAPACITY);
        for shard in &mut self.shards {
            let shard = shard.get_mut().unwrap_or_else(PoisonError::into_inner);
            shard.most_extra = most_extra;
            shard.pool = (shard.capacity * POOL_EACH).max(most_extra);
        }
        self
    }

    /// How full it is.
    #[must_use]
    pub fn usage(&self) -> SharedUsage {
        self.shards.iter().fold(SharedUsage::default(), |sum, shard| {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            SharedUsage {
                holders: sum.holders + shard.holders.len(),
                capacity: sum.capacity + shard.capacity,
                given: sum.given + shard.given,
                pool: sum.pool + shard.pool,
                forgotten: sum.forgotten + shard.forgotten,
                refused: sum.refused + shard.refused,
            }
        })
    }

    pub(super) fn key_of_source(&self, client: ClientAddress) -> HolderKey {
        HolderKey::of_source(client, &self.key)
    }

    pub(super) fn key_of(&self, scopes: &[Scope], who: &Who<'_>) -> HolderKey {
        HolderKey::of(scopes, who, &self.key)
    }

    /// Locks the facts of these holders, in an order that everybody keeps.
    pub(super) fn lock(&self, keys: &[HolderKey]) -> Locked<'_> {
        let mut wanted: Vec<usize> = keys.iter().map(|key| self.place(*key)).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let lock = |index: usize| (index, self.shards[index].lock().unwrap_or_else(PoisonError::into_inner));
        Locked {
            table: self,
            shards: wanted.into_iter().map(lock).collect(),
        }
    }

    fn place(&self, key: HolderKey) -> usize {
        usize::try_from(key.0 % self.shards.len() as u64).unwrap_or(0)
    }
}

/// The facts of some holders.
pub(super) struct Locked<'a> {
    table: &'a SharedFacts,
    shards: Vec<(usize, MutexGuard<'a, Shard>)>,
}

impl Locked<'_> {
    fn shard(&self, key: HolderKey) -> Option<&Shard> {
        let place = self.table.place(key);
        let found = self.shards.iter().find(|(index, _)| *index == place);
        found.map(|(_, shard)| &**shard)
    }

    fn shard_mut(&mut self, key: HolderKey) -> Option<&mut Shard> {
        let place = self.table.place(key);
        let found = self.shards.iter_mut().find(|(index, _)| *index == place);
        found.map(|(_, shard)| &mut **shard)
    }

    pub(super) fn get(&self, key: HolderKey) -> Option<&Facts> {
        self.shard(key)?.holders.get(&key)
    }

    pub(super) fn get_mut(&mut self, key: HolderKey) -> Option<&mut Facts> {
        self.shard_mut(key)?.change(key)
    }

    /// The facts of somebody, new ones if there are none.
    pub(super) fn open(&mut self, key: HolderKey, now: MonoMillis) -> Result<&mut Facts, Full> {
        let shard = self.shard_mut(key).ok_or(Full)?;
        if !shard.holders.contains_key(&key) {
            shard.make_room(now)?;
        }
        shard.open(key, now)
    }

    /// Counts that somebody had no room for what had to be counted.
    pub(super) fn note_refused(&mut self, key: Option<HolderKey>) {
        if let Some(shard) = key.and_then(|key| self.shard_mut(key)) {
            shard.refused += 1;
        }
    }
}

impl Shard {
    /// The facts of a holder, which are about to change.
    fn change(&mut self, key: HolderKey) -> Option<&mut Facts> {
        let facts = self.holders.get_mut(&key)?;
        if !facts.is_noted {
            facts.is_noted = true;
            self.changes.note(key);
        }
        Some(facts)
    }

    /// The facts of a holder, with some free room as far as there is any.
    fn open(&mut self, key: HolderKey, now: MonoMillis) -> Result<&mut Facts, Full> {
        let facts = self.holders.entry(key).or_default();
        let (lack, had) = (facts.lacks(SLACK, now), facts.extra() as usize);
        if lack > 0 && had < self.most_extra {
            // As much again as it has, so that it is seldom asked for.
            let wanted = lack.max(Facts::CAPACITY + had).min(self.most_extra - had);
            if self.pool.saturating_sub(self.given) < wanted {
                self.reclaim(now);
            }
            let more = wanted.min(self.pool.saturating_sub(self.given));
            self.given += more;
            let facts = self.holders.get_mut(&key).ok_or(Full)?;
            // Both are limited by the configuration to what fits.
            facts.give(u32::try_from(had + more).unwrap_or(u32::MAX));
        }
        self.change(key).ok_or(Full)
    }

    /// Takes back what holders were given and do not need.
    fn reclaim(&mut self, now: MonoMillis) {
        if self.pool_swept.is_some_and(|swept| now.since(swept) < SWEEP) {
            return;
        }
        self.pool_swept = Some(now);
        for facts in self.holders.values_mut().filter(|facts| facts.extra() > 0) {
            facts.give(0);
            let needed = facts.lacks(0, now);
            facts.give(u32::try_from(needed).unwrap_or(u32::MAX));
        }
        self.add_up();
    }

    fn add_up(&mut self) {
        self.given = self.holders.values().map(|facts| facts.extra() as usize).sum();
    }

    fn make_room(&mut self, now: MonoMillis) -> Result<(), Full> {
        if self.holders.len() < self.capacity {
            return Ok(());
        }
        if self.swept.is_none_or(|swept| now.since(swept) >= SWEEP) {
            self.swept = Some(now);
            let changes = &mut self.changes;
            self.holders.retain(|key, facts| {
                let stays = !facts.is_over(now);
                if !stays {
                    changes.note(*key);
                }
                stays
            });
            let surplus = (self.holders.len() + 1).saturating_sub(self.capacity);
            if surplus > 0 {
                let can_go = self.holders.iter().filter(|(_, facts)| facts.only_allows(now));
                let most = AT_ONCE.min(self.capacity.div_ceil(2));
                let going: Vec<HolderKey> = can_go.map(|(key, _)| *key).take(most).collect();
                self.forgotten += going.len() as u64;
                for key in going {
                    self.holders.remove(&key);
                    self.changes.note(key);
                }
            }
            self.add_up();
        }
        if self.holders.len() < self.capacity {
            return Ok(());
        }
        self.refused += 1;
        Err(Full)
    }
}

/// Keys are hashes already, under a secret key.
#[derive(Clone, Copy, Debug, Default)]
struct AlreadyHashed(u64);

impl Hasher for AlreadyHashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = self.0.rotate_left(29) ^ value;
    }
}

#[cfg(test)]
mod tests {
    use super::super::facts::{FactId, SlotId};
    use super::super::value::Binding;
    use super::super::window::Limit;
    use super::*;

    const LIMIT: Limit = Limit {
        count: 1,
        per: Some(Duration::from_secs(60)),
    };
    const ID: FactId = FactId {
        slot: SlotId(1),
        binding: Binding::NONE,
    };

    fn key(number: u64) -> HolderKey {
        HolderKey(number.wrapping_mul(0x9e37_79b9_7f4a_7c15), number)
    }

    fn table(capacity: usize) -> SharedFacts {
        SharedFacts::new(capacity, BindingKey::new([3; 16]))
    }

    fn count(table: &SharedFacts, number: u64, now: u64) -> Result<(), Full> {
        let mut locked = table.lock(&[key(number)]);
        locked
            .open(key(number), MonoMillis(now))?
            .count(ID, LIMIT, MonoMillis(now))
    }

    #[test]
    fn who_is_counted_is_never_forgotten_before_his_time() {
        let table = table(4);
        for number in 0..4 {
            count(&table, number, 1000).unwrap();
        }
        assert_eq!(count(&table, 9, 1000), Err(Full));
        let usage = table.usage();
        assert_eq!((usage.holders, usage.refused, usage.forgotten), (4, 1, 0));
        assert_eq!(count(&table, 9, 61_000), Ok(()));
        assert_eq!(table.usage().holders, 1, "they end by themselves");
    }

    #[test]
    fn who_only_may_something_makes_room() {
        let table = table(4);
        for number in 0..4 {
            let mut locked = table.lock(&[key(number)]);
            let facts = locked.open(key(number), MonoMillis(0)).unwrap();
            facts.allow(ID, MonoMillis(u64::MAX), MonoMillis(0));
        }
        assert_eq!(count(&table, 9, 0), Ok(()));
        assert!(table.usage().holders <= 4);
        assert!(table.usage().forgotten > 0);
    }

    /// Counts calls with so many different values.
    fn count_values(table: &SharedFacts, number: u64, values: u64, now: u64) -> u64 {
        let counted = |value| {
            let id = FactId {
                slot: SlotId(value),
                ..ID
            };
            let mut locked = table.lock(&[key(number)]);
            let facts = locked.open(key(number), MonoMillis(now)).unwrap();
            facts.count(id, LIMIT, MonoMillis(now)).is_ok()
        };
        (0..values).filter(|value| counted(*value)).count() as u64
    }

    #[test]
    fn many_people_behind_one_address_have_room() {
        let table = table(100).with_facts(2000);
        assert_eq!(count_values(&table, 1, 3000, 0), 2000, "and no more");
        assert_eq!(table.usage().given, 2000 - Facts::CAPACITY);
        assert_eq!(count_values(&table, 2, 256, 0), 256, "everybody has that");
    }

    #[test]
    fn the_pool_is_bounded_and_comes_back() {
        let table = table(4).with_facts(1000);
        let pool = table.usage().pool;
        assert_eq!(pool, 1000 - Facts::CAPACITY);
        let counted: u64 = (0..4).map(|number| count_values(&table, number, 1000, 0)).sum();
        assert_eq!(counted, 4 * Facts::CAPACITY as u64 + pool as u64);
        assert_eq!(table.usage().given, pool);
        assert_eq!(count_values(&table, 3, 1000, 61_000), 1000, "the others' are over");
    }

    #[test]
    fn scopes_tell_people_apart() {
        let headers = HeaderMap::new();
        let who = |session, user, address: &str| Who {
            session: SessionId([session; 12]),
            user,
            client: ClientAddress::new(address.parse().unwrap()),
            fingerprint: None,
            headers: &headers,
            trusted: false,
        };
        let table = table(4);
        for (scopes, a, b, same) in [
            (
                &[Scope::Ip][..],
                who(1, None, "10.0.0.1"),
                who(2, None, "10.0.0.1"),
                true,
            ),
            (&[Scope::Ip], who(1, None, "10.0.0.1"), who(1, None, "10.0.0.2"), false),
            (
                &[Scope::Prefix],
                who(1, None, "10.0.0.1"),
                who(2, None, "10.0.0.2"),
                true,
            ),
            (
                &[Scope::Prefix],
                who(1, None, "10.0.0.1"),
                who(1, None, "10.0.1.1"),
                false,
            ),
            (
                &[Scope::User],
                who(1, Some("a"), "10.0.0.1"),
                who(2, Some("a"), "10.9.0.1"),
                true,
            ),
            (
                &[Scope::User],
                who(1, Some("a"), "10.0.0.1"),
                who(1, Some("b"), "10.0.0.1"),
                false,
            ),
            (
                &[Scope::User],
                who(1, None, "10.0.0.1"),
                who(2, None, "10.0.0.1"),
                false,
            ),
            (
                &[Scope::User, Scope::Ip],
                who(1, Some("a"), "10.0.0.1"),
                who(2, Some("a"), "10.0.0.2"),
                false,
            ),
            (
                &[Scope::Fingerprint],
                who(1, None, "10.0.0.1"),
                who(2, None, "10.0.0.9"),
                true,
            ),
        ] {
            assert_eq!(table.key_of(scopes, &a) == table.key_of(scopes, &b), same, "{scopes:?}");
        }
    }
}
