//! What may be asked of the set, and why it says no.

use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::Origin;
use crate::request::Reference;

/// A ban to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BanOrder {
    /// A host or a prefix.
    pub network: IpNet,
    /// For how long; at most [`LONGEST_BAN`](super::LONGEST_BAN).
    pub ttl: Duration,
    /// Why, in words for the operator.
    pub reason: String,
    /// Who wants it.
    pub origin: Origin,
    /// The list that it is on.
    pub source: Option<Arc<str>>,
    /// The operator who asks for it.
    pub by: Option<Arc<str>>,
    /// The refusal that led to it.
    pub reference: Option<Reference>,
    /// Ban a prefix that is wider than [`SHORTEST_PREFIX`](super::SHORTEST_PREFIX), or one with never-ban entries in it.
    pub force: bool,
}

/// Whose bans are meant: all, those of an origin, those of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holder {
    /// `None`: whoever.
    pub origin: Option<Origin>,
    /// `None`: whichever list, or none.
    pub source: Option<Arc<str>>,
}

/// Why a ban was not made. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BanRefused {
    /// The network overlaps the never-ban set.
    #[error("{}", never_ban(network, allowed, reason))]
    NeverBan {
        /// What should have been banned.
        network: IpNet,
        /// What it overlaps.
        allowed: IpNet,
        /// Why that is in the set.
        reason: String,
    },
    /// The prefix is too wide.
    #[error("{network} is too wide: at least /{shortest} is needed without force")]
    TooWide {
        /// What should have been banned.
        network: IpNet,
        /// The shortest prefix length that is accepted.
        shortest: u8,
    },
    /// The time is zero or longer than [`LONGEST_BAN`](super::LONGEST_BAN).
    #[error("a ban lasts between one second and ten years")]
    Duration,
    /// The set is full.
    #[error("the ban list is full ({capacity} entries); delete some or raise packet.max_bans_limit")]
    Full {
        /// How many fit.
        capacity: usize,
    },
}

fn never_ban(network: &IpNet, allowed: &IpNet, reason: &str) -> String {
    if allowed.contains(network) {
        format!("{network} is never banned ({reason})")
    } else {
        format!("{network} covers {allowed}, which is never banned ({reason})")
    }
}

/// Why an entry of the never-ban set was not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AllowRefused {
    /// It belongs to the configuration or to the machine.
    #[error("{0} is fixed by the configuration ({1}); change it there")]
    Fixed(IpNet, String),
    /// It is not there.
    #[error("{0} is not in the never-ban set")]
    Unknown(IpNet),
    /// The set is full.
    #[error("the never-ban set is full ({0} entries)")]
    Full(usize),
}
