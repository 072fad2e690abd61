//! What somebody has done, as far as rules ask: a bounded set of facts.
//!
//! A fact either allows (an earlier call that some call requires, an id that was shown) or forbids (a count of calls,
//! values that were tried). At capacity what is over goes first, then the oldest facts that allow: the calls that need
//! them are refused until they are earned again. Facts that forbid are never forgotten before their time, or a limit
//! could be washed away.
//!
//! Facts are a sorted list: few are held at a time, and a list has neither gaps nor pointers.

mod forbid;
mod kept;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::kept::Revived;
use super::after::After;
use super::value::Binding;
use super::values::Values;
use super::window::Window;
use crate::time::MonoMillis;

/// How long a call that does not end is taken for one that is under way.
const FLIGHT: Duration = Duration::from_secs(60);

/// The name of one condition of one rule, the same in every process as long as the condition is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct SlotId(pub(super) u64);

/// A fact is about one condition and the values that it binds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct FactId {
    pub(super) slot: SlotId,
    pub(super) binding: Binding,
}

/// One fact.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Fact {
    /// A call was answered, and allows others until then; or it is under way and may allow them soon.
    Allows {
        until: Option<MonoMillis>,
        flights: Flights,
    },
    /// Calls were counted; the last one counts until then.
    Counts(Window, MonoMillis),
    /// A call was made; it matters until then.
    Made { at: MonoMillis, until: MonoMillis },
    /// A call was made that forbids others until one lifts it.
    Forbids(Box<After>),
    /// Values were tried; the last one counts until then.
    Tried(Box<Values>, MonoMillis),
    /// Values were shown, each until its time.
    Shown(Box<Values>),
}

/// Calls that are under way.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Flights {
    count: u16,
    /// Seconds of the monotonic clock at which they are given up.
    until: u32,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Entry {
    id: FactId,
    fact: Fact,
}

/// Whether a fact may be forgotten before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Polarity {
    /// Yes; the time by which the first ones are found.
    Allows(MonoMillis),
    Forbids,
}

impl Fact {
    fn is_over(&self, now: MonoMillis) -> bool {
        match self {
            Self::Allows { until, flights } => until.is_none_or(|until| now > until) && !flights.any(now),
            Self::Counts(window, until) => now >= *until || window.is_empty(),
            Self::Made { until, .. } | Self::Tried(_, until) => now >= *until,
            Self::Forbids(after) => after.is_over(now),
            Self::Shown(values) => values.latest().is_none_or(|latest| now > latest),
        }
    }

    fn polarity(&self) -> Polarity {
        match self {
            Self::Allows { until, .. } => Polarity::Allows(until.unwrap_or_default()),
            Self::Shown(values) => Polarity::Allows(values.latest().unwrap_or_default()),
            Self::Counts(..) | Self::Made { .. } | Self::Forbids(_) | Self::Tried(..) => Polarity::Forbids,
        }
    }

    /// Memory in units of [`Facts::UNIT`].
    fn units(&self) -> usize {
        let beside = match self {
            Self::Allows { .. } | Self::Made { .. } => 0,
            Self::Counts(window, _) => window.bytes(),
            Self::Forbids(_) => 2 * Facts::UNIT,
            Self::Tried(values, _) | Self::Shown(values) => values.bytes(),
        };
        1 + beside.div_ceil(Facts::UNIT)
    }
}

impl Flights {
    fn any(self, now: MonoMillis) -> bool {
        self.count > 0 && u64::from(self.until) > now.0 / 1000
    }
}

/// The facts of one session, address or user.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Facts {
    entries: Vec<Entry>,
    pub(super) latest: MonoMillis,
    #[serde(skip)]
    used: u32,
    /// Room beyond [`Self::CAPACITY`].
    #[serde(skip)]
    extra: u32,
    forgotten: u32,
    /// Which rules they are for.
    #[serde(skip)]
    pub(super) generation: u32,
    /// They changed, and whoever writes them down is told so. Of a session, its record knows.
    #[serde(skip)]
    pub(super) is_noted: bool,
}

/// No room for a fact that forbids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

impl Facts {
    /// How many facts fit, at [`UNIT`](Self::UNIT) bytes each; a fact with a long list takes the room of several. Those of
    /// an address or a user may be given more.
    pub const CAPACITY: usize = 256;
    /// Bytes of one fact, at most.
    pub const UNIT: usize = 64;
    /// Units that one mark takes, at most.
    const LARGEST_MARK: usize = 3;

    /// How many facts are held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many facts were forgotten before their time for lack of room; each may refuse a call later.
    #[must_use]
    pub fn forgotten(&self) -> u32 {
        self.forgotten
    }

