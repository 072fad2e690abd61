//! Being told to end in the middle of something: it is said what became of that.

use std::io;
use std::process;
use std::thread;

use nix::sys::signal::{SigSet, Signal};

use super::exit::ExitStatus;

/// Has the first signal that ends a process by default do this instead, and end it then. To be called before other threads
/// start, which must not take it.
pub(super) fn when_told(last_word: impl FnOnce(Signal) -> ExitStatus + Send + 'static) -> io::Result<()> {
    let mut ends = SigSet::empty();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT] {
        ends.add(signal);
    }
    ends.thread_block()?;
    thread::spawn(move || {
        let Ok(signal) = ends.wait() else { return };
        process::exit(last_word(signal).code().into());
    });
    Ok(())
}
