//! The application behind the gate: a small real shop in Express, which knows nothing of signatures.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::Path,
};

use anyhow::{Result, bail};

use super::{child::Process, patience, place::Place};
use crate::paths;

/// On the server's loopback, where only the gate can reach it. The port is named in `gate.toml` too.
const ADDRESS: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 3000);

/// The running application.
pub(super) struct Backend {
    _process: Process,
}

impl Backend {
    /// Starts it and waits until it answers.
    pub(super) fn start(server: &Place, home: &Path) -> Result<Self> {
        let log = home.join("application.log");
        let mut node = server.command("node");
        node.arg(paths::root().join("tests/browser/backend.mjs"))
            .env("PORT", ADDRESS.1.to_string());
        let mut process = Process::start(&mut node, &log)?;
        patience::until("the application", || {
            if process.has_ended() {
                bail!("the application ended: {}", std::fs::read_to_string(&log)?.trim());
            }
            let connection = server.run(|| TcpStream::connect(SocketAddr::from(ADDRESS)));
            Ok(connection.ok())
        })?;
        Ok(Self { _process: process })
    }
}
