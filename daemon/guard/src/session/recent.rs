//! Sessions in the order of their use, one after another in memory: no allocation and no pointer for each.
//!
//! Names are random and only those that this gate sealed come in, so that a name is its own hash.

use hashbrown::HashTable;

use super::SessionId;

/// Something that has a session's name.
pub(super) trait Named {
    fn name(&self) -> SessionId;
}

/// No place.
const NONE: u32 = u32::MAX;

/// At most so many; the one idle for longest goes first.
pub(super) struct Recent<T> {
    slots: Vec<Slot<T>>,
    index: HashTable<u32>,
    newest: u32,
    oldest: u32,
    capacity: usize,
}

struct Slot<T> {
    value: T,
    newer: u32,
    older: u32,
}

impl<T: Named> Recent<T> {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            slots: Vec::new(),
            index: HashTable::new(),
            newest: NONE,
            oldest: NONE,
            capacity: capacity.clamp(1, NONE as usize),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().map(|slot| &slot.value)
    }

    pub(super) fn peek(&self, name: SessionId) -> Option<&T> {
        let place = self.place(name)?;
        self.slots.get(place as usize).map(|slot| &slot.value)
    }

    /// The value of this name, marked as just used.
    pub(super) fn get(&mut self, name: SessionId) -> Option<&mut T> {
        let place = self.place(name)?;
        if place != self.newest {
            self.unlink(place);
            self.link_newest(place);
        }
        self.slots.get_mut(place as usize).map(|slot| &mut slot.value)
    }

    /// Keeps a value as just used, and returns the one that had to go for it: the one with the same name, or the one
    /// idle for longest.
    pub(super) fn push(&mut self, value: T) -> Option<T> {
        let same = self.pop(value.name());
        let gone = match same {
            None if self.slots.len() >= self.capacity => self.slot(self.oldest).map(|slot| slot.value.name()),
            None | Some(_) => None,
        };
        let pushed_out = same.or_else(|| self.pop(gone?));
        let place = u32::try_from(self.slots.len()).unwrap_or(NONE);
        let slots = &self.slots;
        let hash = hash_of(value.name());
        self.index.insert_unique(hash, place, |place| {
            slots.get(*place as usize).map_or(0, |slot| hash_of(slot.value.name()))
        });
        self.slots.push(Slot {
            value,
            newer: NONE,
            older: NONE,
        });
        self.link_newest(place);
        pushed_out
    }

    /// Takes a value out. The last slot moves into its place.
    pub(super) fn pop(&mut self, name: SessionId) -> Option<T> {
        let place = self.place(name)?;
        self.unlink(place);
        self.forget(name, place);
        let last = u32::try_from(self.slots.len() - 1).unwrap_or(NONE);
        let removed = self.slots.swap_remove(place as usize);
        if place != last {
            self.moved(last, place);
        }
        Some(removed.value)
    }

    fn moved(&mut self, from: u32, to: u32) {
        let Some((name, newer, older)) = self.slot(to).map(|slot| (slot.value.name(), slot.newer, slot.older)) else {
            return;
        };
        if let Some(place) = self.index.find_mut(hash_of(name), |place| *place == from) {
            *place = to;
        }
        match self.slots.get_mut(newer as usize) {
            Some(newer) => newer.older = to,
            None => self.newest = to,
        }
        match self.slots.get_mut(older as usize) {
            Some(older) => older.newer = to,
            None => self.oldest = to,
        }
    }

    fn forget(&mut self, name: SessionId, place: u32) {
        if let Ok(entry) = self.index.find_entry(hash_of(name), |known| *known == place) {
            entry.remove();
        }
    }

    fn place(&self, name: SessionId) -> Option<u32> {
        let is_it = |place: &u32| self.slot(*place).is_some_and(|slot| slot.value.name() == name);
        self.index.find(hash_of(name), is_it).copied()
    }

    fn slot(&self, place: u32) -> Option<&Slot<T>> {
        self.slots.get(place as usize)
    }

    fn unlink(&mut self, place: u32) {
        let Some((newer, older)) = self.slot(place).map(|slot| (slot.newer, slot.older)) else {
            return;
        };
        match self.slots.get_mut(newer as usize) {
            Some(newer) => newer.older = older,
            None => self.newest = older,
        }
        match self.slots.get_mut(older as usize) {
            Some(older) => older.newer = newer,
            None => self.oldest = newer,
        }
    }

    fn link_newest(&mut self, place: u32) {
        let before = self.newest;
        if let Some(slot) = self.slots.get_mut(place as usize) {
            (slot.newer, slot.older) = (NONE, before);
        }
        match self.slots.get_mut(before as usize) {
            Some(slot) => slot.newer = place,
            None => self.oldest = place,
        }
        self.newest = place;
    }
}

/// Not of the byte that chooses the shard.
fn hash_of(name: SessionId) -> u64 {
    let [_, _, _, _, rest @ ..] = name.0;
    u64::from_le_bytes(rest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    impl Named for u8 {
        fn name(&self) -> SessionId {
            // Few hashes for many names, so that they collide.
            let mut name = [self % 3; 12];
            name[0] = *self;
            SessionId(name)
        }
    }

    /// The same in a simple way: the newest last.
    fn follows_a_list(capacity: usize, steps: Vec<(u8, u8)>) -> Result<(), TestCaseError> {
        let mut recent = Recent::new(capacity);
        let mut list: Vec<u8> = Vec::new();
        for (kind, value) in steps {
            let at = list.iter().position(|known| *known == value);
            match kind % 4 {
                0 => {
                    prop_assert_eq!(recent.get(value.name()).copied(), at.map(|_| value));
                    if let Some(at) = at {
                        list.remove(at);
                        list.push(value);
                    }
                }
                1 => {
                    prop_assert_eq!(recent.pop(value.name()), at.map(|at| list.remove(at)));
                }
                _ => {
                    let oldest = (list.len() == capacity).then_some(0);
                    prop_assert_eq!(recent.push(value), at.or(oldest).map(|at| list.remove(at)));
                    list.push(value);
                }
            }
            prop_assert_eq!(recent.len(), list.len());
            let mut known: Vec<u8> = recent.iter().copied().collect();
            known.sort_unstable();
            let mut sorted = list.clone();
            sorted.sort_unstable();
            prop_assert_eq!(known, sorted);
            prop_assert!(list.iter().all(|value| recent.peek(value.name()) == Some(value)));
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn it_is_a_list_in_order_of_use(
            capacity in 1usize..6,
            steps in prop::collection::vec((any::<u8>(), 0u8..12), 0..200),
        ) {
            follows_a_list(capacity, steps)?;
        }
    }
}
