//! Being told to end: the terminal is put in order first.

use std::io;
use std::os::fd::AsFd;
use std::process;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};

use super::ask::News;

/// How long it may take to put the terminal in order.
const GRACE: Duration = Duration::from_secs(1);

/// Tells of the signals that end a process by default. To be called before other threads start, which must not take them.
pub(super) fn tell(teller: Sender<News>) -> io::Result<()> {
    let mut ends = SigSet::empty();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT] {
        ends.add(signal);
    }
    ends.thread_block()?;
    thread::spawn(move || {
        let Ok(signal) = ends.wait() else { return };
        drop(teller.send(News::Told(signal)));
        thread::sleep(GRACE);
        // Whoever reads a terminal that is gone may never hear of it.
        process::exit(128 + signal as i32);
    });
    Ok(())
}

/// Whether the other end of the terminal is gone: what nobody tells who ignores SIGHUP.
pub(super) fn is_hung_up() -> bool {
    let stdin = io::stdin();
    let mut polled = [PollFd::new(stdin.as_fd(), PollFlags::empty())];
    let asked = poll(&mut polled, PollTimeout::ZERO);
    let seen = polled.iter().filter_map(PollFd::revents);
    asked.is_ok()
        && seen
            .fold(PollFlags::empty(), |all, one| all | one)
            .contains(PollFlags::POLLHUP)
}
