//! What a session has done, as far as rules ask: a bounded set of facts.
//!
//! A fact either allows (an earlier call that some call requires) or forbids (a count of calls). At capacity what is
//! over goes first, then the oldest facts that allow: the calls that need them are refused until they are
//! earned again. Facts that forbid are never forgotten before their time, or a limit could be washed away.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::value::Binding;
use super::window::{Limit, Window};
use crate::time::MonoMillis;

/// The name of one condition of one rule, the same in every process as long as the condition is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct SlotId(pub(super) u64);

/// A fact is about one condition and the values that it binds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct FactId {
    pub(super) slot: SlotId,
    pub(super) binding: Binding,
}

/// One fact.
#[derive(Clone, Debug)]
enum Fact {
    /// A call was answered, and allows others until then.
    Allows(MonoMillis),
    /// Calls were counted; the last one counts until then.
    Forbids(Window, MonoMillis),
}

impl Fact {
    fn is_over(&self, now: MonoMillis) -> bool {
        match self {
            Self::Allows(until) => now > *until,
            Self::Forbids(window, until) => now >= *until || window.is_empty(),
        }
    }
}

/// The facts of one session.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    facts: HashMap<FactId, Fact, BuildHasherDefault<AlreadyHashed>>,
    latest: MonoMillis,
    forgotten: u32,
}

/// No room for a fact that forbids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

impl Facts {
    /// How many facts fit.
    pub const CAPACITY: usize = 256;

    /// How many facts are held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.facts.len()
    }

    /// Whether nothing is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.facts.is_empty()
    }

    /// How many facts were forgotten before their time for lack of room; each may refuse a call later.
    #[must_use]
    pub fn forgotten(&self) -> u32 {
        self.forgotten
    }

    /// Time for one session never runs backwards, even if clock readings of two workers arrive out of order.
    pub(super) fn tick(&mut self, now: MonoMillis) -> MonoMillis {
        self.latest = self.latest.max(now);
        self.latest
    }

    /// Whether an earlier call still allows.
    pub(super) fn allows(&self, id: FactId, now: MonoMillis) -> bool {
        match self.facts.get(&id) {
            Some(Fact::Allows(until)) => now <= *until,
            Some(Fact::Forbids(..)) | None => false,
        }
    }

    /// Remembers a call that allows others.
    pub(super) fn allow(&mut self, id: FactId, until: MonoMillis, now: MonoMillis) {
        if let Some(Fact::Allows(known)) = self.facts.get_mut(&id) {
            *known = until.max(*known);
        } else if self.make_room(now).is_ok() {
            self.facts.insert(id, Fact::Allows(until));
        } else {
            self.forgotten = self.forgotten.saturating_add(1);
        }
    }

    /// The calls counted so far.
    pub(super) fn counted(&self, id: FactId) -> Option<&Window> {
        match self.facts.get(&id) {
            Some(Fact::Forbids(window, _)) => Some(window),
            Some(Fact::Allows(_)) | None => None,
        }
    }

    /// Counts a call.
    pub(super) fn count(&mut self, id: FactId, limit: Limit, now: MonoMillis) -> Result<(), Full> {
        if !self.facts.contains_key(&id) {
            self.make_room(now)?;
        }
        let fact = self
            .facts
            .entry(id)
            .or_insert_with(|| Fact::Forbids(Window::default(), now));
        if let Fact::Forbids(window, until) = fact {
            window.add(limit, now);
            *until = limit.end(now);
        }
        Ok(())
    }

    /// Takes back the call that was counted at `at`.
    pub(super) fn refund(&mut self, id: FactId, at: MonoMillis) {
        if let Some(Fact::Forbids(window, _)) = self.facts.get_mut(&id) {
            window.refund(at);
            if window.is_empty() {
                self.facts.remove(&id);
            }
        }
    }

    /// Forgets a fact, whatever it says.
    pub(super) fn forget(&mut self, id: FactId) {
        self.facts.remove(&id);
    }

    fn make_room(&mut self, now: MonoMillis) -> Result<(), Full> {
        if self.facts.len() < Self::CAPACITY {
            return Ok(());
        }
        self.facts.retain(|_, fact| !fact.is_over(now));
        if self.facts.len() < Self::CAPACITY {
            return Ok(());
        }
        let allowing = self.facts.iter().filter_map(|(id, fact)| match fact {
            Fact::Allows(until) => Some((*until, *id)),
            Fact::Forbids(..) => None,
        });
        let (_, oldest) = allowing.min_by_key(|(until, _)| *until).ok_or(Full)?;
        self.facts.remove(&oldest);
        self.forgotten = self.forgotten.saturating_add(1);
        Ok(())
    }
}

/// Slots and bindings are hashes already, bindings under a secret key, so mixing them is enough.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct AlreadyHashed(u64);

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
    use std::time::Duration;

    use super::*;

    const NOW: MonoMillis = MonoMillis(1000);
    const LIMIT: Limit = Limit {
        count: 1,
        per: Some(Duration::from_secs(60)),
    };

    fn id(number: u64) -> FactId {
        FactId {
            slot: SlotId(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            binding: Binding::NONE,
        }
    }

    fn ids() -> impl Iterator<Item = FactId> {
        (0..Facts::CAPACITY as u64).map(id)
    }

    #[test]
    fn at_capacity_what_is_over_goes_first() {
        let mut facts = Facts::default();
        ids().for_each(|id| facts.allow(id, MonoMillis(2000), NOW));
        facts.allow(id(9999), MonoMillis(9000), MonoMillis(2001));
        assert_eq!((facts.len(), facts.forgotten()), (1, 0));
    }

    #[test]
    fn at_capacity_the_oldest_that_allows_makes_room() {
        let mut facts = Facts::default();
        ids()
            .enumerate()
            .for_each(|(age, id)| facts.allow(id, MonoMillis(5000 + age as u64), NOW));
        facts.count(id(9999), LIMIT, NOW).unwrap();
        assert_eq!((facts.len(), facts.forgotten()), (Facts::CAPACITY, 1));
        assert!(!facts.allows(id(0), NOW));
        assert!(facts.allows(id(1), NOW));
    }

    #[test]
    fn at_capacity_what_forbids_stays() {
        let mut facts = Facts::default();
        ids().for_each(|id| facts.count(id, LIMIT, NOW).unwrap());
        assert_eq!(facts.count(id(9999), LIMIT, NOW), Err(Full));
        facts.allow(id(9999), MonoMillis(9000), NOW);
        assert!(!facts.allows(id(9999), NOW));
        assert!(ids().all(|id| facts.counted(id).is_some()));
        assert_eq!((facts.len(), facts.forgotten()), (Facts::CAPACITY, 1));
        facts.count(id(9999), LIMIT, LIMIT.end(NOW)).unwrap();
        assert_eq!(facts.len(), 1, "they end by themselves");
    }
}
