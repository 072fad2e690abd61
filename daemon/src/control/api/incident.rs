//! Refusals that are remembered, on the wire.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Moment, PointLine};

/// `GET /v1/incidents/REF`: one refusal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Incident {
    /// What the client was told.
    pub reference: String,
    /// When.
    pub at: Moment,
    /// The cause, as in the counters of `/v1/status`.
    pub cause: String,
    /// The problem that the client saw: the last segment of its `type`.
    pub problem: String,
    /// The HTTP status that the client saw.
    pub http_status: u16,
    /// Who asked.
    pub address: IpAddr,
    /// JA4 of its TLS handshake; `null` where TLS ends elsewhere.
    #[serde(default)]
    pub ja4: Option<String>,
    /// By which session; `null` if none was proved.
    pub session: Option<String>,
    /// The method.
    pub method: String,
    /// The path, cut, without the query. Text from the client.
    pub path: String,
    /// The rule that fired.
    pub rule: Option<String>,
    /// In words.
    pub explanation: String,
    /// Points that it added to the session.
    pub session_points: f32,
    /// Points that it added to the address.
    pub address_points: f32,
    /// Whether the request passed all the same, because the gate only watches.
    pub waived: bool,
    /// What followed, in words; or what would have followed, where the gate only watches.
    #[serde(default)]
    pub consequences: Vec<String>,
    /// Where the points of the session came from; only where one refusal is asked for.
    #[serde(default)]
    pub session_ledger: Vec<PointLine>,
    /// Where the points of the address came from; only where one refusal is asked for.
    #[serde(default)]
    pub address_ledger: Vec<PointLine>,
}

/// `GET /v1/incidents?limit=`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct IncidentList {
    /// The newest first.
    pub incidents: Vec<Incident>,
}
