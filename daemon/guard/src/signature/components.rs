//! The names of covered components: a few, in the client's order.

use std::borrow::Cow;

/// Names that fit without memory of their own; our own clients send six at most.
const INLINE: usize = 8;

/// Component names, in order.
#[derive(Clone, Debug, Default)]
pub struct Components<'a> {
    inline: [&'a str; INLINE],
    used: usize,
    /// All names, where there are too many or some are not borrowed.
    spilled: Vec<Cow<'a, str>>,
}

impl<'a> Components<'a> {
    /// Adds names; `None` if there is no room.
    pub(super) fn push_all(&mut self, names: &[&'a str]) -> Option<()> {
        let used = self.used + names.len();
        self.inline.get_mut(self.used..used)?.copy_from_slice(names);
        self.used = used;
        Some(())
    }

    /// The names in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> + Clone {
        let inline = self.inline().iter().copied();
        inline.chain(self.spilled.iter().map(AsRef::as_ref))
    }

    /// Whether they are these, in this order, and were all borrowed.
    pub(super) fn are(&self, names: &[&str]) -> bool {
        self.spilled.is_empty() && self.inline() == names
    }

    /// Whether a name is among them.
    #[must_use]
    pub fn covers(&self, name: &str) -> bool {
        self.inline().contains(&name) || self.spilled.iter().any(|spilled| spilled == name)
    }

    /// Whether one is there twice.
    #[must_use]
    pub fn has_double(&self) -> bool {
        // They are all in one of the two.
        has_double(self.inline()) || has_double(&self.spilled)
    }

    fn inline(&self) -> &[&'a str] {
        &self.inline[..self.used]
    }
}

fn has_double(names: &[impl PartialEq]) -> bool {
    let is_double = |(index, name)| names[..index].contains(name);
    names.iter().enumerate().any(is_double)
}

impl<'a> FromIterator<Cow<'a, str>> for Components<'a> {
    fn from_iter<I: IntoIterator<Item = Cow<'a, str>>>(names: I) -> Self {
        Self {
            spilled: names.into_iter().collect(),
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_order() {
        let mut few = Components::default();
        let names: Vec<String> = (0..INLINE).map(|n| n.to_string()).collect();
        assert!(names.iter().all(|name| few.push_all(&[name]).is_some()) && few.push_all(&["more"]).is_none());
        assert_eq!(few.iter().collect::<Vec<_>>(), names);
        assert!(few.covers("7") && !few.covers("more") && !few.has_double());
        let doubled: Components<'_> = ["a", "b", "a"].map(Cow::Borrowed).into_iter().collect();
        assert!(doubled.has_double());
        assert_eq!(doubled.iter().collect::<Vec<_>>(), ["a", "b", "a"]);
    }
}
