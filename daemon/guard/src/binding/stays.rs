//! Where a session stayed, and since when.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use super::place::{Family, Place};
use crate::time::MonoMillis;

/// Networks that a session comes back to without being asked.
pub(super) const KNOWN: usize = 4;
/// So many networks of one family at the same time are not one person: a phone has two, while it changes.
const CONCENTRATED: usize = 3;
/// Who is silent for this long in a network has left it. This and the following in tenths of a second.
const STAY: u32 = 60 * 10;

/// Tenths of a second of the monotonic clock, counted from one: in 32 bits, 13 years.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Tick(NonZeroU32);

impl Tick {
    pub(super) fn at(now: MonoMillis) -> Self {
        let tenths = u32::try_from(now.0 / 100).unwrap_or(u32::MAX);
        Self(NonZeroU32::MIN.saturating_add(tenths))
    }

    pub(super) fn since(self, earlier: Self) -> u32 {
        self.0.get().saturating_sub(earlier.0.get())
    }
}

/// A stay in a network.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Stay {
    /// The place that was seen last in it.
    pub(super) place: Place,
    pub(super) since: Tick,
    pub(super) until: Tick,
}

/// The stays that are remembered; most sessions have one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Stays {
    pub(super) first: Option<Stay>,
    pub(super) others: Option<Box<[Option<Stay>; KNOWN - 1]>>,
}

impl Stays {
    pub(super) fn of([first, others @ ..]: [Option<Stay>; KNOWN]) -> Self {
        let are_any = others.iter().any(Option::is_some);
        Self {
            first,
            others: are_any.then(|| Box::new(others)),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Stay> {
        let others = self.others.iter().flat_map(|others| others.iter().flatten());
        self.first.iter().chain(others)
    }

    /// The stay in a place where the session was all the time.
    pub(super) fn only_at(&mut self, place: Place) -> Option<&mut Stay> {
        let is_only = self.others.is_none();
        self.first.as_mut().filter(|stay| is_only && stay.place == place)
    }

    pub(super) fn all(&self) -> [Option<Stay>; KNOWN] {
        let [second, third, fourth] = self.others.as_deref().copied().unwrap_or_default();
        [self.first, second, third, fourth]
    }
}

impl Stay {
    pub(super) fn begin(place: Place, at: Tick) -> Self {
        Self {
            place,
            since: at,
            until: at,
        }
    }

    pub(super) fn go_on(&mut self, place: Place, at: Tick) {
        if at.since(self.until) > STAY {
            self.since = at;
        }
        (self.place, self.until) = (place, at);
    }
}

/// Whether there was a moment within the last minute in which several networks of this family were in use. One after the
/// other is a journey; back and forth between three is several people with one key.
pub(super) fn is_concentrated(stays: &[Option<Stay>; KNOWN], family: Family) -> bool {
    let of_family = || stays.iter().flatten().filter(|stay| stay.place.family() == family);
    let now = of_family().map(|stay| stay.until).max();
    let current = || of_family().filter(|stay| now.is_some_and(|now| now.since(stay.until) <= STAY));
    current().any(|beginning| {
        let moment = beginning.since;
        current()
            .filter(|stay| stay.since <= moment && moment < stay.until)
            .count()
            >= CONCENTRATED
    })
}
