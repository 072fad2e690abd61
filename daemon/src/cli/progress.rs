//! That long work goes on, for people who watch: a line on standard error that is gone when the work is done.

use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use ratatui::crossterm::terminal::window_size;

use super::fit;
use super::printer::Printer;

/// What is faster than this needs no line.
const PATIENCE: Duration = Duration::from_millis(400);
const TICK: Duration = Duration::from_millis(200);
const BAR: usize = 24;
/// A shorter bar shows nothing.
const LEAST_BAR: usize = 8;
/// The width of a terminal that does not tell.
const USUAL: usize = 80;

/// Whether the line stands there. Who holds it is the only one to write to it.
static LINE: Mutex<bool> = Mutex::new(false);

/// How far something is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nobody knows how far.
    Busy(String),
    /// So many of so many.
    Part { done: usize, all: usize, what: String },
}

/// A line on the terminal, if there is one.
pub(super) struct Progress {
    terminal: bool,
    since: Instant,
    drawn: Option<Instant>,
}

impl Progress {
    /// Begins now. Programs, files and whoever wants it quiet get no line.
    pub(super) fn new(printer: Printer) -> Self {
        let has_cursor = std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        Self {
            terminal: printer.talks() && has_cursor && io::stderr().is_terminal(),
            since: Instant::now(),
            drawn: None,
        }
    }

    /// Tells how far it is: a bar, if the end is known.
    pub(super) fn tell(&mut self, step: &Step) {
        let is_due = self
            .drawn
            .map_or(self.since.elapsed() > PATIENCE, |last| last.elapsed() > TICK);
        if self.terminal && is_due {
            self.drawn = Some(Instant::now());
            draw(&line(step, self.since.elapsed(), room()));
        }
    }

    /// Does something beside which another looks how far it is.
    pub(super) fn during<T: Send>(mut self, look: impl Fn() -> Step + Send, work: impl FnOnce() -> T + Send) -> T {
        if !self.terminal {
            return work();
        }
        let (done, finished) = channel::<()>();
        thread::scope(|scope| {
            scope.spawn(move || {
                while finished.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                    if self.since.elapsed() > PATIENCE {
                        self.tell(&look());
                    }
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
        drop(wiped());
    }
}

/// Takes the line away. As long as the result lives, none is drawn.
pub(super) fn wiped() -> MutexGuard<'static, bool> {
    let mut stands = LINE.lock().unwrap_or_else(PoisonError::into_inner);
    if *stands {
        to_terminal("\r\x1b[K");
        *stands = false;
    }
    stands
}

fn draw(line: &str) {
    let mut stands = LINE.lock().unwrap_or_else(PoisonError::into_inner);
    to_terminal(&format!("\r\x1b[K{line}"));
    *stands = true;
}

/// Columns that a line may take: in the last one, some terminals begin the next line.
fn room() -> usize {
    let told = window_size().map_or(0, |size| usize::from(size.columns));
    if told == 0 { USUAL } else { told }.saturating_sub(1)
}

fn line(step: &Step, since: Duration, room: usize) -> String {
    let (done, all, what) = match step {
        Step::Busy(what) => return fit::wording(&[format!("{what}: {} s", since.as_secs()), what.clone()], room),
        Step::Part { done, all: 0, what } => return fit::wording(&[format!("{done} {what}")], room),
        Step::Part { done, all, what } => (*done, *all, what),
    };
    let text = format!("{done} of {all} {what}");
    let percent = format!("{} %", done.min(all) * 100 / all);
    let bar = BAR.min(room.saturating_sub(text.len() + 3));
    if bar < LEAST_BAR {
        return fit::wording(&[text, percent], room);
    }
    let filled = (bar * done.min(all)) / all;
    format!("[{}{}] {text}", "#".repeat(filled), " ".repeat(bar - filled))
}

/// With standard error closed there is nobody left to tell.
fn to_terminal(text: &str) {
    drop(io::stderr().write_all(text.as_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(done: usize, all: usize, room: usize) -> String {
        let what = "bans".to_owned();
        line(&Step::Part { done, all, what }, Duration::ZERO, room)
    }

    #[test]
    fn a_bar_fills() {
        assert_eq!(part(3, 0, 80), "3 bans");
        assert_eq!(
            part(1, 2, 80),
            format!("[{}{}] 1 of 2 bans", "#".repeat(12), " ".repeat(12))
        );
        assert_eq!(part(9, 2, 80), format!("[{}] 9 of 2 bans", "#".repeat(24)));
    }

    #[test]
    fn it_fits() {
        assert_eq!(part(100_000, 200_000, 34), "[#####     ] 100000 of 200000 bans");
        assert_eq!(part(100_000, 200_000, 24), "100000 of 200000 bans");
        assert_eq!(part(100_000, 200_000, 9), "50 %");
        let busy = line(&Step::Busy("reading the list".into()), Duration::from_secs(3), 79);
        assert_eq!(busy, "reading the list: 3 s");
        for room in 0..40 {
            assert!(part(100_000, 200_000, room).chars().count() <= room);
        }
    }
}
