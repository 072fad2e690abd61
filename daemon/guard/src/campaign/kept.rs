//! Clients as they are written down. Patterns are not: they are forgotten within minutes anyway.

use std::sync::atomic::Ordering;

use serde::{Deserialize, Serialize};

use super::{Campaigns, Client, ClientMark};
use crate::changes::Changed;
use crate::request::Source;

/// What is known of a client, as it is written down. Times are those of the guard's clock.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KeptClient(ClientMark, Client);

impl ClientMark {
    /// Its address, and the hash of its software.
    #[must_use]
    pub fn parts(self) -> (Source, u64) {
        (self.source, self.software)
    }
}

impl Campaigns {
    /// What changed since the last call.
    pub(crate) fn take_changed(&self) -> Changed<ClientMark> {
        self.clients().take_changed()
    }

    /// Every client that is remembered.
    pub(crate) fn names(&self) -> Vec<ClientMark> {
        self.clients().names()
    }

    /// A client; `None` if it is not remembered. A later change is told again.
    pub(crate) fn keep(&self, mark: ClientMark) -> Option<KeptClient> {
        let known = self.clients().keep(&mark).copied()?;
        Some(KeptClient(mark, known))
    }

    /// Gives a client back; `false` if there is no room.
    pub(crate) fn restore(&self, kept: &KeptClient) -> bool {
        let KeptClient(mark, known) = *kept;
        if let Some((until, _)) = known.condemned {
            self.last_end.fetch_max(until.0, Ordering::Relaxed);
        }
        self.clients().restore(mark, known)
    }
}
