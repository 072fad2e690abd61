//! Counts calls in a sliding window, in constant memory.
//!
//! Up to [`RESOLUTION`] calls are remembered one by one, so small limits are exact. For larger limits, calls that come
//! within an eighth of the window share an entry that leaves the window as a whole, with the last of them. The limit
//! is therefore never exceeded in any window; a client may have to wait an eighth longer.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::MonoMillis;

/// Calls that are remembered one by one, and the number of entries for more.
const RESOLUTION: u32 = 8;

/// How often in which time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limit {
    pub(super) count: u32,
    /// `None`: for the life of the session.
    pub(super) per: Option<Duration>,
}

/// What was counted. One call, which is the most frequent case, needs no memory of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(
    clippy::box_collection,
    reason = "a fact is as large as its largest variant, and most have no entries"
)]
pub(super) enum Window {
    #[default]
    Empty,
    One(MonoMillis),
    /// From the oldest to the newest; their times do not overlap.
    Many(Box<Vec<Entry>>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    first: MonoMillis,
    last: MonoMillis,
    count: u32,
}

impl Entry {
    fn one(at: MonoMillis) -> Self {
        Self {
            first: at,
            last: at,
            count: 1,
        }
    }
}

impl Limit {
    /// How far apart the calls of one entry may be.
    fn grain(self) -> Duration {
        match self.per {
            None => Duration::MAX,
            Some(_) if self.count <= RESOLUTION => Duration::ZERO,
            Some(per) => per / RESOLUTION,
        }
    }

    /// When a call at `at` stops counting.
    pub(super) fn end(self, at: MonoMillis) -> MonoMillis {
        self.per.map_or(MonoMillis(u64::MAX), |per| at.after(per))
    }
}

impl Window {
    fn entries(&self) -> impl Iterator<Item = Entry> + Clone {
        let (one, many) = match self {
            Self::Empty => (None, [].as_slice()),
            Self::One(at) => (Some(Entry::one(*at)), [].as_slice()),
            Self::Many(entries) => (None, entries.as_slice()),
        };
        one.into_iter().chain(many.iter().copied())
    }

    /// Whether one more call is within the limit. If not: how long until it is; `None` if never.
    pub(super) fn check(&self, limit: Limit, now: MonoMillis) -> Result<(), Option<Duration>> {
        let live = self.entries().filter(|entry| limit.end(entry.last) > now);
        let mut total: u32 = live.clone().map(|entry| entry.count).sum();
        if total < limit.count {
            return Ok(());
        }
        for entry in live {
            total -= entry.count;
            if total < limit.count {
                return Err(limit.per.map(|_| limit.end(entry.last).since(now)));
            }
        }
        Err(None)
    }

    /// How many entries more would be on the heap after a call at `now`, at most.
    pub(super) fn growth(&self, limit: Limit, now: MonoMillis) -> usize {
        match self {
            Self::Empty => 0,
            Self::One(at) if limit.end(*at) <= now => 0,
            // The list, and two entries.
            Self::One(_) => 3,
            Self::Many(entries) => {
                let live = entries.iter().filter(|entry| limit.end(entry.last) > now).count();
                let joins = |entry: &Entry| now.since(entry.first) <= limit.grain();
                usize::from(live >= entries.capacity() && !entries.last().is_some_and(joins))
            }
        }
    }

    /// Counts a call. `now` is never before an earlier `now`.
    pub(super) fn add(&mut self, limit: Limit, now: MonoMillis) {
        if self.entries().all(|entry| limit.end(entry.last) <= now) {
            // The memory of earlier calls goes with them.
            *self = Self::One(now);
            return;
        }
        if let Self::One(at) = *self {
            *self = Self::Many(Box::new(vec![Entry::one(at)]));
        }
        let Self::Many(entries) = self else { return };
        entries.retain(|entry| limit.end(entry.last) > now);
        match entries.last_mut() {
            Some(entry) if now.since(entry.first) <= limit.grain() => {
                entry.last = now;
                entry.count += 1;
            }
            Some(_) | None => {
                entries.reserve_exact(1);
                entries.push(Entry::one(now));
            }
        }
    }

