//! Sessions in the order of their use, one after another in memory: no allocation and no pointer for each. They lie in
//! pieces, so that growing copies nothing while a shard is locked.
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
/// Slots of one piece.
const PIECE: usize = 64;

/// At most so many; the one idle for longest goes first.
pub(super) struct Recent<T> {
    slots: Slots<T>,
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

/// A vector in pieces.
struct Slots<T>(Vec<Vec<Slot<T>>>);

impl<T> Slots<T> {
    fn len(&self) -> usize {
        let last = self.0.last().map_or(PIECE, Vec::len);
        (self.0.len() * PIECE + last).saturating_sub(PIECE)
    }

    fn iter(&self) -> impl Iterator<Item = &Slot<T>> {
        self.0.iter().flatten()
    }

    fn get(&self, place: u32) -> Option<&Slot<T>> {
        let place = place as usize;
        self.0.get(place / PIECE)?.get(place % PIECE)
    }

    fn get_mut(&mut self, place: u32) -> Option<&mut Slot<T>> {
        let place = place as usize;
        self.0.get_mut(place / PIECE)?.get_mut(place % PIECE)
    }

    fn push(&mut self, slot: Slot<T>) {
        match self.0.last_mut().filter(|piece| piece.len() < PIECE) {
            Some(piece) => piece.push(slot),
            None => {
                let mut piece = Vec::with_capacity(PIECE);
                piece.push(slot);
                self.0.push(piece);
            }
        }
    }

    /// Takes a slot out; the last one comes into its place.
    fn swap_remove(&mut self, place: u32) -> Option<Slot<T>> {
        let last = self.0.last_mut()?.pop()?;
        if self.0.last().is_some_and(Vec::is_empty) {
            self.0.pop();
        }
        Some(match self.get_mut(place) {
            Some(slot) => std::mem::replace(slot, last),
            None => last,
        })
    }
}

impl<T: Named> Recent<T> {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            slots: Slots(Vec::new()),
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
        self.slots.get(place).map(|slot| &slot.value)
    }

    pub(super) fn peek_mut(&mut self, name: SessionId) -> Option<&mut T> {
        let place = self.place(name)?;
        self.slots.get_mut(place).map(|slot| &mut slot.value)
    }

    /// Takes another order for that of use: the largest key is the newest.
    pub(super) fn sort_by_key<K: Ord>(&mut self, key: impl Fn(&T) -> K) {
        let places = (0u32..).zip(self.slots.iter());
        let mut order: Vec<(K, u32)> = places.map(|(place, slot)| (key(&slot.value), place)).collect();
        order.sort_unstable();
        (self.newest, self.oldest) = (NONE, NONE);
        order.into_iter().for_each(|(_, place)| self.link_newest(place));
    }

    /// The value of this name, marked as just used.
    pub(super) fn get(&mut self, name: SessionId) -> Option<&mut T> {
        let place = self.place(name)?;
        if place != self.newest {
            self.unlink(place);
            self.link_newest(place);
        }
        self.slots.get_mut(place).map(|slot| &mut slot.value)
    }

    /// Keeps a value as just used, and returns the one that had to go for it: the one with the same name, or the one
    /// idle for longest.
    pub(super) fn push(&mut self, value: T) -> Option<T> {
        let same = self.pop(value.name());
        let gone = match same {
            None if self.slots.len() >= self.capacity => self.slots.get(self.oldest).map(|slot| slot.value.name()),
            None | Some(_) => None,
        };
        let pushed_out = same.or_else(|| self.pop(gone?));
        let place = u32::try_from(self.slots.len()).unwrap_or(NONE);
        let slots = &self.slots;
        let hash = hash_of(value.name());
        self.index.insert_unique(hash, place, |place| {
            slots.get(*place).map_or(0, |slot| hash_of(slot.value.name()))
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
        let removed = self.slots.swap_remove(place)?;
        if place != last {
            self.moved(last, place);
        }
        Some(removed.value)
    }

    fn moved(&mut self, from: u32, to: u32) {
        let Some((name, newer, older)) = self
            .slots
            .get(to)
            .map(|slot| (slot.value.name(), slot.newer, slot.older))
        else {
            return;
        };
        if let Some(place) = self.index.find_mut(hash_of(name), |place| *place == from) {
            *place = to;
        }
        match self.slots.get_mut(newer) {
            Some(newer) => newer.older = to,
            None => self.newest = to,
        }
        match self.slots.get_mut(older) {
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
        let is_it = |place: &u32| self.slots.get(*place).is_some_and(|slot| slot.value.name() == name);
        self.index.find(hash_of(name), is_it).copied()
    }

    fn unlink(&mut self, place: u32) {
        let Some((newer, older)) = self.slots.get(place).map(|slot| (slot.newer, slot.older)) else {
            return;
        };
        match self.slots.get_mut(newer) {
            Some(newer) => newer.older = older,
            None => self.newest = older,
        }
        match self.slots.get_mut(older) {
            Some(older) => older.newer = newer,
            None => self.oldest = newer,
        }
    }

    fn link_newest(&mut self, place: u32) {
        let before = self.newest;
        if let Some(slot) = self.slots.get_mut(place) {
            (slot.newer, slot.older) = (NONE, before);
        }
        match self.slots.get_mut(before) {
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

        #[test]
        fn another_order_is_that_of_use_from_then_on(values in prop::collection::hash_set(any::<u8>(), 1..100)) {
            let mut recent = Recent::new(values.len());
            values.iter().for_each(|value| _ = recent.push(*value));
            recent.sort_by_key(|value| *value);
            let mut sorted: Vec<u8> = values.iter().copied().collect();
            sorted.sort_unstable();
            for expected in sorted {
                let oldest = recent.slots.get(recent.oldest).map(|slot| slot.value);
                prop_assert_eq!(oldest, Some(expected));
                prop_assert_eq!(recent.pop(expected.name()), Some(expected));
            }
        }

        #[test]
        fn over_several_pieces_too(steps in prop::collection::vec((any::<u8>(), any::<u8>()), 300..900)) {
            follows_a_list(200, steps)?;
        }
    }
}
