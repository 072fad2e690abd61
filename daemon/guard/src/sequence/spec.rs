//! Rules as the operator wrote them: typed, not yet checked against each other.

use std::fmt;
use std::time::Duration;

use super::action::{Action, Escalation, Threshold};
use crate::policy::Mode;

/// Operations and rules, in the order of the file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RulesSpec {
    /// The `[op]` table.
    pub operations: Vec<OperationSpec>,
    /// The `[[rule]]` array.
    pub rules: Vec<RuleSpec>,
    /// The `[[threshold]]` array.
    pub thresholds: Vec<Threshold>,
}

/// One entry of `[op]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationSpec {
    /// How rules call it.
    pub name: String,
    /// `METHOD[|METHOD] /path/{template}`.
    pub on: String,
    /// Values from elsewhere than the path: name and source (`query:name`, `header:name`).
    pub bind: Vec<(String, String)>,
}

/// One entry of `[[rule]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleSpec {
    /// Its name in logs, counters and explanations.
    pub id: String,
    /// The operations that it guards.
    pub on: Vec<String>,
    /// What must have happened before; all of it.
    pub require: Vec<RequireSpec>,
    /// How often it may happen.
    pub max: Option<MaxSpec>,
    /// Whether a violation has consequences.
    pub mode: Mode,
    /// Points of a violation.
    pub score: f32,
    /// What a violation leads to beside points.
    pub action: Action,
    /// What many violations lead to, by rising hits.
    pub escalate: Vec<Escalation>,
}

/// A call that must have happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequireSpec {
    /// Which operation.
    pub op: String,
    /// How long ago its answer may lie; `None` is the life of the session.
    pub within: Option<Duration>,
    /// Values that both calls must have in common.
    pub bind: Vec<String>,
    /// The answers that count; `None` is `2xx`.
    pub status: Option<String>,
}

/// A limit of calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaxSpec {
    /// How many calls.
    pub count: u32,
    /// In which time; `None` is the life of the session.
    pub per: Option<Duration>,
    /// Values that are counted apart.
    pub bind: Vec<String>,
    /// The answers that count; `None` is any.
    pub count_if: Option<String>,
}

/// One step on the way to a value of the specification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A key of a table.
    Key(String),
    /// An element of an array.
    Index(usize),
}

/// The place of a value, by the keys of the configuration: `rule[0].require[1].op`, `op.view_order.on`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place(pub Vec<Step>);

impl Place {
    /// The place of an operation.
    #[must_use]
    pub fn operation(name: &str) -> Self {
        Self::default().key("op").key(name)
    }

    /// The place of a threshold.
    #[must_use]
    pub fn threshold(index: usize) -> Self {
        Self::default().key("threshold").index(index)
    }

    /// The place of a rule.
    #[must_use]
    pub fn rule(index: usize) -> Self {
        Self::default().key("rule").index(index)
    }

    /// A key of the table at this place.
    #[must_use]
    pub fn key(mut self, key: &str) -> Self {
        self.0.push(Step::Key(key.to_owned()));
        self
    }

    /// An element of the array at this place.
    #[must_use]
    pub fn index(mut self, index: usize) -> Self {
        self.0.push(Step::Index(index));
        self
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().enumerate().try_for_each(|(position, step)| match step {
            Step::Key(key) if position == 0 => f.write_str(key),
            Step::Key(key) => write!(f, ".{key}"),
            Step::Index(index) => write!(f, "[{index}]"),
        })
    }
}

/// Something wrong with the rules.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {message}")]
pub struct RuleError {
    /// Where.
    pub place: Place,
    /// What.
    pub message: String,
    /// How it could be put right.
    pub hint: Option<String>,
}

impl RuleError {
    pub(super) fn new(place: Place, message: impl Into<String>) -> Self {
        Self {
            place,
            message: message.into(),
            hint: None,
        }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
