//! What changed since it was last written down: names in a list that is bounded. When it is full, everything counts as
//! changed.

/// What changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed<K> {
    /// These; some may be there twice, and some may be gone by now.
    These(Vec<K>),
    /// More than anybody kept in mind.
    All,
}

/// Keeps in mind what changed.
#[derive(Debug)]
pub(crate) struct Changes<K> {
    names: Vec<K>,
    most: usize,
    is_full: bool,
}

impl<K> Changes<K> {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            names: Vec::new(),
            most,
            is_full: false,
        }
    }

    pub(crate) fn note(&mut self, name: K) {
        if self.is_full {
            return;
        }
        if self.names.len() >= self.most {
            self.is_full = true;
            self.names = Vec::new();
            return;
        }
        self.names.push(name);
    }

    /// What changed since the last call.
    pub(crate) fn take(&mut self) -> Changed<K> {
        let names = std::mem::take(&mut self.names);
        if std::mem::take(&mut self.is_full) {
            Changed::All
        } else {
            Changed::These(names)
        }
    }
}

impl<K> Changed<K> {
    /// Of several parts, the whole.
    pub(crate) fn joined(parts: impl Iterator<Item = Self>) -> Self {
        let mut all = Vec::new();
        for part in parts {
            match part {
                Self::These(names) => all.extend(names),
                Self::All => return Self::All,
            }
        }
        Self::These(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_list_stands_for_everything_until_it_is_taken() {
        let mut changes = Changes::new(2);
        changes.note(1);
        assert_eq!(changes.take(), Changed::These(vec![1]));
        (0..9).for_each(|name| changes.note(name));
        assert_eq!(changes.take(), Changed::All);
        changes.note(4);
        assert_eq!(changes.take(), Changed::These(vec![4]));
    }

    #[test]
    fn one_part_that_lost_count_is_enough() {
        let parts = |last| [Changed::These(vec![1]), last].into_iter();
        assert_eq!(
            Changed::joined(parts(Changed::These(vec![2]))),
            Changed::These(vec![1, 2])
        );
        assert_eq!(Changed::joined(parts(Changed::All)), Changed::All);
    }
}