    /// Bytes on the heap.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let beside: usize = self
            .entries
            .iter()
            .map(|entry| (entry.fact.units() - 1) * Self::UNIT)
            .sum();
        self.entries.capacity() * size_of::<Entry>() + beside
    }

    /// How much of the room is used, of [`CAPACITY`](Self::CAPACITY) and what was given beyond.
    #[must_use]
    pub fn used(&self) -> usize {
        self.used as usize
    }

    fn room(&self) -> usize {
        Self::CAPACITY + self.extra as usize
    }

    /// Whether so many marks find room, whatever they remember.
    pub(super) fn has_room_for(&self, marks: usize) -> bool {
        self.used() + marks * Self::LARGEST_MARK <= self.room()
    }

    /// Room that was given beyond [`CAPACITY`](Self::CAPACITY).
    pub(super) fn extra(&self) -> u32 {
        self.extra
    }

    /// Gives it so much room beyond [`CAPACITY`](Self::CAPACITY).
    pub(super) fn give(&mut self, extra: u32) {
        self.extra = extra;
    }

    /// The room that it lacks so that `slack` units are free, after what is over was forgotten; 0: none.
    pub(super) fn lacks(&mut self, slack: usize, now: MonoMillis) -> usize {
        if self.used() + slack > self.room() {
            self.forget_over(now);
        }
        (self.used() + slack).saturating_sub(self.room())
    }

    fn forget_over(&mut self, now: MonoMillis) {
        self.entries.retain(|entry| !entry.fact.is_over(now));
        self.measure();
    }

    /// Time for one holder never runs backwards, even if clock readings of two workers arrive out of order.
    pub(super) fn tick(&mut self, now: MonoMillis) -> MonoMillis {
        self.latest = self.latest.max(now);
        self.latest
    }

    /// Whether nothing in it matters any more.
    pub(super) fn is_over(&self, now: MonoMillis) -> bool {
        self.entries.iter().all(|entry| entry.fact.is_over(now))
    }

    /// Whether it can be forgotten without allowing anything.
    pub(super) fn only_allows(&self, now: MonoMillis) -> bool {
        let can_go = |fact: &Fact| fact.is_over(now) || fact.polarity() != Polarity::Forbids;
        self.entries.iter().all(|entry| can_go(&entry.fact))
    }

    /// Forgets facts of conditions that are no longer asked for, by rules that are newer than those they are for.
    pub(super) fn keep_slots(&mut self, generation: u32, is_kept: impl Fn(SlotId) -> bool) {
        if self.generation < generation {
            self.generation = generation;
            self.entries.retain(|entry| is_kept(entry.id.slot));
            self.measure();
        }
    }

    fn measure(&mut self) {
        let units: usize = self.entries.iter().map(|entry| entry.fact.units()).sum();
        self.used = u32::try_from(units).unwrap_or(u32::MAX);
    }

    fn find(&self, id: FactId) -> Option<&Fact> {
        let position = self.position(id).ok()?;
        self.entries.get(position).map(|entry| &entry.fact)
    }

    fn position(&self, id: FactId) -> Result<usize, usize> {
        self.entries.binary_search_by(|entry| entry.id.cmp(&id))
    }

    /// Changes a fact that is there, and forgets it if it is over then.
    fn change<R>(&mut self, id: FactId, act: impl FnOnce(&mut Fact) -> R) -> Option<R> {
        let position = self.position(id).ok()?;
        let fact = &mut self.entries[position].fact;
        let before = fact.units();
        let result = act(fact);
        let after = fact.units();
        self.used = self.used + clamped(after) - clamped(before);
        let is_over = match &self.entries[position].fact {
            Fact::Counts(window, _) => window.is_empty(),
            fact @ (Fact::Allows { .. } | Fact::Forbids(_)) => fact.is_over(self.latest),
            Fact::Made { .. } | Fact::Tried(..) | Fact::Shown(_) => false,
        };
        if is_over {
            let gone = self.entries.remove(position);
            self.used -= clamped(gone.fact.units());
        }
        Some(result)
    }

    fn insert(&mut self, id: FactId, fact: Fact) {
        let units = clamped(fact.units());
        match self.position(id) {
            Ok(position) => {
                let before = std::mem::replace(&mut self.entries[position].fact, fact);
                self.used -= clamped(before.units());
            }
            Err(position) => {
                if self.entries.len() == self.entries.capacity() {
                    self.entries.reserve_exact(1 + self.entries.len() / 8);
                }
                self.entries.insert(position, Entry { id, fact });
            }
        }
        self.used += units;
    }

    /// Forgets a fact, whatever it says.
    pub(super) fn forget(&mut self, id: FactId) {
        if let Ok(position) = self.position(id) {
            let gone = self.entries.remove(position);
            self.used -= clamped(gone.fact.units());
        }
    }

    /// Makes room for so many units that are needed by facts that forbid.
    pub(super) fn make_room(&mut self, units: usize, now: MonoMillis) -> Result<(), Full> {
        if self.used() + units <= self.room() {
            return Ok(());
        }
        self.forget_over(now);
        while self.used() + units > self.room() {
            let allowing = self.entries.iter().filter_map(|entry| match entry.fact.polarity() {
                Polarity::Allows(until) => Some((until, entry.id)),
                Polarity::Forbids => None,
            });
            let (_, oldest) = allowing.min().ok_or(Full)?;
            self.forget(oldest);
            self.forgotten = self.forgotten.saturating_add(1);
        }
        Ok(())
    }

    /// Room for a fact that allows; without it the fact is not remembered.
    fn has_room_to_allow(&mut self, units: usize, now: MonoMillis) -> bool {
        let has_room = self.make_room(units, now).is_ok();
        if !has_room {
            self.forgotten = self.forgotten.saturating_add(1);
        }
        has_room
    }
}

