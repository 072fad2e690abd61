//! Compiled rules: what each operation has to check, count and remember.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::action::{Action, Escalation, Threshold};
use super::facts::SlotId;
use super::router::Router;
use super::status::StatusSet;
use super::value::Binder;
use super::window::Limit;
use crate::policy::Mode;

/// The name of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RuleId(Arc<str>);

impl RuleId {
    pub(super) fn new(id: &str) -> Self {
        Self(id.into())
    }

    /// The name as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// All rules.
#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) router: Router,
    /// One for each operation.
    pub(super) plans: Vec<Plan>,
    pub(super) rules: Vec<Rule>,
    /// By rising points.
    pub(super) thresholds: Vec<Threshold>,
}

/// What violations of a rule lead to.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) id: RuleId,
    pub(super) mode: Mode,
    pub(super) score: f32,
    pub(super) action: Action,
    /// By rising hits, each with the slot of its count.
    pub(super) escalate: Vec<(SlotId, Escalation)>,
}

/// What to do for the calls of one operation.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) name: Box<str>,
    /// The different ways in which `bind`s read this operation.
    pub(super) binders: Vec<Binder>,
    /// Before the call, in the order of the rules.
    pub(super) checks: Vec<Check>,
    /// After the answer.
    pub(super) records: Vec<Record>,
}

/// A condition of a rule for one operation.
#[derive(Debug)]
pub(super) struct Check {
    pub(super) rule: usize,
    pub(super) slot: SlotId,
    /// Into [`Plan::binders`]; `None` if the condition binds nothing.
    pub(super) binder: Option<usize>,
    pub(super) condition: Condition,
}

/// What is asked.
#[derive(Debug)]
pub(super) enum Condition {
    /// An earlier call.
    Require {
        /// Which, in words.
        needs: String,
    },
    /// Not too many calls.
    Max(CountedOp),
}

/// How calls are counted.
#[derive(Debug)]
pub(super) struct CountedOp {
    pub(super) limit: Limit,
    pub(super) count_if: StatusSet,
    /// In words.
    pub(super) allowed: String,
}

/// A fact to remember of an answered call.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) slot: SlotId,
    pub(super) binder: Option<usize>,
    pub(super) status: StatusSet,
    pub(super) within: Option<Duration>,
}

impl Plan {
    /// Limits that one operation can have: a reservation marks them in a word.
    pub(super) const MOST_LIMITS: usize = 64;

    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            binders: Vec::new(),
            checks: Vec::new(),
            records: Vec::new(),
        }
    }

    /// Whether no rule names the operation.
    pub(super) fn is_empty(&self) -> bool {
        self.checks.is_empty() && self.records.is_empty()
    }

    /// The limits, each with its bit in a reservation.
    pub(super) fn limits(&self) -> impl Iterator<Item = (u64, &Check, &CountedOp)> {
        let limits = self.checks.iter().filter_map(|check| match &check.condition {
            Condition::Max(counted) => Some((check, counted)),
            Condition::Require { .. } => None,
        });
        limits
            .enumerate()
            .map(|(position, (check, counted))| (1u64 << position, check, counted))
    }
}
