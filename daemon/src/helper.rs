//! The privileged helper: another process of the same program, which keeps what it takes to load and attach the packet
//! program, and does nothing else. `enforcer/wire.rs` says what it is asked.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::{SigHandler, Signal, signal};

use crate::config::{Log, LogFormat};
use crate::enforcer::Helper;
use crate::{confine, telemetry};

/// The hidden subcommand.
pub const SUBCOMMAND: &str = "helper";

/// The command that starts the helper: this very program, even if its file was replaced meanwhile.
#[must_use]
pub fn command(log: &Log) -> Command {
    let format = match log.format {
        // It keeps no socket of the journal, whose service reads its stderr.
        LogFormat::Text | LogFormat::Journal => "text",
        LogFormat::Json => "json",
    };
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0("portcullis")
        .args([SUBCOMMAND, "--log-format", format, "--log-level"])
        .arg(log.level.as_str());
    command
}

/// Whether the daemon ended before this process could be told of its end.
fn is_gone(socket: &OwnedFd) -> bool {
    let mut polled = [PollFd::new(socket.as_fd(), PollFlags::empty())];
    let looked = poll(&mut polled, PollTimeout::ZERO);
    looked.is_ok()
        && polled[0]
            .revents()
            .is_some_and(|seen| seen.contains(PollFlags::POLLHUP))
}

/// Is the helper, until the process that started it is gone.
///
/// # Errors
/// If standard input is no socket of the daemon.
pub fn run(log: &Log) -> Result<()> {
    telemetry::start(log);
    // Nothing but the socket, which is standard input, and the log was meant for us.
    // SAFETY: no descriptor above these was opened by this process.
    if unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, 0_u32) } != 0 {
        return Err(io::Error::last_os_error()).context("failed to close what was inherited");
    }
    // The daemon decides when to stop, not whoever signals both.
    for ignored in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        // SAFETY: no handler runs.
        unsafe { signal(ignored, SigHandler::SigIgn) }.context("failed to ignore a signal")?;
    }
    // As `ps` and `top` show it.
    let _ = prctl::set_name(c"portcullis-help");
    let socket = io::stdin()
        .as_fd()
        .try_clone_to_owned()
        .context("failed to open standard input")?;
    // Loading takes a while: whoever wanted it may be killed meanwhile.
    prctl::set_pdeathsig(Signal::SIGKILL).context("failed to depend on the daemon")?;
    if is_gone(&socket) {
        return Ok(());
    }
    let started = Helper::start(socket, |places| confine::helper(places).map(drop));
    let started = started.context("the daemon cannot be served; this command is not for people")?;
    // From here on its end is the end of the socket, and everything is let go of in order.
    prctl::set_pdeathsig(None).context("failed to depend on the socket")?;
    match started {
        Some(helper) => helper.serve().context("the daemon cannot be served any more"),
        None => Ok(()),
    }
}
