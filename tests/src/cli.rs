//! Running the command line, and writing down what it did: exit status, standard output, standard error.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::binary;
use crate::canned::{Canned, CannedServer};

/// A place to run commands in, with or without a daemon.
#[derive(Debug)]
pub struct Cli {
    home: TempDir,
    control: Option<CannedServer>,
}

impl Cli {
    /// No daemon runs.
    ///
    /// # Errors
    /// If there is no room for temporary files.
    pub fn alone() -> Result<Self> {
        Ok(Self {
            home: tempfile::tempdir().context("failed to make a temporary directory")?,
            control: None,
        })
    }

    /// A daemon that answers so.
    ///
    /// # Errors
    /// If its socket cannot be made.
    pub fn with(answers: &[Canned]) -> Result<Self> {
        let mut cli = Self::alone()?;
        cli.control = Some(CannedServer::on_socket(&cli.socket(), answers)?);
        Ok(cli)
    }

    /// The directory that is shown as `[HOME]`.
    #[must_use]
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// The control socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.home().join("control.sock")
    }

    /// What the daemon was asked.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        self.control.as_ref().map(CannedServer::seen).unwrap_or_default()
    }

    /// A command with an empty environment but for the control socket.
    ///
    /// # Errors
    /// If there is no binary.
    pub fn command(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = Command::new(binary::portcullis()?);
        command
            .args(arguments)
            .current_dir(self.home())
            .env_clear()
            .env("PORTCULLIS_SOCKET", self.socket());
        Ok(command)
    }

    /// Runs it and writes down what it did.
    ///
    /// # Errors
    /// If it cannot be run.
    pub fn run(&self, arguments: &[&str]) -> Result<String> {
        let output = self.command(arguments)?.output().context("failed to run portcullis")?;
        Ok(self.written_down(&output))
    }

    /// What a process did, with the parts that are empty left out.
    #[must_use]
    pub fn written_down(&self, output: &Output) -> String {
        let status = output
            .status
            .code()
            .map_or_else(|| output.status.to_string(), |code| code.to_string());
        let mut text = format!("exit status: {status}\n");
        for (name, bytes) in [("stdout", &output.stdout), ("stderr", &output.stderr)] {
            if !bytes.is_empty() {
                text += &format!("----- {name}\n{}", String::from_utf8_lossy(bytes));
            }
        }
        text.replace(&*self.home().to_string_lossy(), "[HOME]")
    }
}
