//! What violations lead to. The engine only names it; the guard carries it out.

use std::fmt;
use std::time::Duration;

use super::explain::human;

/// What a violation of an enforced rule leads to, beside its points.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Action {
    /// The call passes, without points; the operator is told.
    Log,
    /// The call passes, and costs its points.
    Score,
    /// The call is held until it is no longer too early; too many that are held are refused.
    Delay,
    /// The call is refused.
    #[default]
    Deny,
    /// The call is refused, and the session is suspended until its user has authenticated again.
    Reauth,
    /// The call is refused until the client has proved some work.
    Challenge,
    /// The call is refused, and more with it.
    Ban(BanAction),
}

/// A ban that a rule asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BanAction {
    /// What is banned.
    pub target: BanTarget,
    /// For how long the first time.
    pub ttl: Duration,
    /// By how much the time grows each time that the same target is banned again; 1 is not at all.
    pub grow: f32,
    /// The longest time that it grows to.
    pub max_ttl: Duration,
    /// Up to this share of the time is added by chance, so that nobody can wait for the exact end; 0 to 1.
    pub jitter: f32,
}

/// What a rule bans.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BanTarget {
    /// The connections of the session.
    Flow,
    /// The session and its connections.
    Session,
    /// The address (an IPv6 /64); spared if others call cleanly from there.
    Ip,
    /// The network (/24, /48); only when enough different addresses in it misbehave.
    Prefix,
}

/// A stronger consequence for those who violate a rule again and again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Escalation {
    /// So many violations...
    pub hits: u32,
    /// ...in this time...
    pub per: Duration,
    /// ...lead to this instead.
    pub action: Action,
}

/// What a session's score leads to when it reaches a number of points.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Threshold {
    /// Points.
    pub score: f32,
    /// What follows: everything but [`Action::Score`] and [`Action::Delay`].
    pub action: Action,
}

impl Action {
    /// Whether the call passes all the same.
    #[must_use]
    pub fn lets_pass(self) -> bool {
        match self {
            Self::Log | Self::Score => true,
            Self::Delay | Self::Deny | Self::Reauth | Self::Challenge | Self::Ban(_) => false,
        }
    }
}

impl BanTarget {
    /// How rules call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Flow => "flow",
            Self::Session => "session",
            Self::Ip => "ip",
            Self::Prefix => "prefix",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Log => f.write_str("log"),
            Self::Score => f.write_str("score"),
            Self::Delay => f.write_str("delay"),
            Self::Deny => f.write_str("deny"),
            Self::Reauth => f.write_str("reauth"),
            Self::Challenge => f.write_str("challenge"),
            Self::Ban(ban) => write!(f, "ban {} for {}", ban.target.name(), human(ban.ttl)),
        }
    }
}
