//! What live views show, on the wire.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Moment, SessionState};

/// `GET /v1/stats`: cheap enough for once a second. Counters begin with the daemon, those of packets with the program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Stats {
    /// Of the daemon.
    pub version: String,
    /// Whether verdicts have consequences.
    pub enforcing: bool,
    /// When this was, in milliseconds since the machine booted: for rates.
    pub at_ms: u64,
    /// When the daemon started.
    pub started: Moment,
    /// What keeps the gate from doing what it is there for, in words.
    pub missing: Vec<String>,
    /// Signed calls that were let through.
    pub admitted: u64,
    /// Calls that were refused, or would have been.
    pub refused: u64,
    /// The same by cause, the most frequent first.
    pub causes: Vec<(String, u64)>,
    /// Packets that passed.
    pub packets_passed: u64,
    /// Packets that were dropped.
    pub packets_dropped: u64,
    /// The same by reason.
    pub drops: Vec<(String, u64)>,
    /// Networks that are banned.
    pub bans: usize,
    /// Bans that fit.
    pub bans_capacity: usize,
    /// Sessions in memory.
    pub sessions: usize,
    /// Connections of clients.
    pub connections: usize,
    /// Hosts in the kernel's table, and how many fit; `null` without a packet layer.
    pub map: Option<(u32, u32)>,
    /// The part of the bans that the kernel enforced when it was last compared.
    pub enforced_ratio: Option<f64>,
    /// Names of interfaces, and how the program is attached.
    pub interfaces: Vec<(String, String)>,
    /// The bans that keep away most, at most ten seconds old.
    pub offenders: Vec<Offender>,
    /// The sessions with the most points, at most ten seconds old.
    #[serde(default)]
    pub worst_sessions: Vec<WorstSession>,
    /// The last refusals, the newest first.
    pub refusals: Vec<RecentRefusal>,
    /// The rules in force.
    #[serde(default)]
    pub rules: Vec<RuleCount>,
}

/// A ban that keeps much away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Offender {
    /// A host or a prefix.
    pub network: String,
    /// Why it is banned.
    pub reason: String,
    /// Who wanted it.
    pub origin: String,
    /// Until when.
    pub until: Moment,
    /// Packets that it kept away.
    pub packets: u64,
    /// Bytes that it kept away.
    pub bytes: u64,
    /// The last of them.
    pub last_seen: Moment,
}

/// A session with many points.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WorstSession {
    /// Its name.
    pub id: String,
    /// From where it was last used.
    pub address: IpAddr,
    /// Points.
    pub score: f32,
    /// Calls that passed.
    pub calls: u64,
    /// Since its last call.
    pub idle_seconds: u64,
    /// Whether it may go on, as `session list` says it.
    pub state: SessionState,
}

/// A refusal, short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RecentRefusal {
    /// When.
    pub at: Moment,
    /// For `portcullis why`.
    pub reference: String,
    /// The cause.
    pub cause: String,
    /// Who asked.
    pub address: IpAddr,
    /// The method.
    pub method: String,
    /// The path, cut, without the query. Text from the client.
    pub path: String,
    /// Whether it passed all the same.
    pub waived: bool,
}

/// A rule, and how often it spoke lately.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RuleCount {
    /// Its name.
    pub id: String,
    /// `monitor` or `enforce`.
    pub mode: String,
    /// Of the last two hundred refusals, those by it.
    pub recent: usize,
}
