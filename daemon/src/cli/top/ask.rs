//! Asking the daemon again and again beside the drawing: one that does not answer must not keep a key from working.

use std::io;
use std::os::fd::AsFd;
use std::process;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;

use crate::control::api::Stats;
use crate::control::client::Client;

/// What happened beside the keyboard.
pub(super) enum News {
    /// An answer.
    Looked(Box<Stats>),
    /// Why there is none.
    Missed(String),
    /// The process was told to end.
    Told(Signal),
}

/// Asks until nobody listens.
pub(super) fn start(client: Client, every: Duration, teller: Sender<News>) {
    thread::spawn(move || {
        loop {
            thread::sleep(every);
            if is_hung_up() {
                // There is nothing left to put in order, and nobody to tell.
                process::exit(0);
            }
            let news = match client.stats() {
                Ok(stats) => News::Looked(Box::new(stats)),
                Err(error) => News::Missed(error.to_string()),
            };
            if teller.send(news).is_err() {
                return;
            }
        }
    });
}

/// Whether the other end of the terminal is gone: what nobody tells who ignores SIGHUP.
fn is_hung_up() -> bool {
    let stdin = io::stdin();
    let mut polled = [PollFd::new(stdin.as_fd(), PollFlags::empty())];
    let asked = poll(&mut polled, PollTimeout::ZERO);
    let seen = polled.iter().filter_map(PollFd::revents);
    asked.is_ok()
        && seen
            .fold(PollFlags::empty(), |all, one| all | one)
            .contains(PollFlags::POLLHUP)
}
