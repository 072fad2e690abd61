//! A place in the network: a namespace with one address that matters.

use std::{
    ffi::OsStr,
    fs::File,
    io,
    net::{Ipv4Addr, TcpStream},
    path::PathBuf,
    process::Command,
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow};
use nix::sched::{CloneFlags, setns};

use super::{packets, world::GATE};

/// How long a connection may take that should come about.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where somebody or something is. A name for it; the namespace belongs to the world.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) who: &'static str,
    pub(super) namespace: String,
    pub(super) address: Ipv4Addr,
}

impl Place {
    /// The file that stands for its network.
    pub(super) fn network(&self) -> PathBuf {
        PathBuf::from("/run/netns").join(&self.namespace)
    }

    /// Runs `work` on a thread that lives here. Sockets that it makes stay here wherever they are used.
    pub(super) fn run<T: Send>(&self, work: impl FnOnce() -> io::Result<T> + Send) -> Result<T> {
        let enter = || -> io::Result<T> {
            setns(File::open(self.network())?, CloneFlags::CLONE_NEWNET)?;
            work()
        };
        let outcome = thread::scope(|scope| scope.spawn(enter).join());
        outcome
            .map_err(|_| anyhow!("a thread at the {} panicked", self.who))?
            .with_context(|| format!("the {} failed", self.who))
    }

    /// A program that runs here. Not by `ip netns exec`, which would hide the BPF file system from it.
    pub(super) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut network = std::ffi::OsString::from("--net=");
        network.push(self.network());
        let mut command = Command::new("nsenter");
        command.arg(network).arg("--").arg(program);
        command
    }

    /// A connection to the gate, from any port.
    pub(super) fn connect(&self) -> Result<TcpStream> {
        self.run(|| packets::connect(None, GATE, PATIENCE))
    }
}
