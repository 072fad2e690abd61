//! Sessions on the wire.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::Moment;

/// A session that the gate remembers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
}

/// `GET /v1/sessions`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SessionList {
    /// In no particular order.
    pub sessions: Vec<Session>,
}

/// `DELETE /v1/sessions/ID`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionEnded {
    /// Which.
    pub session: String,
    /// Connections of it that were closed.
    pub connections_closed: usize,
}

/// `POST /v1/session-keys`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRotated {
    /// The number of the new key, as session ids carry it, in hexadecimal.
    pub key: String,
    /// Keys that still open sessions, the new one not counted.
    pub previous: usize,
}
