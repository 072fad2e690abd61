//! The mode and changes on trial, on the wire.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Mode, Moment};

/// `GET /v1/mode`, and the answer to a change of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ModeState {
    /// Whether verdicts have consequences.
    pub mode: Mode,
    /// For which share of the sessions, in percent; 0 in monitor mode.
    pub share_percent: f32,
    /// What the configuration says, and the next start goes by.
    pub configured: Mode,
    /// The share that it says.
    pub configured_share_percent: f32,
    /// The change that waits to be confirmed.
    pub trial: Option<Trial>,
    /// The last change, if it was taken back.
    pub taken_back: Option<TakenBack>,
}

/// A change of the mode.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModeRequest {
    /// What is wanted.
    pub mode: Mode,
    /// For which share of the sessions, in percent; for all unless told.
    #[serde(default)]
    pub share_percent: Option<f32>,
    /// Within which time it must be confirmed.
    #[serde(default)]
    pub confirm_seconds: Option<u64>,
}

/// The end of a trial.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfirmRequest {
    /// Take the change back at once, instead.
    #[serde(default)]
    pub take_back: bool,
}

/// A change that waits to be confirmed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Trial {
    /// What was changed.
    pub what: String,
    /// Who did it.
    pub who: String,
    /// When it is taken back.
    pub until: Moment,
    /// How long that is from now.
    pub left_seconds: u64,
}

/// A change that was taken back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TakenBack {
    /// What it was.
    pub what: String,
    /// When.
    pub at: Moment,
    /// Whether the files still say it, so that the next start puts it in force.
    pub in_files: bool,
}

/// How a trial ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ended {
    /// What was changed.
    pub what: String,
    /// Whether it stays.
    pub stays: bool,
}
