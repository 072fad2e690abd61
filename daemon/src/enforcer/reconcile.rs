//! Makes the kernel hold what it should.

use std::time::Duration;

use portcullis_common::Origin;

use super::{
    Enforcer, EnforcerError, Target, clock,
    maps::{Entry, Maps},
    target::Key,
};

/// Expiries closer than this are the same: the tables round them, and clocks are read twice.
const TOLERANCE_NS: u64 = 100_000_000;

/// A ban that should hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Intended {
    /// What is banned.
    pub target: Target,
    /// Until when, by `CLOCK_BOOTTIME`: a moment, as reading a million bans takes a while.
    pub until: Duration,
    /// Who asked for it.
    pub origin: Origin,
}

/// What was found, before it was repaired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// How many bans should hold.
    pub intended: usize,
    /// Those of them that did, as long as they should.
    pub enforced: usize,
    /// Those that did not, and do now.
    pub missing: usize,
    /// Those that held for another time or another reason, and are right now.
    pub wrong: usize,
    /// Bans that nobody intended, which are lifted. Connections are not among them: they belong to
    /// sessions and end soon.
    pub strays: usize,
    /// Those that the kernel would not take, for lack of room or as they are in the never-ban set.
    pub refused: usize,
}

impl Reconciled {
    /// The part that was enforced; 1 when nothing is intended.
    pub fn ratio(&self) -> f64 {
        if self.intended == 0 {
            return 1.0;
        }
        self.enforced as f64 / self.intended as f64
    }
}

/// Asked about each difference while the tables are held: what a ban should be at this moment.
type Current<'a> = &'a dyn Fn(Target) -> Option<Intended>;

/// Does something while nobody changes many bans at once: between their intention and the tables, the two differ and
/// nothing has drifted. To be called without the tables.
type Settled<'a> = &'a dyn Fn(&mut dyn FnMut());

/// Lines of hosts that are looked at before others get their turn: some eight thousand bans at most.
const LINES_AT_ONCE: u32 = 1024;

/// Whether what differs is only counted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Aim {
    Count,
    Repair,
}

impl Enforcer {
    /// Compares what the kernel holds with what it should hold, and repairs it. Others wait for a few thousand bans at
    /// most, and no copy is made of all of them.
    ///
    /// `intended` are all bans, some thousands at a time. `current` is asked again about each difference, so that a ban
    /// which is made or lifted meanwhile is not taken for drift: whoever changes a ban changes the intention first and
    /// the tables then, and a difference that it does not confirm is left to whoever makes it. It must not call the
    /// enforcer. Differences are looked at once more within `settled`.
    ///
    /// # Errors
    /// If the kernel does not tell what it holds.
    pub fn reconcile(
        &self,
        intended: impl IntoIterator<Item = Vec<Intended>>,
        current: Current<'_>,
        settled: Settled<'_>,
    ) -> Result<Reconciled, EnforcerError> {
        self.compare_by(Aim::Repair, intended, current, settled)
    }

    /// Does the same and repairs nothing.
    ///
    /// # Errors
    /// The same.
    pub fn compare(
        &self,
        intended: impl IntoIterator<Item = Vec<Intended>>,
        current: Current<'_>,
        settled: Settled<'_>,
    ) -> Result<Reconciled, EnforcerError> {
        self.compare_by(Aim::Count, intended, current, settled)
    }

    fn compare_by(
        &self,
        aim: Aim,
        intended: impl IntoIterator<Item = Vec<Intended>>,
        current: Current<'_>,
        settled: Settled<'_>,
    ) -> Result<Reconciled, EnforcerError> {
        let mut outcome = Reconciled::default();
        // Strays first: they may have taken the room of others.
        let lines = self.tables().maps.lines();
        for first in (0..lines).step_by(LINES_AT_ONCE as usize) {
            // Larger tables may have taken the place of these meanwhile.
            let held = {
                let maps = &self.tables().maps;
                maps.hosts_in(first.min(maps.lines())..maps.lines().min(first + LINES_AT_ONCE))
            };
            self.find_strays(aim, held, current, settled, &mut outcome)?;
        }
        let others = {
            let maps = &self.tables().maps;
            let mut others = maps.overflowed_hosts()?;
            others.extend(maps.banned_prefixes()?);
            others
        };
        self.find_strays(aim, others, current, settled, &mut outcome)?;
        for some in intended {
            self.find_missing(aim, &some, current, settled, &mut outcome)?;
        }
        Ok(outcome)
    }

