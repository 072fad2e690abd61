//! A bounded set of values, each with a time.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::value::Binding;
use crate::time::MonoMillis;

/// Values and their times.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Values(Vec<(Binding, MonoMillis)>);

impl Values {
    /// Bytes of one value.
    pub(super) const EACH: usize = size_of::<(Binding, MonoMillis)>();

    #[cfg(test)]
    fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn get(&self, value: Binding) -> Option<MonoMillis> {
        self.0.iter().find(|(known, _)| *known == value).map(|(_, time)| *time)
    }

    /// The latest of all times.
    pub(super) fn latest(&self) -> Option<MonoMillis> {
        self.0.iter().map(|(_, time)| *time).max()
    }

    /// Puts a value in, or moves its time ahead.
    pub(super) fn put(&mut self, value: Binding, time: MonoMillis) {
        match self.0.iter_mut().find(|(known, _)| *known == value) {
            Some((_, known)) => *known = time.max(*known),
            None => {
                if self.0.len() == self.0.capacity() {
                    self.0.reserve_exact(4);
                }
                self.0.push((value, time));
            }
        }
    }

    /// Takes out what is not after `time`.
    pub(super) fn forget_until(&mut self, time: MonoMillis) {
        self.0.retain(|(_, known)| *known > time);
    }

    /// Takes out the values with the earliest times until `most` are left; tells how many.
    pub(super) fn shrink(&mut self, most: usize) -> usize {
        let surplus = self.0.len().saturating_sub(most);
        if surplus > 0 {
            self.0.sort_by_key(|(_, time)| *time);
            self.0.drain(..surplus);
        }
        surplus
    }

    /// Whether one value more would stay below `most` within `per`. If not: how long until it would; `None` if never.
    /// Times are those of the calls.
    pub(super) fn has_room(
        &self,
        value: Binding,
        most: usize,
        per: Option<Duration>,
        now: MonoMillis,
    ) -> Result<(), Option<Duration>> {
        let end = |time: MonoMillis| per.map_or(MonoMillis(u64::MAX), |per| time.after(per));
        let live = || self.0.iter().filter(|(_, time)| end(*time) > now);
        let count = live().count();
        if count < most || live().any(|(known, _)| *known == value) {
            return Ok(());
        }
        let mut ends: Vec<MonoMillis> = live().map(|(_, time)| end(*time)).collect();
        ends.sort_unstable();
        let free = ends.get(count - most).copied();
        Err(per.and(free).map(|free| free.since(now)))
    }

    /// Bytes beside the set itself.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + self.0.capacity() * Self::EACH
    }

    /// Whether one value more needs memory.
    pub(super) fn would_grow(&self, value: Binding) -> bool {
        self.0.len() == self.0.capacity() && self.get(value).is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(list: &[(u64, u64)]) -> Values {
        let mut values = Values::default();
        for &(value, time) in list {
            values.put(Binding::of(value), MonoMillis(time));
        }
        values
    }

    #[test]
    fn a_known_value_always_has_room() {
        let values = values(&[(1, 0), (2, 10), (1, 20)]);
        let room = |value, most, now| {
            values.has_room(
                Binding::of(value),
                most,
                Some(Duration::from_millis(100)),
                MonoMillis(now),
            )
        };
        assert_eq!(values.len(), 2);
        assert_eq!(room(3, 3, 50), Ok(()));
        assert_eq!(room(1, 2, 50), Ok(()));
        assert_eq!(room(3, 2, 50), Err(Some(Duration::from_millis(60))));
        assert_eq!(
            room(3, 1, 50),
            Err(Some(Duration::from_millis(70))),
            "a lower number after a reload"
        );
        assert_eq!(room(3, 2, 110), Ok(()));
        assert_eq!(values.has_room(Binding::of(3), 2, None, MonoMillis(50)), Err(None));
    }

    #[test]
    fn the_oldest_go_first() {
        let mut values = values(&[(1, 30), (2, 10), (3, 20)]);
        assert_eq!(values.shrink(2), 1);
        assert_eq!(values.get(Binding::of(2)), None);
        values.forget_until(MonoMillis(20));
        assert_eq!((values.len(), values.latest()), (1, Some(MonoMillis(30))));
    }
}
