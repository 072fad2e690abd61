//! A table that clients fill, bounded: the entry that was silent for longest is forgotten. It keeps in mind which ones
//! changed, for whoever writes them down.

use std::hash::Hash;
use std::num::NonZeroUsize;

use lru::LruCache;

use crate::changes::{Changed, Changes};

/// See the module.
pub(crate) struct Remembered<K: Hash + Eq, V> {
    entries: LruCache<K, Entry<V>>,
    changes: Changes<K>,
}

#[derive(Default)]
struct Entry<V> {
    value: V,
    /// It changed, and whoever writes it down is told so.
    is_noted: bool,
}

impl<K: Hash + Eq + Copy, V: Default> Remembered<K, V> {
    /// Room for `capacity` entries, at least one.
    pub(crate) fn new(capacity: usize) -> Self {
        let capacity = NonZeroUsize::new(capacity).unwrap_or(NonZeroUsize::MIN);
        Self {
            entries: LruCache::new(capacity),
            // Those that are there, and as many that are gone.
            changes: Changes::new(2 * capacity.get()),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// An entry as it is, not marked as used.
    pub(crate) fn peek(&self, key: &K) -> Option<&V> {
        self.entries.peek(key).map(|entry| &entry.value)
    }

    /// An entry, marked as just used and about to change; a new one if it is not there.
    pub(crate) fn open(&mut self, key: K) -> &mut V {
        if self.is_full()
            && !self.entries.contains(&key)
            && let Some((gone, _)) = self.entries.pop_lru()
        {
            self.changes.note(gone);
        }
        let entry = self.entries.get_or_insert_mut(key, Entry::default);
        if !entry.is_noted {
            entry.is_noted = true;
            self.changes.note(key);
        }
        &mut entry.value
    }

    /// The same, if it is there.
    pub(crate) fn get(&mut self, key: K) -> Option<&mut V> {
        self.entries.contains(&key).then(|| self.open(key))
    }

    /// Forgets an entry.
    pub(crate) fn pop(&mut self, key: &K) {
        if self.entries.pop(key).is_some() {
            self.changes.note(*key);
        }
    }

    /// What changed since the last call.
    pub(crate) fn take_changed(&mut self) -> Changed<K> {
        self.changes.take()
    }

    /// Everything that is there.
    pub(crate) fn names(&self) -> Vec<K> {
        self.entries.iter().map(|(key, _)| *key).collect()
    }

    /// An entry, to be written down. A later change is told again.
    pub(crate) fn keep(&mut self, key: &K) -> Option<&V> {
        let entry = self.entries.peek_mut(key)?;
        entry.is_noted = false;
        Some(&entry.value)
    }

    /// Gives an entry back that was written down; `false` if there is no room.
    pub(crate) fn restore(&mut self, key: K, value: V) -> bool {
        if self.is_full() {
            return false;
        }
        self.entries.push(key, Entry { value, is_noted: false });
        true
    }

    fn is_full(&self) -> bool {
        self.entries.len() >= self.entries.cap().get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_is_told_once_until_it_is_kept() {
        let mut table: Remembered<u8, u8> = Remembered::new(2);
        *table.open(1) = 10;
        *table.open(1) += 1;
        assert_eq!(table.take_changed(), Changed::These(vec![1]));
        *table.open(1) += 1;
        assert_eq!(table.take_changed(), Changed::These(vec![]), "nobody has looked yet");
        assert_eq!(table.keep(&1), Some(&12));
        assert_eq!(table.get(2), None);
        *table.get(1).unwrap() += 1;
        table.open(2);
        table.open(3);
        assert_eq!(
            table.take_changed(),
            Changed::These(vec![1, 2, 1, 3]),
            "one is pushed out"
        );
        table.pop(&2);
        table.pop(&9);
        assert_eq!(table.take_changed(), Changed::These(vec![2]));
        assert_eq!((table.names(), table.peek(&3)), (vec![3], Some(&0)));
    }

    #[test]
    fn what_comes_back_pushes_nobody_out_and_has_not_changed() {
        let mut table: Remembered<u8, u8> = Remembered::new(2);
        assert_eq!([1, 2, 3].map(|key| table.restore(key, key)), [true, true, false]);
        assert_eq!(table.take_changed(), Changed::These(vec![]));
        assert_eq!((table.len(), table.peek(&1)), (2, Some(&1)));
    }
}