    fn find_strays(
        &self,
        aim: Aim,
        mut held: Vec<(Key, Entry)>,
        current: Current<'_>,
        settled: Settled<'_>,
        outcome: &mut Reconciled,
    ) -> Result<(), EnforcerError> {
        let now = clock::boot_ns();
        held.retain(|(key, entry)| entry.expires_boot_ns > now && current((*key).into()).is_none());
        if held.is_empty() {
            return Ok(());
        }
        let mut confirmed = Ok(());
        settled(&mut || confirmed = self.confirm_strays(aim, &held, current, outcome));
        confirmed
    }

    fn confirm_strays(
        &self,
        aim: Aim,
        held: &[(Key, Entry)],
        current: Current<'_>,
        outcome: &mut Reconciled,
    ) -> Result<(), EnforcerError> {
        let now = clock::boot_ns();
        let mut tables = self.tables();
        for (key, _) in held {
            let is_there = tables.maps.entry(key)?.is_some_and(|entry| entry.expires_boot_ns > now);
            if is_there && current((*key).into()).is_none() {
                outcome.strays += 1;
                if aim == Aim::Repair {
                    tables.maps.remove(key)?;
                }
            }
        }
        Ok(())
    }

    fn find_missing(
        &self,
        aim: Aim,
        intended: &[Intended],
        current: Current<'_>,
        settled: Settled<'_>,
        outcome: &mut Reconciled,
    ) -> Result<(), EnforcerError> {
        outcome.intended += intended.len();
        let mut differing = Vec::new();
        {
            let tables = self.tables();
            for ban in intended {
                match tables.maps.entry(&Key::try_from(ban.target)?)? {
                    Some(entry) if holds(&entry, ban) => outcome.enforced += 1,
                    Some(_) | None => differing.push(ban.target),
                }
            }
        }
        if differing.is_empty() {
            return Ok(());
        }
        let mut confirmed = Ok(());
        settled(&mut || confirmed = self.confirm_missing(aim, &differing, current, outcome));
        confirmed
    }

    fn confirm_missing(
        &self,
        aim: Aim,
        differing: &[Target],
        current: Current<'_>,
        outcome: &mut Reconciled,
    ) -> Result<(), EnforcerError> {
        let mut tables = self.tables();
        for target in differing {
            let Some(ban) = current(*target) else {
                // It was lifted meanwhile.
                outcome.intended -= 1;
                continue;
            };
            match tables.maps.entry(&Key::try_from(*target)?)? {
                Some(entry) if holds(&entry, &ban) => {
                    outcome.enforced += 1;
                    continue;
                }
                Some(_) => outcome.wrong += 1,
                None => outcome.missing += 1,
            }
            if aim == Aim::Repair {
                outcome.refused += usize::from(!write(&mut tables.maps, &ban)?);
            }
        }
        Ok(())
    }
}

/// Whether the kernel honours a ban as long as it should, and knows by whose word.
fn holds(entry: &Entry, ban: &Intended) -> bool {
    let expires = clock::nanos(ban.until);
    entry.expires_boot_ns.abs_diff(expires) <= TOLERANCE_NS && entry.origin == ban.origin as u32
}

/// `false` if the kernel does not take it.
fn write(maps: &mut Maps, ban: &Intended) -> Result<bool, EnforcerError> {
    let key = Key::try_from(ban.target)?;
    Ok(!maps.is_never_ban(&key.sources()) && maps.insert(&key, clock::nanos(ban.until), ban.origin).is_ok())
}