/// Earlier calls.
impl Facts {
    /// Whether an earlier call still allows.
    pub(super) fn allows(&self, id: FactId, now: MonoMillis) -> bool {
        matches!(self.find(id), Some(Fact::Allows { until: Some(until), .. }) if now <= *until)
    }

    /// Whether a call is under way that may allow soon.
    pub(super) fn is_awaited(&self, id: FactId, now: MonoMillis) -> bool {
        matches!(self.find(id), Some(Fact::Allows { flights, .. }) if flights.any(now))
    }

    /// Remembers a call that allows others.
    pub(super) fn allow(&mut self, id: FactId, end: MonoMillis, now: MonoMillis) {
        let known = self.change(id, |fact| {
            if let Fact::Allows { until, .. } = fact {
                *until = (*until).max(Some(end));
            }
        });
        if known.is_none() && self.has_room_to_allow(1, now) {
            let flights = Flights::default();
            let until = Some(end);
            self.insert(id, Fact::Allows { until, flights });
        }
    }

    /// A call starts that may allow others.
    pub(super) fn depart(&mut self, id: FactId, now: MonoMillis) {
        let end = u32::try_from(now.after(FLIGHT).0 / 1000).unwrap_or(u32::MAX);
        let known = self.change(id, |fact| {
            if let Fact::Allows { flights, .. } = fact {
                flights.count = flights.count.saturating_add(1);
                flights.until = end;
            }
        });
        if known.is_none() && self.has_room_to_allow(1, now) {
            let flights = Flights { count: 1, until: end };
            self.insert(id, Fact::Allows { until: None, flights });
        }
    }

    /// A call that may have allowed others has ended.
    pub(super) fn land(&mut self, id: FactId) {
        self.change(id, |fact| {
            if let Fact::Allows { flights, .. } = fact {
                flights.count = flights.count.saturating_sub(1);
            }
        });
    }

    /// Whether a value was shown.
    pub(super) fn was_shown(&self, slot: SlotId, value: Binding, now: MonoMillis) -> bool {
        let Some(Fact::Shown(values)) = self.find(all_of(slot)) else {
            return false;
        };
        values.get(value).is_some_and(|until| now <= until)
    }

    /// Remembers values that were shown, the last `most` of all.
    pub(super) fn show(&mut self, slot: SlotId, shown: &[Binding], until: MonoMillis, most: usize, now: MonoMillis) {
        let id = all_of(slot);
        let shown = &shown[shown.len().saturating_sub(most)..];
        if shown.is_empty() {
            return;
        }
        let more = (shown.len() * Values::EACH).div_ceil(Self::UNIT) + 2;
        if !self.has_room_to_allow(more, now) {
            return;
        }
        if self.find(id).is_none() {
            self.insert(id, Fact::Shown(Box::default()));
        }
        let left_out = self.change(id, |fact| {
            let Fact::Shown(values) = fact else { return 0 };
            if let Some(before) = now.0.checked_sub(1) {
                values.forget_until(MonoMillis(before));
            }
            shown.iter().for_each(|value| values.put(*value, until));
            values.shrink(most)
        });
        let left_out = u32::try_from(left_out.unwrap_or(0)).unwrap_or(u32::MAX);
        self.forgotten = self.forgotten.saturating_add(left_out);
    }
}

/// The fact that has all values of a condition.
fn all_of(slot: SlotId) -> FactId {
    FactId {
        slot,
        binding: Binding::NONE,
    }
}

fn clamped(units: usize) -> u32 {
    u32::try_from(units).unwrap_or(u32::MAX)
}

const _: () = assert!(size_of::<Entry>() <= 48);

#[cfg(test)]
mod tests;
