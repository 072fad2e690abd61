//! Who changed what.

use std::fmt::Display;
use std::io;

use nix::unistd::{Uid, User};
use portcullis_guard::time::WallMillis;
use tokio::net::UnixStream;

use crate::store::Deed;

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

    /// The process.
    pub(super) fn pid(self) -> Option<i32> {
        self.pid
    }

    /// The user's name, or else number.
    pub(super) fn name(self) -> String {
        match User::from_uid(Uid::from_raw(self.uid)) {
            Ok(Some(user)) => user.name,
            Ok(None) | Err(_) => format!("uid {}", self.uid),
        }
    }

    /// Logs a change, and returns it for the audit trail. What an operator typed is logged in its debug form, which
    /// escapes control characters.
    pub(super) fn did(self, action: &'static str, object: &impl Display, reason: &str, at: WallMillis) -> Deed {
        tracing::info!(target: "portcullis::audit", uid = self.uid, pid = self.pid, action, %object, ?reason, "operator");
        Deed {
            at,
            uid: self.uid,
            pid: self.pid,
            who: self.name(),
            action: action.to_owned(),
            object: object.to_string(),
            reason: reason.to_owned(),
        }
    }
}
