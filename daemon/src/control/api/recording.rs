//! A recording of calls on the wire.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `POST /v1/recording`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordingRequest {
    /// For how long.
    pub for_seconds: u64,
}

/// How a recording goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Recording {
    /// How long it goes on; 0: it is over.
    pub left_seconds: u64,
    /// Calls that are kept.
    pub calls: usize,
    /// Calls that found no room, or have too long a path.
    pub left_out: u64,
}

/// `GET /v1/recording/calls?from=`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RecordedCalls {
    /// As lines of a record for `rules learn` have it.
    pub calls: Vec<RecordedCall>,
    /// Where the next ones begin; `null`: there are none.
    pub next: Option<usize>,
}

/// One recorded call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RecordedCall {
    /// Seconds since 1970.
    pub at: f64,
    /// The session.
    pub session: String,
    /// The method.
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// What the application answered; 0: nothing was seen of it.
    pub status: u16,
    /// The session was refused or got points meanwhile.
    pub refused: bool,
}
