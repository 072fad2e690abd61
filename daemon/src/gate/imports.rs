//! Imports under way, for whoever waits for one.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// What an import is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Reading the list.
    Reading,
    /// Banning what it names.
    Banning,
    /// Ending what it names no more.
    LettingGo,
    /// Waiting for the disk.
    Writing,
}

/// An import under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnderWay {
    /// The process that asked for it.
    pub pid: Option<i32>,
    /// The list's name.
    pub list: Option<String>,
    /// What it is about.
    pub phase: Phase,
    /// Entries that are banned.
    pub done: usize,
    /// Entries of the list, as far as it is read.
    pub entries: usize,
    number: u64,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Imports(Mutex<(u64, Vec<UnderWay>)>);

/// Tells how one goes. Dropping it ends it.
#[derive(Debug)]
pub struct Teller<'a> {
    imports: &'a Imports,
    number: u64,
}

impl Imports {
    /// Begins one.
    #[must_use]
    pub fn begin(&self, pid: Option<i32>, list: Option<String>) -> Teller<'_> {
        let mut held = self.held();
        held.0 += 1;
        let number = held.0;
        held.1.push(UnderWay {
            pid,
            list,
            phase: Phase::Reading,
            done: 0,
            entries: 0,
            number,
        });
        Teller { imports: self, number }
    }

    /// Those of this moment.
    #[must_use]
    pub fn list(&self) -> Vec<UnderWay> {
        self.held().1.clone()
    }

    fn held(&self) -> MutexGuard<'_, (u64, Vec<UnderWay>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Teller<'_> {
    /// Where it is.
    pub fn tell(&self, phase: Phase, done: usize, entries: usize) {
        let mut held = self.imports.held();
        for mine in held.1.iter_mut().filter(|import| import.number == self.number) {
            (mine.phase, mine.done, mine.entries) = (phase, done, entries);
        }
    }
}

impl Drop for Teller<'_> {
    fn drop(&mut self) {
        self.imports.held().1.retain(|import| import.number != self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_import_is_there_until_it_ends() {
        let imports = Imports::default();
        let first = imports.begin(Some(7), None);
        let second = imports.begin(None, Some("drop".to_owned()));
        second.tell(Phase::Banning, 1, 2);
        let list = imports.list();
        assert_eq!(list.iter().map(|import| import.done).collect::<Vec<_>>(), [0, 1]);
        drop(first);
        assert_eq!(imports.list()[0].list.as_deref(), Some("drop"));
        drop(second);
        assert!(imports.list().is_empty());
    }
}
