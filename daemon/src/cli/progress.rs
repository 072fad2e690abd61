//! That long work goes on, for people who watch: a line on standard error that is gone when the work is done.

use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// What is faster than this needs no line.
const PATIENCE: Duration = Duration::from_millis(400);
const TICK: Duration = Duration::from_millis(200);
const BAR: usize = 24;

/// A line on the terminal, if there is one.
pub(super) struct Progress {
    terminal: bool,
    since: Instant,
    drawn: Option<Instant>,
}

impl Progress {
    /// Begins now. Programs and files get no line.
    pub(super) fn new(json: bool) -> Self {
        Self {
            terminal: !json && io::stderr().is_terminal(),
            since: Instant::now(),
            drawn: None,
        }
    }

    /// Tells how far it is: a bar, if the end is known.
    pub(super) fn tell(&mut self, done: usize, all: usize, what: &str) {
        let is_due = self
            .drawn
            .map_or(self.since.elapsed() > PATIENCE, |last| last.elapsed() > TICK);
        if self.terminal && is_due {
            self.drawn = Some(Instant::now());
            to_terminal(&format!("\r\x1b[K{}", line(done, all, what)));
        }
    }

    /// Does something that does not tell how far it is, and shows for how long.
    pub(super) fn during<T: Send>(self, what: &str, work: impl FnOnce() -> T + Send) -> T {
        if !self.terminal {
            return work();
        }
        let (done, finished) = channel::<()>();
        thread::scope(|scope| {
            scope.spawn(move || {
                let mut shown = false;
                while finished.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                    if self.since.elapsed() > PATIENCE {
                        shown = true;
                        to_terminal(&format!("\r\x1b[K{what}: {} s", self.since.elapsed().as_secs()));
                    }
                }
                if shown {
                    to_terminal("\r\x1b[K");
                }
            });
            let outcome = work();
            drop(done);
            outcome
        })
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.drawn.is_some() {
            to_terminal("\r\x1b[K");
        }
    }
}

fn line(done: usize, all: usize, what: &str) -> String {
    if all == 0 {
        return format!("{done} {what}");
    }
    let filled = (BAR * done.min(all)) / all;
    let bar = "#".repeat(filled) + &" ".repeat(BAR - filled);
    format!("[{bar}] {done} of {all} {what}")
}

/// With standard error closed there is nobody left to tell.
fn to_terminal(text: &str) {
    drop(io::stderr().write_all(text.as_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_fills() {
        assert_eq!(line(3, 0, "bans"), "3 bans");
        assert_eq!(
            line(1, 2, "bans"),
            format!("[{}{}] 1 of 2 bans", "#".repeat(12), " ".repeat(12))
        );
        assert_eq!(line(9, 2, "bans"), format!("[{}] 9 of 2 bans", "#".repeat(24)));
    }

    #[test]
    fn work_is_done_whoever_watches() {
        assert_eq!(Progress::new(true).during("adding", || 1 + 1), 2);
    }
}
