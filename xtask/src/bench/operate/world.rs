//! Where the daemon lives: a network namespace with one guarded interface, and its files on the real disk.

use std::fs;
use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use portcullis_tests::backend::Backend;
use portcullis_tests::daemon::{Daemon, Home, Wanted};
use portcullis_tests::netns::{Namespace, veth};

const SERVER: &str = "10.77.10.1";
const CONFIG: &str = "[packet]\ninterfaces = [\"pco\"]\n";

pub(super) struct World {
    server: Namespace,
    _clients: Namespace,
    backend: Backend,
}

impl World {
    pub(super) fn new() -> Result<Self> {
        let (server, clients) = (Namespace::new("server"), Namespace::new("clients"));
        veth((&server, "pco"), (&clients, "pcc"));
        server.address("pco", &format!("{SERVER}/24"));
        let backend = server.run(|| Backend::start_on(SocketAddr::from(([127, 0, 0, 1], 0))))?;
        Ok(Self {
            server,
            _clients: clients,
            backend,
        })
    }

    /// Starts a daemon that enforces, with files of its own or where an earlier one lived.
    pub(super) fn start(&self, home: Option<Home>) -> Result<Daemon> {
        let enter = format!("--net=/run/netns/{}", self.server.name());
        let wanted = Wanted {
            listen: format!("{SERVER}:0").parse()?,
            wrapper: &["nsenter", &enter],
            ..Wanted::enforcing(self.backend.address(), CONFIG)
        };
        match home {
            Some(home) => Daemon::start_in(home, &wanted),
            None => Daemon::start(&wanted),
        }
    }
}

/// Memory of a process in MB: a line of its `/proc/PID/status`.
pub(super) fn memory(process: u32, line: &str) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).context("the process is gone")?;
    let value = status
        .lines()
        .find_map(|found| found.strip_prefix(line)?.strip_prefix(':'));
    let kilobytes = value.and_then(|value| value.split_whitespace().next()?.parse::<f64>().ok());
    Ok(kilobytes.context("the kernel does not tell")? * 1024.0 / 1e6)
}
