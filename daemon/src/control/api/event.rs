//! What happens, on the wire.

use std::net::IpAddr;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Moment;

/// A line of `GET /v1/events`: what happened since the last one. What does not belong to its kind is missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// When.
    pub at: Moment,
    /// What.
    pub kind: EventKind,
    /// Of `ban`, `unban`, `allow` and `disallow`: which network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub network: Option<IpNet>,
    /// Of `ban` and `session-ended`: for how long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_seconds: Option<u64>,
    /// Of `ban`: `operator`, `score`, `rate` or `list`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// Of `session-ended`, `session-restored` and `refusal`: which session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Of `refusal`: for `portcullis why`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Of `refusal`: the cause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// Of `refusal`: who asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// Of `refusal`: the method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Of `refusal`: the path, cut, without the query. Text from the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Of `refusal`: the rule that fired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Of `refusal`: whether it passed all the same, as the gate or the rule only watches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waived: Option<bool>,
    /// Of `operator`: the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    /// Of `operator`: what was done: `ban`, `import`, `mode`, `reload`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Of `operator`: to what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// Of `operator`: why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Of `lost`: how many events this reader was too slow for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<u64>,
}

/// What can happen. New kinds may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    /// A network is banned. Of an import there is one `operator` event, and none for each ban.
    Ban,
    /// A ban was lifted. Those that end by themselves are not told.
    Unban,
    /// A network is never banned from here on.
    Allow,
    /// It may be banned again.
    Disallow,
    /// A session was banned or revoked.
    SessionEnded,
    /// The end of a session was taken back.
    SessionRestored,
    /// A call was refused, or would have been.
    Refusal,
    /// An operator changed something: the mode and the rules too.
    Operator,
    /// The reader was too slow and missed some.
    Lost,
    /// A kind that this version does not know.
    #[serde(other)]
    Unknown,
}

impl EventKind {
    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ban => "ban",
            Self::Unban => "unban",
            Self::Allow => "allow",
            Self::Disallow => "disallow",
            Self::SessionEnded => "session-ended",
            Self::SessionRestored => "session-restored",
            Self::Refusal => "refusal",
            Self::Operator => "operator",
            Self::Lost => "lost",
            Self::Unknown => "unknown",
        }
    }
}

impl Event {
    /// One of this kind, with nothing said yet.
    #[must_use]
    pub fn new(at: Moment, kind: EventKind) -> Self {
        Self {
            at,
            kind,
            network: None,
            for_seconds: None,
            origin: None,
            session: None,
            reference: None,
            cause: None,
            address: None,
            method: None,
            path: None,
            rule: None,
            waived: None,
            who: None,
            action: None,
            object: None,
            reason: None,
            lost: None,
        }
    }
}
