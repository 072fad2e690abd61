//! Makes the kernel hold what it should.

use std::{collections::HashMap, time::Duration};

use portcullis_common::Origin;

use super::{EnforcerError, Target, clock, maps::Maps, target::Key};

/// Expiries closer than this are the same: the tables round them, and clocks are read twice.
const TOLERANCE_NS: u64 = 100_000_000;

/// A ban that should hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Intended {
    /// What is banned.
    pub target: Target,
    /// For how long from now.
    pub remaining: Duration,
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

pub(super) fn run(maps: &mut Maps, intended: &[Intended]) -> Result<Reconciled, EnforcerError> {
    let mut outcome = Reconciled {
        intended: intended.len(),
        ..Reconciled::default()
    };
    let mut held: HashMap<Key, _> = HashMap::new();
    maps.walk(|key, entry| {
        if !matches!(key, Key::Flow(_)) {
            held.insert(key, entry);
        }
    })?;
    let mut write = Vec::new();
    for ban in intended {
        let key = Key::try_from(ban.target)?;
        let expires = clock::expiry(ban.remaining);
        match held.remove(&key) {
            Some(entry)
                if entry.expires_boot_ns.abs_diff(expires) <= TOLERANCE_NS && entry.origin == ban.origin as u32 =>
            {
                outcome.enforced += 1;
            }
            Some(_) => {
                outcome.wrong += 1;
                write.push((key, expires, ban.origin));
            }
            None => {
                outcome.missing += 1;
                write.push((key, expires, ban.origin));
            }
        }
    }
    let now = clock::boot_ns();
    for (key, entry) in held {
        if entry.expires_boot_ns > now {
            outcome.strays += 1;
            maps.remove(&key)?;
        }
    }
    // After the strays, which may have taken the room.
    for (key, expires, origin) in write {
        if maps.is_never_ban(&key) || maps.insert(&key, expires, origin).is_err() {
            outcome.refused += 1;
        }
    }
    Ok(outcome)
}
