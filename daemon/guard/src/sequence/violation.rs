//! A rule that a call violates.

use std::fmt;
use std::time::Duration;

use super::action::Action;
use super::plan::{Rule, RuleId};
use crate::policy::Mode;
use crate::refusal::Refusal;

/// A rule that a call violates.
#[derive(Clone, Debug, PartialEq)]
pub struct Violation {
    /// Which rule.
    pub rule: RuleId,
    /// In which way.
    pub kind: ViolationKind,
    /// Points that the rule gives for it.
    pub score: f32,
    /// What it leads to, after escalation.
    pub action: Action,
    /// Whether it has consequences: the rule and the gate enforce.
    pub enforced: bool,
    /// Whether it would have consequences if the gate enforced.
    pub armed: bool,
    /// In words, for the operator.
    pub explanation: String,
}

/// In which way a rule is violated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ViolationKind {
    /// Not at this point of the session: an earlier call is missing, a value that the rule binds is not there, or the
    /// call was made as often as it ever may.
    Sequence,
    /// Too often or too soon; once more is possible after this time.
    Quota(Duration),
    /// So much is remembered that one more fact that forbids does not fit.
    Overflow,
}

impl ViolationKind {
    /// How a call is refused for it.
    #[must_use]
    pub fn refusal(self) -> Refusal {
        match self {
            Self::Sequence => Refusal::Sequence,
            Self::Quota(wait) => Refusal::Quota(wait),
            Self::Overflow => Refusal::FactsOverflow,
        }
    }
}

impl Violation {
    pub(super) fn of(rule: &Rule, mode: Mode, kind: ViolationKind, explanation: String) -> Self {
        Self {
            rule: rule.id.clone(),
            kind,
            score: rule.score,
            action: rule.action,
            enforced: rule.enforces(mode),
            armed: rule.mode == Mode::Enforce,
            explanation,
        }
    }

    /// Whether the call does not pass.
    #[must_use]
    pub fn refuses(&self) -> bool {
        self.enforced && !self.action.lets_pass()
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rule {}: {}", self.rule, self.explanation)
    }
}
