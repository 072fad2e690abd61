//! What the shell must do after a decision. Effects are values: tests compare them, the shell carries them out in order.

use std::time::Duration;

use ipnet::IpNet;

use crate::incident::Incident;
use crate::request::{ConnectionId, Reference};
use crate::session::SessionId;

/// One thing to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Enforce a ban in the kernel. The blacklist has it already.
    Ban(KernelBan),
    /// Take a ban out of the kernel.
    Unban(IpNet),
    /// Exempt a network in the kernel.
    Allow(IpNet),
    /// End the exemption of a network in the kernel.
    Disallow(IpNet),
    /// Reset these connections and drop what still comes over them, for `ttl`.
    DropFlows {
        /// The connections, as far as they still live.
        connections: Vec<ConnectionId>,
        /// How long packets of these flows are dropped.
        ttl: Duration,
        /// The refusal that led to this.
        reference: Reference,
    },
    /// A session was banned or revoked; its other connections are in `DropFlows`.
    SessionEnded {
        /// Which session.
        session: SessionId,
        /// For how long.
        ttl: Duration,
    },
    /// The end of a session was taken back.
    SessionRestored(SessionId),
    /// Something to tell the operator.
    Report(Incident),
}

/// A ban of a network, for the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelBan {
    /// A host (/32, /128) or a prefix.
    pub network: IpNet,
    /// How long from now.
    pub ttl: Duration,
    /// Who wanted it.
    pub origin: crate::blacklist::Origin,
}

impl KernelBan {
    /// What the kernel needs to know of a ban.
    #[must_use]
    pub fn of(ban: &crate::blacklist::Ban, now: crate::time::Now) -> Self {
        Self {
            network: ban.network,
            ttl: ban.remaining(now),
            origin: ban.origin,
        }
    }
}
