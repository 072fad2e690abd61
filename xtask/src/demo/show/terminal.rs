//! A terminal for a program that looks whether it has one: to show what a person would see.

use std::{
    fs::File,
    io::Read as _,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result};
use nix::pty::openpty;

/// What a program showed.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    pub(super) text: String,
    pub(super) succeeded: bool,
}

/// Runs a program to its end in a terminal of its own.
pub(super) fn run(command: &mut Command, colored: bool) -> Result<Shown> {
    let pty = openpty(None, None).context("failed to make a terminal")?;
    command
        .env("NO_COLOR", if colored { "" } else { "1" })
        .env("TERM", "xterm")
        .stdin(Stdio::null())
        .stdout(pty.slave.try_clone().context("failed to share a terminal")?)
        .stderr(pty.slave);
    let mut child = command
        .spawn()
        .with_context(|| format!("failed to start {command:?}"))?;
    // The command holds the program's end of the terminal, which must close for the reading to end.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let text = read(File::from(pty.master));
    let status = child.wait().context("failed to wait for a program")?;
    Ok(Shown {
        text: text.replace('\r', ""),
        succeeded: status.success(),
    })
}

/// The kernel tells the end of a terminal by an error.
fn read(mut master: File) -> String {
    let mut text = Vec::new();
    let _ = master.read_to_end(&mut text);
    String::from_utf8_lossy(&text).into_owned()
}
