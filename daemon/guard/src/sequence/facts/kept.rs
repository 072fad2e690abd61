//! Facts that were written down and come back.

use super::{Fact, Facts, Flights, SlotId};

/// What somebody's facts lost when they came back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Revived {
    /// Facts of conditions that no rule asks for any more.
    pub unasked: usize,
    /// Facts that allow, while nobody knew how long ago that was.
    pub stale: usize,
}

impl Facts {
    /// Makes facts that were written down good for this process; `false` if they are not what was written.
    ///
    /// Calls that were under way end no more: nobody waits for them, and those that forbid are taken for calls that
    /// happened. `keeps_time`: how long ago it was is known. Else what allows is forgotten, and what forbids holds as if no
    /// time had passed.
    pub(in super::super) fn revive(
        &mut self,
        is_asked_for: impl Fn(SlotId) -> bool,
        keeps_time: bool,
        revived: &mut Revived,
    ) -> bool {
        self.generation = 0;
        let before = self.entries.len();
        self.entries.retain(|entry| is_asked_for(entry.id.slot));
        revived.unasked += before - self.entries.len();
        for entry in &mut self.entries {
            match &mut entry.fact {
                Fact::Allows { flights, .. } => *flights = Flights::default(),
                Fact::Forbids(after) => after.give_up(),
                Fact::Counts(..) | Fact::Made { .. } | Fact::Tried(..) | Fact::Shown(_) => {}
            }
        }
        if !keeps_time {
            let before = self.entries.len();
            self.entries
                .retain(|entry| !matches!(entry.fact, Fact::Allows { .. } | Fact::Shown(_)));
            revived.stale += before - self.entries.len();
        }
        self.entries.shrink_to_fit();
        self.measure();
        self.entries.is_sorted_by(|one, next| one.id < next.id)
    }
}
