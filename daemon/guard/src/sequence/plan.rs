//! Compiled rules: what each operation has to check, count and remember.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use ipnet::IpNet;

use super::action::{Action, Escalation, Threshold};
use super::facts::SlotId;
use super::json::Pointer;
use super::router::Router;
use super::scope::Scope;
use super::spec::{OnUnreadable, Unlisted, Warning};
use super::status::StatusSet;
use super::value::{Binder, Kind};
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
    pub(super) unlisted: Unlisted,
    /// The name of what is said of unlisted calls, where rules have theirs.
    pub(super) unlisted_id: RuleId,
    /// What is right and yet does nothing.
    pub(super) warnings: Vec<Warning>,
    /// The slots that are asked for, sorted.
    pub(super) slots: Vec<SlotId>,
    /// A number that other rules do not have.
    pub(super) generation: u32,
}

impl Compiled {
    pub(super) fn has_slot(&self, slot: SlotId) -> bool {
        self.slots.binary_search(&slot).is_ok()
    }
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
    pub(super) except: Option<Box<Except>>,
    pub(super) on_unreadable: OnUnreadable,
    pub(super) wait: Option<Duration>,
    /// The same for rules that say the same about the same operations.
    pub(super) digest: u64,
    /// What it needs an answer for, if it does.
    pub(super) needs_response: Option<&'static str>,
}

impl Rule {
    /// Whether it has consequences: it and the gate enforce.
    pub(super) fn enforces(&self, mode: Mode) -> bool {
        (self.mode, mode) == (Mode::Enforce, Mode::Enforce)
    }
}

/// Whom a rule does not concern.
#[derive(Debug)]
pub(super) struct Except {
    pub(super) users: Vec<Box<str>>,
    pub(super) networks: Vec<IpNet>,
    pub(super) headers: Vec<(HeaderName, Vec<Box<str>>)>,
}

/// Whose facts: 0 is the session, others are [`Plan::scopes`] counted from 1.
pub(super) type Holder = usize;

/// The facts of the session.
pub(super) const SESSION: Holder = 0;

/// What to do for the calls of one operation.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) name: Box<str>,
    /// The different ways in which `bind`s read this operation.
    pub(super) binders: Vec<Binder>,
    /// Whose facts rules look at beside the session's.
    pub(super) scopes: Vec<Box<[Scope]>>,
    /// Where the values of its bodies are.
    pub(super) pointers: Vec<Pointer>,
    /// Before the call, in the order of the rules.
    pub(super) checks: Vec<Check>,
    /// When the call is let in, all or none.
    pub(super) marks: Vec<Mark>,
    /// After the answer.
    pub(super) records: Vec<Record>,
    /// What its answers show.
    pub(super) shows: Vec<Show>,
    /// Where that is in an answer; one for each of `shows`.
    pub(super) shown_at: Arc<[Pointer]>,
}

/// Where the facts of a condition are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seat {
    pub(super) holder: Holder,
    pub(super) slot: SlotId,
    /// Into [`Plan::binders`]; `None` if the condition binds nothing.
    pub(super) binder: Option<usize>,
}

/// A condition of a rule for one operation.
#[derive(Debug)]
pub(super) struct Check {
    pub(super) rule: usize,
    pub(super) condition: Condition,
}

/// What is asked.
#[derive(Debug)]
pub(super) enum Condition {
    /// One of these earlier calls.
    Require {
        seats: Vec<Seat>,
        /// Which, in words.
        needs: String,
    },
    /// The value was shown by one of these.
    Shown {
        seats: Vec<Seat>,
        /// By which, in words.
        by: String,
    },
    /// Not too many calls.
    Max {
        seat: Seat,
        limit: Limit,
        /// Into [`Plan::marks`].
        mark: usize,
        /// In words.
        allowed: String,
    },
    /// Not too soon.
    Gap {
        seat: Seat,
        at_least: Duration,
        /// In words.
        allowed: String,
    },
    /// Not after a call.
    After {
        seat: Seat,
        /// Which, in words.
        forbidden: String,
    },
    /// Not too many different values.
    Distinct {
        seat: Seat,
        max: u32,
        per: Option<Duration>,
        /// Into [`Plan::marks`].
        mark: usize,
        /// In words.
        allowed: String,
    },
    /// The values that other calls are compared by must be there.
    Bound { seat: Seat },
    /// Never.
    Trap,
}

/// What is remembered when a call is let in.
#[derive(Debug)]
pub(super) struct Mark {
    pub(super) rule: usize,
    pub(super) seat: Seat,
    pub(super) kind: MarkKind,
}

/// See [`Mark`].
#[derive(Debug)]
pub(super) enum MarkKind {
    /// Counts, and is taken back for other answers.
    Count { limit: Limit, count_if: StatusSet },
    /// The value was tried.
    Try { per: Option<Duration> },
    /// The call was made.
    Make { at_least: Duration },
    /// The call forbids others, unless it is answered otherwise.
    Forbid {
        within: Option<Duration>,
        status: StatusSet,
    },
}

/// A fact to remember of an answered call.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) seat: Seat,
    pub(super) status: StatusSet,
    pub(super) kind: RecordKind,
}

/// See [`Record`].
#[derive(Debug)]
pub(super) enum RecordKind {
    /// It allows others; `is_awaited` if they wait for it.
    Allow { within: Option<Duration>, is_awaited: bool },
    /// It lifts what forbids.
    Lift,
}

/// Values that an answer shows.
#[derive(Debug)]
pub(super) struct Show {
    pub(super) holder: Holder,
    pub(super) slot: SlotId,
    pub(super) kind: Kind,
    pub(super) within: Option<Duration>,
}

impl Plan {
    /// What one operation can have to remember: a reservation marks it in a word.
    pub(super) const MOST_MARKS: usize = 64;

    pub(super) fn new(name: &str, pointers: Vec<Pointer>) -> Self {
        Self {
            name: name.into(),
            binders: Vec::new(),
            scopes: Vec::new(),
            pointers,
            checks: Vec::new(),
            marks: Vec::new(),
            records: Vec::new(),
            shows: Vec::new(),
            shown_at: Arc::new([]),
        }
    }

    /// Whether no rule names the operation.
    pub(super) fn is_empty(&self) -> bool {
        self.checks.is_empty() && self.records.is_empty() && self.marks.is_empty() && self.shows.is_empty()
    }

    /// The marks of a word.
    pub(super) fn marked(&self, word: u64) -> impl Iterator<Item = (u64, &Mark)> {
        let all = self.marks.iter().enumerate().map(|(index, mark)| (1u64 << index, mark));
        all.filter(move |(bit, _)| word & bit != 0)
    }
}
