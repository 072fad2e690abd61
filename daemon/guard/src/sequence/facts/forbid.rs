//! Facts that forbid: counts, calls and values. They are never forgotten before their time.

use std::time::Duration;

use super::super::value::Binding;
use super::super::values::Values;
use super::super::window::{Limit, Window};
use super::{Fact, FactId, Facts, Full, SlotId, all_of};
use crate::time::MonoMillis;

impl Facts {
    /// The calls counted so far.
    pub(in super::super) fn counted(&self, id: FactId) -> Option<&Window> {
        match self.find(id) {
            Some(Fact::Counts(window, _)) => Some(window),
            Some(_) | None => None,
        }
    }

    /// Units that counting a call would take.
    pub(in super::super) fn growth_by_count(&self, id: FactId, limit: Limit, now: MonoMillis) -> usize {
        match self.counted(id) {
            Some(window) => (window.growth(limit, now) * Window::EACH).div_ceil(Self::UNIT),
            None => 1,
        }
    }

    /// Counts a call.
    pub(in super::super) fn count(&mut self, id: FactId, limit: Limit, now: MonoMillis) -> Result<(), Full> {
        if !self.has_room_for(1) {
            self.make_room(self.growth_by_count(id, limit, now), now)?;
        }
        let known = self.change(id, |fact| {
            if let Fact::Counts(window, until) = fact {
                window.add(limit, now);
                *until = limit.end(now);
            }
        });
        if known.is_none() {
            let mut window = Window::default();
            window.add(limit, now);
            self.insert(id, Fact::Counts(window, limit.end(now)));
        }
        Ok(())
    }

    /// Takes back the call that was counted at `at`.
    pub(in super::super) fn refund(&mut self, id: FactId, at: MonoMillis) {
        self.change(id, |fact| {
            if let Fact::Counts(window, _) = fact {
                window.refund(at);
            }
        });
    }

    /// When a call was made last, as far as it matters.
    pub(in super::super) fn made(&self, id: FactId) -> Option<MonoMillis> {
        match self.find(id) {
            Some(Fact::Made { at, .. }) => Some(*at),
            Some(_) | None => None,
        }
    }

    /// Units that remembering a call would take.
    pub(in super::super) fn growth_by_call(&self, id: FactId) -> usize {
        usize::from(self.find(id).is_none())
    }

    /// Remembers that a call is made now.
    pub(in super::super) fn make(&mut self, id: FactId, until: MonoMillis, now: MonoMillis) {
        self.insert(id, Fact::Made { at: now, until });
    }

    /// How long a call still forbids: `Some(None)` is for ever.
    pub(in super::super) fn forbids(&self, id: FactId, now: MonoMillis) -> Option<Option<Duration>> {
        match self.find(id) {
            Some(Fact::Forbids(after)) => after.forbids(now),
            Some(_) | None => None,
        }
    }

    /// Units that a call that forbids would take.
    pub(in super::super) fn growth_by_forbidding(&self, id: FactId) -> usize {
        if self.find(id).is_none() { 3 } else { 0 }
    }

    /// Remembers a call that forbids others.
    pub(in super::super) fn forbid(&mut self, id: FactId, within: Option<Duration>, now: MonoMillis) {
        if self.find(id).is_none() {
            self.insert(id, Fact::Forbids(Box::default()));
        }
        self.change(id, |fact| {
            if let Fact::Forbids(after) = fact {
                after.begin(now, within);
            }
        });
    }

    /// A call that forbids others has ended; `holds` if it did what forbids.
    pub(in super::super) fn settle(&mut self, id: FactId, at: MonoMillis, holds: bool) {
        self.change(id, |fact| {
            if let Fact::Forbids(after) = fact {
                after.end(at, holds);
            }
        });
    }

    /// A call that started then was answered, and lifts what was before it.
    pub(in super::super) fn lift(&mut self, id: FactId, started: MonoMillis) {
        self.change(id, |fact| {
            if let Fact::Forbids(after) = fact {
                after.lift(started);
            }
        });
    }

    /// The values that were tried.
    pub(in super::super) fn tried(&self, slot: SlotId) -> Option<&Values> {
        match self.find(all_of(slot)) {
            Some(Fact::Tried(values, _)) => Some(values),
            Some(_) | None => None,
        }
    }

    /// Units that one value more would take.
    pub(in super::super) fn growth_by_trying(&self, slot: SlotId, value: Binding) -> usize {
        match self.tried(slot) {
            Some(values) => usize::from(values.would_grow(value)),
            None => 3,
        }
    }

    /// Remembers that a value is tried now.
    pub(in super::super) fn try_value(&mut self, slot: SlotId, value: Binding, per: Option<Duration>, now: MonoMillis) {
        let id = all_of(slot);
        let end = per.map_or(MonoMillis(u64::MAX), |per| now.after(per));
        if self.find(id).is_none() {
            self.insert(id, Fact::Tried(Box::default(), end));
        }
        self.change(id, |fact| {
            if let Fact::Tried(values, until) = fact {
                if let Some(start) = per.and_then(|per| now.before(per)) {
                    values.forget_until(start);
                }
                values.put(value, now);
                *until = end;
            }
        });
    }
}
