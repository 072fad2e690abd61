//! What goes on over a connection, as far as it tells the idle and the stuck from the busy.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::connections::Connection;

/// Counters of one connection.
#[derive(Debug, Default)]
pub struct Activity {
    /// Requests that are not answered whole.
    busy: AtomicU32,
    /// Answers of which the client holds up the next piece.
    owing: AtomicU32,
    /// Anything that happened.
    progress: AtomicU64,
}

/// A moment to compare with a later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Look(u64);

/// What a connection did between two looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It goes on, or waits for the application.
    Busy,
    /// No request, all the time.
    Idle,
    /// The client takes nothing of what it asked for.
    Stuck,
}

impl Activity {
    pub(super) fn look(&self) -> Look {
        Look(self.progress.load(Ordering::Relaxed))
    }

    pub(super) fn since(&self, earlier: Look) -> State {
        if self.look() != earlier {
            State::Busy
        } else if self.busy.load(Ordering::Relaxed) == 0 {
            State::Idle
        } else if self.owing.load(Ordering::Relaxed) > 0 {
            State::Stuck
        } else {
            State::Busy
        }
    }

    fn note(&self) {
        self.progress.fetch_add(1, Ordering::Relaxed);
    }
}

/// One request that is going on; over when dropped.
pub struct Underway {
    connection: Arc<Connection>,
    owes: bool,
}

impl Underway {
    /// Begins.
    #[must_use]
    pub fn over(connection: Arc<Connection>) -> Self {
        connection.activity.busy.fetch_add(1, Ordering::Relaxed);
        connection.activity.note();
        Self {
            connection,
            owes: false,
        }
    }

    /// The client was given a piece of the answer, and must take it before it gets more.
    pub fn gave(&mut self) {
        self.set(true);
    }

    /// The client wants more.
    pub fn asked(&mut self) {
        self.set(false);
    }

    fn set(&mut self, owes: bool) {
        let activity = &self.connection.activity;
        activity.note();
        match (self.owes, owes) {
            (false, true) => _ = activity.owing.fetch_add(1, Ordering::Relaxed),
            (true, false) => _ = activity.owing.fetch_sub(1, Ordering::Relaxed),
            (false, false) | (true, true) => {}
        }
        self.owes = owes;
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.set(false);
        self.connection.activity.busy.fetch_sub(1, Ordering::Relaxed);
    }
}