    /// Takes back the call that was counted at `at`, if it is still counted.
    pub(super) fn refund(&mut self, at: MonoMillis) {
        match self {
            Self::Empty => {}
            Self::One(counted) if *counted == at => *self = Self::Empty,
            Self::One(_) => {}
            Self::Many(entries) => {
                let inside = |entry: &Entry| entry.first <= at && at <= entry.last;
                if let Some(position) = entries.iter().position(inside) {
                    let entry = &mut entries[position];
                    entry.count -= 1;
                    if entry.count == 0 {
                        entries.remove(position);
                    }
                }
                if entries.is_empty() {
                    *self = Self::Empty;
                }
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        *self == Self::Empty
    }

    /// Bytes of an entry on the heap.
    pub(super) const EACH: usize = size_of::<Entry>();

    /// Bytes beside the window itself.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Empty | Self::One(_) => 0,
            Self::Many(entries) => size_of::<Vec<Entry>>() + entries.capacity() * size_of::<Entry>(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn at(seconds: u64) -> MonoMillis {
        MonoMillis(seconds * 1000)
    }

    fn total(window: &Window) -> u32 {
        window.entries().map(|entry| entry.count).sum()
    }

    #[test]
    fn a_small_limit_slides() {
        let limit = Limit {
            count: 2,
            per: Some(MINUTE),
        };
        let mut window = Window::default();
        window.add(limit, at(0));
        window.add(limit, at(50));
        assert_eq!(window.check(limit, at(59)), Err(Some(Duration::from_secs(1))));
        assert_eq!(window.check(limit, at(60)), Ok(()));
        window.add(limit, at(60));
        assert_eq!(
            window.check(limit, at(61)),
            Err(Some(Duration::from_secs(49))),
            "no double burst at a border"
        );
    }

    #[test]
    fn once_is_for_ever() {
        let limit = Limit { count: 1, per: None };
        let mut window = Window::default();
        window.add(limit, at(0));
        assert_eq!(window.check(limit, at(1_000_000_000)), Err(None));
        window.refund(at(0));
        assert!(window.is_empty());
    }

    #[test]
    fn a_refund_takes_back_one_call() {
        let limit = Limit {
            count: 2,
            per: Some(MINUTE),
        };
        let mut window = Window::default();
        window.add(limit, at(0));
        window.add(limit, at(0));
        window.refund(at(0));
        assert_eq!(total(&window), 1);
        window.refund(at(7));
        assert_eq!(total(&window), 1, "nothing was counted then");
    }

    #[test]
    fn a_lower_limit_after_a_reload_still_counts() {
        let mut window = Window::default();
        let limit = Limit {
            count: 5,
            per: Some(MINUTE),
        };
        (0..5).for_each(|second| window.add(limit, at(second)));
        let lower = Limit {
            count: 2,
            per: Some(MINUTE),
        };
        assert_eq!(window.check(lower, at(10)), Err(Some(Duration::from_secs(53))));
    }

    proptest! {
        /// The limit holds in every window, and no call waits more than an eighth longer than it must.
        #[test]
        fn the_limit_holds_and_is_tight(
            count in prop_oneof![1u32..12, 1u32..60],
            gaps in prop::collection::vec(prop_oneof![0u64..200, 0u64..10_000], 1..300),
        ) {
            let limit = Limit { count, per: Some(MINUTE) };
            let mut window = Window::default();
            let mut counted: Vec<u64> = Vec::new();
            let mut now = 0;
            for gap in gaps {
                now += gap;
                let within = |span: u64| counted.iter().filter(|&&call| call + span > now).count() as u64;
                let admitted = window.check(limit, MonoMillis(now));
                if admitted.is_ok() {
                    prop_assert!(within(60_000) < u64::from(count));
                    window.add(limit, MonoMillis(now));
                    counted.push(now);
                } else {
                    let span = if count <= RESOLUTION { 60_000 } else { 60_000 + 60_000 / 8 };
                    prop_assert!(within(span) >= u64::from(count));
                    let wait = u64::try_from(admitted.unwrap_err().unwrap().as_millis()).unwrap();
                    prop_assert!(window.check(limit, MonoMillis(now + wait)).is_ok());
                    prop_assert!(window.check(limit, MonoMillis(now + wait - 1)).is_err());
                }
                prop_assert!(window.entries().count() <= 2 * RESOLUTION as usize);
            }
        }
    }
}
