//! Calls that rules make wait: until they are no longer too early, or until a call is answered that they require.
//!
//! Each costs a timer of its own and the memory of its body, so there are only so many. Those beyond are judged as if
//! their time were up.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use portcullis_guard::session::SessionId;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// Calls that are held at once.
const MOST: usize = 1024;
/// Calls of one session that are held at once: a browser sends six.
const MOST_OF_ONE: usize = 8;

/// Whoever waits, by session.
#[derive(Debug, Default)]
pub struct Waiting(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    sessions: HashMap<SessionId, Bell>,
    all: usize,
}

/// What rings when a call of a session was answered.
#[derive(Debug, Default)]
struct Bell {
    waiting: usize,
    rings: Arc<Notify>,
}

/// A place among those who wait; given back when it is dropped.
#[derive(Debug)]
pub struct Place<'a> {
    waiting: &'a Waiting,
    session: SessionId,
    bell: Arc<Notify>,
}

impl Place<'_> {
    /// Rings at the next answer of the session. It must be polled or enabled before the rules are asked, or an answer in
    /// between would go unheard.
    pub fn next_answer(&self) -> Notified<'_> {
        self.bell.notified()
    }
}

impl Waiting {
    /// A call of a session was answered.
    pub fn ring(&self, session: SessionId) {
        let table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bell) = table.sessions.get(&session) {
            bell.rings.notify_waiters();
        }
    }

    /// Takes a place for a call of a session. `None` if all are taken.
    pub fn enter(&self, session: SessionId) -> Option<Place<'_>> {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if table.all >= MOST {
            return None;
        }
        let bell = table.sessions.entry(session).or_default();
        if bell.waiting >= MOST_OF_ONE {
            return None;
        }
        bell.waiting += 1;
        let bell = Arc::clone(&bell.rings);
        table.all += 1;
        Some(Place {
            waiting: self,
            session,
            bell,
        })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut table = self.waiting.0.lock().unwrap_or_else(PoisonError::into_inner);
        table.all -= 1;
        if let Some(bell) = table.sessions.get_mut(&self.session) {
            bell.waiting -= 1;
            if bell.waiting == 0 {
                table.sessions.remove(&self.session);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_and_given_back() {
        let waiting = Waiting::default();
        let session = |number: usize| SessionId([u8::try_from(number % 256).unwrap(); 12]);
        let mine: Vec<_> = (0..MOST_OF_ONE).map(|_| waiting.enter(session(1)).unwrap()).collect();
        assert!(waiting.enter(session(1)).is_none());
        let others: Vec<_> = (0..MOST - MOST_OF_ONE)
            .map(|number| waiting.enter(session(2 + number / MOST_OF_ONE)).unwrap())
            .collect();
        assert!(waiting.enter(session(250)).is_none());
        drop((mine, others));
        let table = waiting.0.lock().unwrap();
        assert_eq!((table.all, table.sessions.len()), (0, 0));
    }
}
