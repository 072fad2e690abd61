//! The daemon under test: its configuration, its process, its operator.

use std::{
    env, fs,
    net::IpAddr,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};
use portcullis::control::{
    api::{BanCheck, Incident, Status},
    client::Client,
};

use super::{
    child::Process,
    patience,
    place::Place,
    terminal::{self, Shown},
};
use crate::demo::BINARY;

const CONFIGURATION: &str = include_str!("gate.toml");

/// The running daemon. The same one, as far as it can tell, after [`Gate::crash`].
pub(super) struct Gate {
    process: Process,
    binary: PathBuf,
    home: PathBuf,
    server: Place,
}

impl Gate {
    /// Starts it and waits until it is ready.
    pub(super) fn start(server: &Place, home: &Path) -> Result<Self> {
        let binary = env::var_os(BINARY).context("the daemon is not built")?;
        let configuration = CONFIGURATION.replace("@HOME@", &home.to_string_lossy());
        fs::write(home.join("portcullis.toml"), configuration).context("failed to write the configuration")?;
        let mut gate = Self {
            process: start(server, Path::new(&binary), home)?,
            binary: binary.into(),
            home: home.to_owned(),
            server: server.clone(),
        };
        gate.wait_until_ready()?;
        Ok(gate)
    }

    /// Ends it as a crash would, and starts it again.
    pub(super) fn crash(&mut self) -> Result<()> {
        self.process.kill();
        self.process = start(&self.server, &self.binary, &self.home)?;
        self.wait_until_ready()
    }

    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }

    pub(super) fn binary(&self) -> &Path {
        &self.binary
    }

    pub(super) fn home(&self) -> &Path {
        &self.home
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.home.join("control.sock")
    }

    /// What the operator types, and sees.
    pub(super) fn operator(&self, arguments: &[&str], colored: bool) -> Result<Shown> {
        let mut command = Command::new(&self.binary);
        command.args(arguments).env("PORTCULLIS_SOCKET", self.socket());
        terminal::run(&mut command, colored)
    }

    pub(super) fn status(&self) -> Result<Status> {
        Ok(self.client().status()?)
    }

    pub(super) fn check(&self, address: impl Into<IpAddr>) -> Result<BanCheck> {
        Ok(self.client().check(address.into())?)
    }

    pub(super) fn why(&self, reference: &str) -> Result<Incident> {
        Ok(self.client().incident(reference)?)
    }

    /// Packets that had this outcome at the card.
    pub(super) fn packets(&self, reason: &str) -> Result<u64> {
        let layer = self.status()?.packet_layer.context("the packet layer is off")?;
        let count = layer.packets.iter().find(|count| count.reason == reason);
        count
            .map(|count| count.packets)
            .with_context(|| format!("no counter is named {reason}"))
    }

    /// The end of what it logged.
    pub(super) fn last_words(&self) -> String {
        const LINES: usize = 15;
        let log = fs::read_to_string(log(&self.home)).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LINES)..].join("\n")
    }

    fn client(&self) -> Client {
        Client::new(self.socket())
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        patience::until("the start of the gate", || {
            if self.process.has_ended() {
                bail!("the gate ended:\n{}", self.last_words());
            }
            Ok(self.client().status().ok())
        })?;
        Ok(())
    }
}

fn start(server: &Place, binary: &Path, home: &Path) -> Result<Process> {
    let mut daemon = server.command(binary);
    daemon.args(["run", "--config"]).arg(home.join("portcullis.toml"));
    Process::start(&mut daemon, &log(home))
}

fn log(home: &Path) -> PathBuf {
    home.join("gate.log")
}
