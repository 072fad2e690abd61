//! What waits to be written, and who waits for it.

use super::{Change, Item};

/// Things that may wait twice before it is looked at.
const ROOM: usize = 8192;

/// What waits. Bounded by what there is to write down, and by the number of operators.
#[derive(Debug, Default)]
pub(super) struct Queue {
    changes: Vec<Change>,
    /// Some may be there twice; how many are not is known up to a number of them.
    noted: Vec<Item>,
    tidy: usize,
    /// Changes that were submitted, and those of them that are written.
    submitted: u64,
    written: u64,
    /// Up to which change the last attempt failed, and why.
    failed: Option<(u64, String)>,
    closed: bool,
}

/// What goes into one transaction.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// In their order.
    pub(super) changes: Vec<Change>,
    pub(super) noted: Vec<Item>,
    up_to: u64,
}

impl Batch {
    /// How many things it has.
    pub(super) fn len(&self) -> usize {
        self.noted.len() + self.changes.iter().map(|change| change.items.len()).sum::<usize>()
    }
}

impl Queue {
    pub(super) fn note(&mut self, items: impl IntoIterator<Item = Item>) {
        self.noted.extend(items);
        // However often the same things change while the disk does not take them, they wait once.
        if self.noted.len() > 2 * self.tidy + ROOM {
            self.tidy();
        }
    }

    fn tidy(&mut self) {
        self.noted.sort_unstable();
        self.noted.dedup();
        self.tidy = self.noted.len();
    }

    /// The number of the change.
    pub(super) fn submit(&mut self, change: Change) -> u64 {
        self.changes.push(change);
        self.submitted += 1;
        self.submitted
    }

    /// What became of a change; `None`: nothing yet.
    pub(super) fn outcome(&self, ticket: u64) -> Option<Result<(), String>> {
        if self.written >= ticket {
            return Some(Ok(()));
        }
        let failed = self.failed.as_ref().filter(|(up_to, _)| *up_to >= ticket);
        failed.map(|(_, reason)| Err(reason.clone()))
    }

    pub(super) fn is_idle(&self) -> bool {
        !self.closed && self.changes.is_empty() && self.noted.is_empty()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    /// Everything that waits; `None` if nothing does.
    pub(super) fn take(&mut self) -> Option<Batch> {
        if self.changes.is_empty() && self.noted.is_empty() {
            return None;
        }
        self.tidy();
        self.tidy = 0;
        Some(Batch {
            changes: std::mem::take(&mut self.changes),
            noted: std::mem::take(&mut self.noted),
            up_to: self.submitted,
        })
    }

    pub(super) fn written(&mut self, batch: &Batch) {
        self.written = self.written.max(batch.up_to);
        self.failed = None;
    }

    /// Puts it back to be tried again; at the end, there is no again.
    pub(super) fn failed(&mut self, batch: Batch, reason: &str) {
        self.failed = Some((batch.up_to, reason.to_owned()));
        if self.closed {
            return;
        }
        self.note(batch.noted);
        let later = std::mem::replace(&mut self.changes, batch.changes);
        self.changes.extend(later);
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failed.is_some()
    }

    pub(super) fn failure(&self) -> Option<&str> {
        self.failed.as_ref().map(|(_, reason)| reason.as_str())
    }

    pub(super) fn waiting(&self) -> usize {
        self.noted.len() + self.changes.iter().map(|change| change.items.len()).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_things_wait_once() {
        let mut queue = Queue::default();
        let host = |number: u32| Item::Ban(std::net::IpAddr::from(number.to_be_bytes()).into());
        for _ in 0..100 {
            queue.note((0..1000).map(host));
        }
        assert!(queue.waiting() <= 2 * 1000 + ROOM, "{}", queue.waiting());
        assert_eq!(queue.take().unwrap().noted.len(), 1000);
    }
}
