//! Carries the program's debug lines into the daemon's log.

use std::{io, os::fd::AsFd, thread};

use aya::Ebpf;
use aya_log::EbpfLogger;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::EnforcerError;

/// Starts the thread that follows the program's log until the process ends.
pub(super) fn follow(program: &mut Ebpf) -> Result<(), EnforcerError> {
    let failed = |reason: String| EnforcerError::Load {
        reason: format!("no debug log: {reason}"),
    };
    let logger = EbpfLogger::init_with_logger(program, ToTracing).map_err(|error| failed(error.to_string()))?;
    thread::Builder::new()
        .name("xdp-debug-log".to_owned())
        .spawn(move || forward(logger))
        .map_err(|error| failed(error.to_string()))?;
    Ok(())
}

fn forward(mut logger: EbpfLogger<ToTracing>) {
    loop {
        let mut readable = [PollFd::new(logger.as_fd(), PollFlags::POLLIN)];
        match poll(&mut readable, PollTimeout::NONE) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => logger.flush(),
            Err(error) => {
                let error = io::Error::from(error);
                tracing::warn!(%error, "the debug log of the packet program ends");
                return;
            }
        }
    }
}

/// Everything that the program logs is at debug level, whatever it claims.
struct ToTracing;

impl log::Log for ToTracing {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        tracing::debug!(target: "portcullis::xdp", "{}", record.args());
    }

    fn flush(&self) {}
}
