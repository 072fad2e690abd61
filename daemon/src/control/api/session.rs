//! Sessions on the wire.

use std::net::IpAddr;

use portcullis_guard::session::SessionStatus;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Moment;

/// A session that the gate remembers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Session {
    /// Its name.
    pub id: String,
    /// When it was opened.
    pub opened: Moment,
    /// When it ends at the latest.
    pub expires: Moment,
    /// Since its last call.
    pub idle_seconds: u64,
    /// From where it was last used.
    pub address: IpAddr,
    /// The User-Agent that it is bound to, cut. Text from the client.
    pub user_agent: String,
    /// Who the application says that it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Points now.
    pub score: f32,
    /// Tabs, workers or processes that sign.
    pub streams: usize,
    /// Connections it was last seen on.
    pub connections: usize,
    /// Calls that passed.
    pub calls: u64,
    /// Whether it may go on.
    pub state: SessionState,
    /// For how long it is banned, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub banned_seconds: Option<u64>,
}

/// Whether a session may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SessionState {
    /// It may.
    Active,
    /// Not before its user has authenticated again.
    Suspended,
    /// Not for a while.
    Banned,
    /// Never again.
    Revoked,
    /// No longer: it was idle for too long, or reached its end.
    Over,
}

impl From<SessionStatus> for SessionState {
    fn from(status: SessionStatus) -> Self {
        match status {
            SessionStatus::Active => Self::Active,
            SessionStatus::Suspended => Self::Suspended,
            SessionStatus::Banned(_) => Self::Banned,
            SessionStatus::Revoked => Self::Revoked,
            SessionStatus::Over => Self::Over,
        }
    }
}

/// `GET /v1/sessions`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SessionList {
    /// In no particular order.
    pub sessions: Vec<Session>,
}

/// `DELETE /v1/sessions/ID`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SessionEnded {
    /// Which.
    pub session: String,
    /// Connections of it that were closed.
    pub connections_closed: usize,
}

/// `POST /v1/sessions/ID/restore`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SessionRestored {
    /// Which.
    pub session: String,
}

/// `POST /v1/session-keys`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeyRotated {
    /// The number of the new key, as session ids carry it, in hexadecimal.
    pub key: String,
    /// Keys that still open sessions, the new one not counted.
    pub previous: usize,
}

/// One reason for which points were given, to a session or an address.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PointLine {
    /// When, or when for the last time.
    pub at: Moment,
    /// The signal, by the key of its weight; `rule` for a rule.
    pub signal: String,
    /// In words.
    pub what: String,
    /// How many points, all in all.
    pub points: f32,
    /// How often in a row.
    pub times: u32,
    /// The last refusal of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// The rule that was broken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
}

/// What a session did, or what was said to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SessionEvent {
    /// When.
    pub at: Moment,
    /// `call`, `refusal` or `watched` (it passed, and a rule or the gate only watched).
    pub kind: String,
    /// The method.
    pub method: String,
    /// The path, cut, without the query. Text from the client.
    pub path: String,
    /// What the application answered, or what the refusal was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// The rule that spoke.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// What was said, in words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub said: String,
}

/// `GET /v1/sessions/ID/timeline`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SessionTimeline {
    /// The session.
    pub session: Session,
    /// JA4 of its open connections, where TLS ends at the gate.
    #[serde(default)]
    pub ja4: Vec<String>,
    /// Its last calls and refusals, the oldest first.
    pub events: Vec<SessionEvent>,
    /// Where its points came from, the oldest first.
    pub points: Vec<PointLine>,
}
