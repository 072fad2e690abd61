//! Remembers that a call was made, until another one lifts it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::MonoMillis;

/// Calls that are under way at once and told apart. Of more, the oldest is taken for one that happened.
const MOST_PENDING: usize = 8;

/// When a call was made that forbids others. Calls forbid from their start on, until their answer says that nothing
/// happened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct After {
    confirmed: Option<MonoMillis>,
    pending: Vec<MonoMillis>,
    /// The start of the last call that lifted it.
    lifted: Option<MonoMillis>,
    within: Option<Duration>,
}

impl After {
    /// A call starts.
    pub(super) fn begin(&mut self, at: MonoMillis, within: Option<Duration>) {
        self.within = within;
        if self.pending.len() == MOST_PENDING {
            let oldest = self.pending.remove(0);
            self.confirmed = self.confirmed.max(Some(oldest));
        }
        self.pending.reserve_exact(1);
        self.pending.push(at);
    }

    /// A call ended; `holds` if it did what forbids.
    pub(super) fn end(&mut self, at: MonoMillis, holds: bool) {
        if let Some(position) = self.pending.iter().position(|start| *start == at) {
            self.pending.remove(position);
            if holds {
                self.confirmed = self.confirmed.max(Some(at));
            }
        }
    }

    /// Nobody tells any more how the calls under way ended: they are taken for calls that happened.
    pub(super) fn give_up(&mut self) {
        self.confirmed = self.pending.drain(..).max().max(self.confirmed);
        self.pending = Vec::new();
    }

    /// A call that started then lifts what was before it.
    pub(super) fn lift(&mut self, started: MonoMillis) {
        self.lifted = self.lifted.max(Some(started));
    }

    /// How long it still forbids: `Some(None)` is for ever; `None` if it does not.
    pub(super) fn forbids(&self, now: MonoMillis) -> Option<Option<Duration>> {
        let last = self.pending.iter().copied().chain(self.confirmed).max();
        let last = last.filter(|last| self.lifted.is_none_or(|lifted| *last > lifted))?;
        match self.within.map(|within| last.after(within)) {
            None => Some(None),
            Some(end) if end > now => Some(Some(end.since(now))),
            Some(_) => None,
        }
    }

    /// Whether nothing is lost without it.
    pub(super) fn is_over(&self, now: MonoMillis) -> bool {
        self.forbids(now).is_none() && self.pending.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: [MonoMillis; 4] = [MonoMillis(0), MonoMillis(10), MonoMillis(20), MonoMillis(30)];

    #[test]
    fn it_forbids_from_the_start_until_it_is_lifted_or_over() {
        let within = Some(Duration::from_millis(100));
        let mut after = After::default();
        after.begin(AT[0], within);
        assert!(after.forbids(AT[0]).is_some());
        after.end(AT[0], false);
        assert!(after.is_over(AT[0]), "nothing happened");
        after.begin(AT[1], within);
        after.end(AT[1], true);
        assert_eq!(after.forbids(AT[2]), Some(Some(Duration::from_millis(90))));
        after.lift(AT[0]);
        assert!(after.forbids(AT[2]).is_some(), "what lifts came before");
        after.lift(AT[2]);
        assert!(after.is_over(AT[2]));
        after.begin(AT[3], within);
        assert!(after.forbids(MonoMillis(129)).is_some());
        assert!(after.forbids(MonoMillis(130)).is_none());
    }

    #[test]
    fn memory_is_bounded_and_errs_to_the_safe_side() {
        let mut after = After::default();
        (0..1000).for_each(|at| after.begin(MonoMillis(at), None));
        assert_eq!(after.pending.len(), MOST_PENDING);
        (0..1000).for_each(|at| after.end(MonoMillis(at), false));
        assert_eq!(after.forbids(MonoMillis(5000)), Some(None));
    }
}
