//! What goes on over a connection, as far as it tells the idle and the stuck from the busy.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::connections::Connection;
use super::timer::CoarseTimer;

/// A connection that has not asked for anything yet is looked at less and less often, at last so many steps apart.
const SELDOM: u32 = 16;
/// Requests that a client may give up before they are answered, beside as many as were answered: who only asks and
/// resets makes the application work for nothing (CVE-2023-44487).
const ABANDONED: u32 = 100;

/// Counters of one connection.
#[derive(Debug, Default)]
pub struct Activity {
    /// Requests that are not answered whole.
    busy: AtomicU32,
    /// Answers of which the client holds up the next piece.
    owing: AtomicU32,
    /// Anything that happened.
    progress: AtomicU64,
    /// Requests that were answered whole.
    answered: AtomicU32,
    /// Those that the client gave up before.
    abandoned: AtomicU32,
    /// HTTP/1.1: a part of the body of the last request was not read.
    has_rest: AtomicBool,
    /// The client does not take what is to be written.
    is_clogged: AtomicBool,
    /// It did not for too long.
    is_given_up: AtomicBool,
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

/// Why nothing goes on over a connection of HTTP/1.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quiet {
    /// What was asked for is answered, and nothing of it is left to be read or written.
    Rest,
    /// No request has come, whole or at all, for too long.
    Late,
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

    /// Whether the client gives up so many of its requests that it makes them for that.
    pub(super) fn is_flood(&self) -> bool {
        let allowed = self.answered.load(Ordering::Relaxed).saturating_add(ABANDONED);
        self.abandoned.load(Ordering::Relaxed) > allowed
    }

    /// HTTP/1.1: whether a request has a body that is still to be read.
    pub fn owe_body(&self, has_body: bool) {
        self.has_rest.store(has_body, Ordering::Relaxed);
    }

    /// It was read to its end.
    pub fn body_came(&self) {
        self.owe_body(false);
    }

    pub(super) fn has_rest_of_body(&self) -> bool {
        self.has_rest.load(Ordering::Relaxed)
    }

    pub(super) fn clog(&self, is_clogged: bool) {
        self.is_clogged.store(is_clogged, Ordering::Relaxed);
    }

    pub(super) fn give_up(&self) {
        self.is_given_up.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_given_up(&self) -> bool {
        self.is_given_up.load(Ordering::Relaxed)
    }

    /// HTTP/1.1: waits until nothing goes on. It may rest when a request was answered since `start` and nothing has happened
    /// for `silence`; without a request for `patience` it is over.
    pub(super) async fn quiet(&self, start: Look, timer: &CoarseTimer, silence: Duration, patience: Duration) -> Quiet {
        let (mut before, mut since, mut steps) = (start, Instant::now(), 1);
        loop {
            let left = patience.saturating_sub(since.elapsed());
            timer.after(left.min(silence * steps)).await;
            let now = self.look();
            let is_at_work = self.busy.load(Ordering::Relaxed) > 0 || self.is_clogged.load(Ordering::Relaxed);
            if now != before || is_at_work {
                since = Instant::now();
            } else if since.elapsed() >= patience {
                return Quiet::Late;
            } else if now != start && !self.has_rest_of_body() {
                return Quiet::Rest;
            }
            steps = if now == start { (steps * 2).min(SELDOM) } else { 1 };
            before = now;
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
    is_answered: bool,
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
            is_answered: false,
        }
    }

    /// What it goes on over.
    #[must_use]
    pub fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// The whole answer is on its way, or was found to have no end.
    pub fn answered(&mut self) {
        self.is_answered = true;
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
        let activity = &self.connection.activity;
        let counter = if self.is_answered {
            &activity.answered
        } else {
            &activity.abandoned
        };
        counter.fetch_add(1, Ordering::Relaxed);
        activity.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_answered_before_anybody_waits_counts() {
        const MOMENT: Duration = Duration::from_millis(1);
        let timer = CoarseTimer::new();
        tokio::spawn(timer.clone().run());
        let activity = Activity::default();
        let start = activity.look();
        let quiet = || activity.quiet(start, &timer, MOMENT, Duration::from_secs(60));
        assert!(tokio::time::timeout(Duration::from_millis(600), quiet()).await.is_err());
        activity.note();
        assert_eq!(quiet().await, Quiet::Rest);
    }

    #[tokio::test]
    async fn who_asks_for_nothing_is_late_but_not_who_waits_for_an_answer() {
        const PATIENCE: Duration = Duration::from_millis(10);
        let timer = CoarseTimer::new();
        tokio::spawn(timer.clone().run());
        let activity = Activity::default();
        let quiet = || activity.quiet(activity.look(), &timer, PATIENCE * 2, PATIENCE);
        assert_eq!(quiet().await, Quiet::Late);
        activity.busy.store(1, Ordering::Relaxed);
        assert!(tokio::time::timeout(Duration::from_millis(600), quiet()).await.is_err());
        activity.busy.store(0, Ordering::Relaxed);
        activity.clog(true);
        assert!(tokio::time::timeout(Duration::from_millis(600), quiet()).await.is_err());
    }
}
