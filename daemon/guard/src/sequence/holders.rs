//! The facts that the rules of one call look at: the session's, and those of whom it is counted with.

use super::facts::{Facts, Full};
use super::plan::{Compiled, Holder, SESSION};
use super::scope::{HolderKey, Locked};
use crate::time::MonoMillis;

/// See the module. All facts are locked as long as it lives.
pub(super) struct Holders<'a> {
    pub(super) session: &'a mut Facts,
    pub(super) shared: Option<Locked<'a>>,
    /// One for each scope of the plan.
    pub(super) keys: &'a [HolderKey],
}

impl Holders<'_> {
    /// Forgets what other rules asked for, and moves on in time: it never runs backwards for any of them.
    pub(super) fn enter(&mut self, rules: &Compiled, now: MonoMillis) -> MonoMillis {
        let mut now = self.session.tick(now);
        self.session.keep_slots(rules.generation, |slot| rules.has_slot(slot));
        if let Some(shared) = &mut self.shared {
            for key in self.keys {
                if let Some(facts) = shared.get_mut(*key) {
                    facts.keep_slots(rules.generation, |slot| rules.has_slot(slot));
                    now = facts.tick(now);
                }
            }
        }
        self.session.tick(now)
    }

    pub(super) fn get(&self, holder: Holder) -> Option<&Facts> {
        match holder {
            SESSION => Some(self.session),
            shared => self.shared.as_ref()?.get(*self.keys.get(shared - 1)?),
        }
    }

    pub(super) fn get_mut(&mut self, holder: Holder) -> Option<&mut Facts> {
        match holder {
            SESSION => Some(self.session),
            shared => self.shared.as_mut()?.get_mut(*self.keys.get(shared - 1)?),
        }
    }

    /// The facts of a holder, new ones if there are none.
    pub(super) fn open(&mut self, holder: Holder, generation: u32, now: MonoMillis) -> Result<&mut Facts, Full> {
        match holder {
            SESSION => Ok(self.session),
            shared => {
                let key = *self.keys.get(shared - 1).ok_or(Full)?;
                let facts = self.shared.as_mut().ok_or(Full)?.open(key, now)?;
                facts.generation = facts.generation.max(generation);
                facts.tick(now);
                Ok(facts)
            }
        }
    }
}
