//! Who changed what.

use std::fmt::Display;
use std::io;

use tokio::net::UnixStream;

/// The process at the other end, as the kernel vouches for it (`SO_PEERCRED`).
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer {
    uid: u32,
    pid: Option<i32>,
}

impl Peer {
    pub(super) fn of(stream: &UnixStream) -> io::Result<Self> {
        let credentials = stream.peer_cred()?;
        Ok(Self {
            uid: credentials.uid(),
            pid: credentials.pid(),
        })
    }

    /// Logs a change. What an operator typed is logged in its debug form, which escapes control characters.
    pub(super) fn did(self, action: &'static str, object: &impl Display, reason: &str) {
        tracing::info!(target: "portcullis::audit", uid = self.uid, pid = self.pid, action, %object, ?reason, "operator");
    }
}
