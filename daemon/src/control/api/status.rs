//! The state of the daemon on the wire.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::Moment;

/// `GET /v1/status`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Whether verdicts have consequences.
    pub mode: Mode,
    /// Of the daemon.
    pub version: String,
    /// When it started.
    pub started: Moment,
    /// Since then.
    pub uptime_seconds: u64,
    /// `null`: the packet layer is off.
    pub packet_layer: Option<PacketLayer>,
    /// Bans.
    pub bans: BanCount,
    /// Networks that are never banned.
    pub never_ban: usize,
    /// Sessions in memory.
    pub sessions: usize,
    /// Calls.
    pub calls: CallCount,
}

/// Whether verdicts have consequences.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Judge, count and log, and let everything through.
    Monitor,
    /// Refuse and ban.
    Enforce,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Monitor => "monitor",
            Self::Enforce => "enforce",
        })
    }
}

/// What the XDP program does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PacketLayer {
    /// Where it is attached.
    pub interfaces: Vec<Interface>,
    /// Packets by reason.
    pub packets: Vec<PacketCount>,
    /// What is worse than it should be, in words for the operator.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// An interface that the program is attached to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// `native` or `generic`.
    pub attached: String,
}

/// Packets and bytes with one outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PacketCount {
    /// The outcome.
    pub reason: String,
    /// Whether packets with this outcome are dropped.
    pub dropped: bool,
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
    /// Packets that monitor mode let through although they would have had this outcome.
    pub monitored_packets: u64,
}

/// Bans that are meant and bans that are enforced (invariant I5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BanCount {
    /// What the daemon intends.
    pub intended: usize,
    /// How many of them the kernel has; `null`: no packet layer.
    pub in_kernel: Option<usize>,
    /// How many the kernel has beyond; `null`: no packet layer.
    pub strays: Option<usize>,
}

/// Calls since the start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallCount {
    /// Calls that were let through.
    pub admitted: u64,
    /// Calls that were refused, by cause. Causes that never occurred may be missing.
    pub refused: BTreeMap<String, u64>,
}
