//! What waits to be written, and who waits for it.

use super::{Change, Item};

/// Things that may wait twice before it is looked at.
const ROOM: usize = 8192;
/// Noted things in one transaction at most: a change that comes meanwhile waits until they are on the disk.
const PIECE: usize = 64 << 10;
/// Noted things that are written along with a change.
const BESIDE: usize = 1024;

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
    /// How often somebody wanted everything noted to be written, up to which of these a batch was taken, and is written.
    asked: u64,
    taken: u64,
    settled: u64,
    /// Up to which of these wishes the last attempt failed.
    missed: u64,
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
    /// With it, what was noted before this is written.
    settles: u64,
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

    /// Wants everything that is noted written. The number of the wish.
    pub(super) fn settle(&mut self) -> u64 {
        self.asked += 1;
        self.asked
    }

    /// What became of that wish; `None`: nothing yet.
    pub(super) fn is_settled(&self, ticket: u64) -> Option<Result<(), String>> {
        if self.settled >= ticket {
            return Some(Ok(()));
        }
        let reason = self.failure().filter(|_| self.missed >= ticket);
        reason.map(|reason| Err(reason.to_owned()))
    }

    pub(super) fn is_idle(&self) -> bool {
        !self.closed && self.has_nothing()
    }

    fn has_nothing(&self) -> bool {
        self.changes.is_empty() && self.noted.is_empty() && self.taken == self.asked
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    /// The changes that wait and a piece of what was noted; `None` if nothing waits.
    pub(super) fn take(&mut self) -> Option<Batch> {
        if self.has_nothing() {
            return None;
        }
        let most = if self.changes.is_empty() { PIECE } else { BESIDE };
        let mut noted = self.noted.split_off(self.noted.len().saturating_sub(most));
        noted.sort_unstable();
        noted.dedup();
        self.tidy = self.tidy.min(self.noted.len());
        if self.noted.is_empty() {
            self.noted = Vec::new();
            self.taken = self.asked;
        }
        Some(Batch {
            changes: std::mem::take(&mut self.changes),
            noted,
            up_to: self.submitted,
            settles: self.taken,
        })
    }

    /// Of what was noted, so much is written; the rest is put back.
    pub(super) fn written(&mut self, mut batch: Batch, noted: usize) {
        self.written = self.written.max(batch.up_to);
        self.failed = None;
        let rest = batch.noted.split_off(noted.min(batch.noted.len()));
        if rest.is_empty() {
            self.settled = self.settled.max(batch.settles);
        } else {
            self.note(rest);
            self.taken = self.settled;
        }
    }

    /// Whether somebody waits for a change to be written.
    pub(super) fn has_changes(&self) -> bool {
        !self.changes.is_empty()
    }

    /// Puts it back to be tried again; at the end, there is no again.
    pub(super) fn failed(&mut self, batch: Batch, reason: &str) {
        self.failed = Some((batch.up_to, reason.to_owned()));
        self.missed = self.asked;
        if self.closed {
            return;
        }
        self.note(batch.noted);
        self.taken = self.settled;
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

    #[test]
    fn a_change_does_not_wait_for_all_that_is_noted() {
        let mut queue = Queue::default();
        let host =
            |number: usize| Item::Ban(std::net::IpAddr::from(u32::try_from(number).unwrap().to_be_bytes()).into());
        queue.note((0..PIECE + 10).map(host));
        let wish = queue.settle();
        let first = queue.take().unwrap();
        assert_eq!((first.noted.len(), queue.has_changes()), (PIECE, false));
        let ticket = queue.submit(Change {
            items: vec![host(0)],
            deed: crate::store::tests::deed("ban"),
            undo: crate::store::Undo::Kept,
        });
        assert!(queue.has_changes());
        // It is broken off for the change, and the rest comes later.
        queue.written(first, BESIDE);
        let second = queue.take().unwrap();
        assert_eq!((second.changes.len(), second.noted.len()), (1, BESIDE));
        queue.written(second, BESIDE);
        assert_eq!((queue.outcome(ticket), queue.is_settled(wish)), (Some(Ok(())), None));
        let last = queue.take().unwrap();
        let all = last.noted.len();
        assert_eq!(all, PIECE + 10 - 2 * BESIDE);
        queue.failed(last, "no room");
        assert_eq!(queue.is_settled(wish), Some(Err("no room".to_owned())));
        let again = queue.take().unwrap();
        queue.written(again, all - 1);
        assert_eq!(queue.is_settled(wish), None, "one is put back");
        let rest = queue.take().unwrap();
        queue.written(rest, 1);
        assert_eq!(queue.is_settled(wish), Some(Ok(())));
        assert!(queue.take().is_none() && queue.is_idle());
    }

    #[test]
    fn a_wish_waits_for_what_is_being_written() {
        let mut queue = Queue::default();
        queue.note([Item::Ban("192.0.2.7/32".parse().unwrap())]);
        let under_way = queue.take().unwrap();
        let wish = queue.settle();
        queue.written(under_way, 1);
        assert!(!queue.is_idle() && queue.is_settled(wish).is_none());
        let empty = queue.take().unwrap();
        queue.written(empty, 0);
        assert_eq!(queue.is_settled(wish), Some(Ok(())));
    }
}
