//! The command line on a real terminal: what stands on the screen, which keys work, and how it is left behind.

mod progress;
mod tables;
mod top;

use std::process::Command;

use anyhow::Result;
use portcullis_tests::binary;
use portcullis_tests::daemon::Daemon;

/// A command for this daemon.
fn command(daemon: &Daemon, arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new(binary::portcullis()?);
    command.arg("--socket").arg(daemon.control()).args(arguments);
    Ok(command)
}
