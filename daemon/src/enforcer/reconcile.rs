//! Makes the kernel hold what it should.

use std::{collections::HashMap, time::Duration};

use portcullis_common::Origin;

use super::{
    EnforcerError, Target, clock,
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
pub(super) type Current<'a> = &'a dyn Fn(Target) -> Option<Intended>;

/// Whoever changes a ban changes the intention first and the tables then. So a difference that `current` does not
/// confirm is a change on its way, and is left to whoever makes it.
pub(super) fn run(maps: &mut Maps, intended: &[Intended], current: Current<'_>) -> Result<Reconciled, EnforcerError> {
    let mut outcome = Reconciled {
        intended: intended.len(),
        ..Reconciled::default()
    };
    let mut held: HashMap<Key, Entry> = HashMap::new();
    maps.walk(|key, entry| {
        if !matches!(key, Key::Flow(_)) {
            held.insert(key, entry);
        }
    })?;
    let (mut missing, mut wrong) = (Vec::new(), Vec::new());
    for ban in intended {
        match held.remove(&Key::try_from(ban.target)?) {
            Some(entry) if holds(&entry, ban) => outcome.enforced += 1,
            Some(_) => wrong.push(ban.target),
            None => missing.push(ban.target),
        }
    }
    lift_strays(maps, held, current, &mut outcome)?;
    // After the strays, which may have taken the room.
    for ban in missing.into_iter().filter_map(current) {
        outcome.missing += 1;
        outcome.refused += usize::from(!write(maps, &ban)?);
    }
    for ban in wrong.into_iter().filter_map(current) {
        outcome.wrong += 1;
        outcome.refused += usize::from(!write(maps, &ban)?);
    }
    Ok(outcome)
}

/// Whether the kernel honours a ban as long as it should, and knows by whose word.
fn holds(entry: &Entry, ban: &Intended) -> bool {
    let expires = clock::nanos(ban.until);
    entry.expires_boot_ns.abs_diff(expires) <= TOLERANCE_NS && entry.origin == ban.origin as u32
}

fn lift_strays(
    maps: &mut Maps,
    held: HashMap<Key, Entry>,
    current: Current<'_>,
    outcome: &mut Reconciled,
) -> Result<(), EnforcerError> {
    let now = clock::boot_ns();
    for (key, entry) in held {
        if entry.expires_boot_ns > now && current(key.into()).is_none() {
            outcome.strays += 1;
            maps.remove(&key)?;
        }
    }
    Ok(())
}

/// `false` if the kernel does not take it.
fn write(maps: &mut Maps, ban: &Intended) -> Result<bool, EnforcerError> {
    let key = Key::try_from(ban.target)?;
    Ok(!maps.is_never_ban(&key.sources()) && maps.insert(&key, clock::nanos(ban.until), ban.origin).is_ok())
}
