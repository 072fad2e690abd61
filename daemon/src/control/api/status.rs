//! The state of the daemon on the wire.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ModeState, Moment};

/// `GET /v1/status`, and `POST /v1/verify`, which compares the kernel with the intention first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    /// Whether verdicts have consequences.
    pub mode: Mode,
    /// For whom, and what waits to be confirmed.
    #[serde(default)]
    pub enforcement: Option<ModeState>,
    /// Of the daemon.
    pub version: String,
    /// When it started.
    pub started: Moment,
    /// Since then.
    pub uptime_seconds: u64,
    /// What the daemon may still do.
    #[serde(default)]
    pub process: Option<Process>,
    /// Where clients connect.
    #[serde(default)]
    pub listening: Vec<ListeningPlace>,
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
    /// Connections of clients.
    #[serde(default)]
    pub connections: ConnectionCount,
    /// What rules keep of addresses, networks, browsers and users.
    #[serde(default)]
    pub shared_facts: SharedFacts,
}

/// A place where clients connect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListeningPlace {
    /// The address with the port, or the file after `unix:`.
    pub address: String,
    /// Whether TLS ends there.
    pub tls: bool,
    /// Whether systemd, or whoever started the daemon, holds the socket too: then who connects during a restart waits.
    pub handed_over: bool,
}

/// Connections of clients.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConnectionCount {
    /// How many are open.
    pub open: usize,
    /// How many met a limit beside refused requests, by its name in the metrics.
    pub limits: BTreeMap<String, u64>,
}

/// How full the facts are that rules keep of everybody but sessions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SharedFacts {
    /// How many have facts.
    pub holders: usize,
    /// How many fit.
    pub capacity: usize,
    /// Facts for which some were given room beyond what everybody has.
    pub given: usize,
    /// How many of these there are to give.
    pub pool: usize,
    /// How many were forgotten before their time for lack of room.
    pub forgotten: u64,
    /// How often there was no room for something that had to be counted; each refused a call.
    pub refused: u64,
}

/// What the daemon may still do, as the kernel tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Process {
    /// Whose process it is.
    pub user: String,
    /// Whether that is root.
    pub root: bool,
    /// How many capabilities it has.
    pub capabilities: usize,
    /// Whether its system calls are filtered.
    pub system_calls_filtered: bool,
}

/// Whether verdicts have consequences.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PacketLayer {
    /// Where it is attached.
    pub interfaces: Vec<Interface>,
    /// Packets by reason.
    pub packets: Vec<PacketCount>,
    /// What the last comparison of the kernel with the intention found; `null` before the first.
    #[serde(default)]
    pub enforcement: Option<Enforcement>,
    /// How full the tables are.
    #[serde(default)]
    pub tables: Option<Tables>,
    /// Whose bans are only counted, whatever the mode.
    #[serde(default)]
    pub monitored_origins: Vec<String>,
    /// What is worse than it should be, in words for the operator.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// A comparison of the kernel with the intention. What differed was repaired.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Enforcement {
    /// When it was made.
    pub at: Moment,
    /// The part of the intended bans that the kernel enforced, from 0 to 1: before anything was repaired.
    pub ratio: f64,
    /// Bans that should hold.
    pub intended: usize,
    /// Those of them that did.
    pub enforced: usize,
    /// Those that the kernel did not have.
    pub missing: usize,
    /// Those that it had for another time or from another origin.
    pub wrong: usize,
    /// Bans that it had and nobody intended.
    pub strays: usize,
    /// Those that it would not take.
    pub refused: usize,
}

/// The tables of hosts and IPv6 /64s.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tables {
    /// Bans in them, ended ones not yet swept among them.
    pub hosts: u32,
    /// Those of them that take longer to find, as their line was full.
    pub overflowed: u32,
    /// How many fit.
    pub capacity: u32,
    /// How often the tables grew since the start.
    pub grown: u32,
    /// Kernel memory of all maps, in bytes; `null` if the daemon may not ask.
    pub memory_bytes: Option<u64>,
}

/// An interface that the program is attached to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// `native` or `generic`.
    pub attached: String,
}

/// Packets and bytes with one outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BanCount {
    /// What the daemon intends.
    pub intended: usize,
    /// How many of them the kernel has; `null`: no packet layer.
    pub in_kernel: Option<usize>,
    /// How many the kernel has beyond; `null`: no packet layer.
    pub strays: Option<usize>,
}

/// Calls since the start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CallCount {
    /// Calls that were let through.
    pub admitted: u64,
    /// Calls that were refused, by cause. Causes that never occurred may be missing.
    pub refused: BTreeMap<String, u64>,
}
