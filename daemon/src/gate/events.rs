//! What happens, for whoever follows it. It costs nothing while nobody does, and nobody who reads slowly is waited for:
//! he is told how much he missed.

use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use portcullis_guard::blacklist::Origin;
use portcullis_guard::effect::{Effect, KernelBan};
use portcullis_guard::incident::Incident;
use portcullis_guard::session::SessionId;
use portcullis_guard::time::WallMillis;
use tokio::sync::broadcast::{self, Receiver, Sender};

use crate::store::Deed;

/// Events that wait for the slowest reader, before he misses some.
pub const WAITING: usize = 1024;

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// When.
    pub at: WallMillis,
    /// What.
    pub what: What,
}

/// What can happen.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// A network is banned.
    Ban {
        /// Which.
        network: IpNet,
        /// For how long.
        ttl: Duration,
        /// By whose word.
        origin: Origin,
    },
    /// A ban was lifted. Those that end by themselves are not told.
    Unban(IpNet),
    /// A network is never banned from here on.
    Allow(IpNet),
    /// It may be banned again.
    Disallow(IpNet),
    /// A session was banned or revoked.
    SessionEnded(SessionId, Duration),
    /// The end of a session was taken back.
    SessionRestored(SessionId),
    /// A call was refused, or would have been.
    Refusal(Box<Incident>),
    /// An operator changed something: the mode and the rules too.
    Operator(Box<Deed>),
}

impl What {
    pub(super) fn of(effect: &Effect) -> Option<Self> {
        match effect {
            Effect::Ban(KernelBan { network, ttl, origin }) => Some(Self::Ban {
                network: *network,
                ttl: *ttl,
                origin: *origin,
            }),
            Effect::Unban(network) => Some(Self::Unban(*network)),
            Effect::Allow(network) => Some(Self::Allow(*network)),
            Effect::Disallow(network) => Some(Self::Disallow(*network)),
            Effect::SessionEnded { session, ttl } => Some(Self::SessionEnded(*session, *ttl)),
            Effect::SessionRestored(session) => Some(Self::SessionRestored(*session)),
            Effect::Report(incident) => Some(Self::Refusal(Box::new(incident.clone()))),
            Effect::DropFlows { .. } => None,
        }
    }
}

/// Those who follow.
pub struct Events(Sender<Arc<Event>>);

impl Default for Events {
    fn default() -> Self {
        Self(broadcast::channel(WAITING).0)
    }
}

impl Events {
    /// Follows from here on.
    #[must_use]
    pub fn follow(&self) -> Receiver<Arc<Event>> {
        self.0.subscribe()
    }

    /// How many follow.
    #[must_use]
    pub fn followers(&self) -> usize {
        self.0.receiver_count()
    }

    /// What to tell, if anybody listens.
    pub(super) fn wanted(&self, what: impl FnOnce() -> Option<What>) -> Option<What> {
        if self.followers() == 0 { None } else { what() }
    }

    pub(super) fn tell(&self, at: WallMillis, what: Option<What>) {
        if let Some(what) = what {
            // The last one may have just gone.
            let _ = self.0.send(Arc::new(Event { at, what }));
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::broadcast::error::TryRecvError;

    use super::*;

    #[test]
    fn whoever_reads_slowly_is_told_what_he_missed() {
        let events = Events::default();
        let network: IpNet = "192.0.2.7/32".parse().unwrap();
        assert_eq!(events.wanted(|| panic!("nobody follows")), None);
        let mut slow = events.follow();
        for at in 0..WAITING as u64 + 10 {
            events.tell(WallMillis(at), events.wanted(|| Some(What::Unban(network))));
        }
        assert_eq!(slow.try_recv(), Err(TryRecvError::Lagged(10)));
        assert_eq!(slow.try_recv().unwrap().at, WallMillis(10));
    }
}
