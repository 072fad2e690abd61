//! Rules as the operator wrote them: typed, not yet checked against each other.

use std::fmt;
use std::time::Duration;

use ipnet::IpNet;

use super::action::{Action, Escalation, Threshold};
use super::scope::Scope;
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
    /// What happens to calls that are no operation.
    pub unlisted: Unlisted,
}

/// One entry of `[op]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationSpec {
    /// How rules call it.
    pub name: String,
    /// `METHOD[|METHOD] /path/{template}`.
    pub on: String,
    /// Values from elsewhere than the path: name and source (`query:name`, `header:name`, `json:/pointer`).
    pub bind: Vec<(String, String)>,
}

/// What happens to protected calls that are no operation.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Unlisted {
    /// Whether they are refused.
    pub deny: bool,
    /// Points of each.
    pub score: f32,
    /// Whether that has consequences.
    pub mode: Mode,
}

/// One entry of `[[rule]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleSpec {
    /// Its name in logs, counters and explanations.
    pub id: String,
    /// The operations that it guards.
    pub on: Vec<String>,
    /// Whose calls count together.
    pub scope: Vec<Scope>,
    /// Who is exempt.
    pub except: ExceptSpec,
    /// What must have happened before; all of it.
    pub require: Vec<RequireSpec>,
    /// How long a call waits for a required one that is under way.
    pub wait: Option<Duration>,
    /// How often it may happen.
    pub max: Option<MaxSpec>,
    /// It may happen once for the life of the scope.
    pub once: Option<OnceSpec>,
    /// Not sooner than some time after another call.
    pub min_gap: Option<GapSpec>,
    /// Not after another call.
    pub forbid_after: Option<ForbidSpec>,
    /// Not with too many different values.
    pub distinct: Option<DistinctSpec>,
    /// Only with values that the application showed before.
    pub shown: Option<ShownSpec>,
    /// Operations of which each requires the one before.
    pub order: Option<OrderSpec>,
    /// Nobody of ours makes this call.
    pub trap: bool,
    /// What a body means that cannot be read and that has a value that the rule binds.
    pub on_unreadable: OnUnreadable,
    /// Whether a violation has consequences.
    pub mode: Mode,
    /// Points of a violation.
    pub score: f32,
    /// What a violation leads to beside points.
    pub action: Action,
    /// What many violations lead to, by rising hits.
    pub escalate: Vec<Escalation>,
}

impl Default for RuleSpec {
    fn default() -> Self {
        Self {
            id: String::new(),
            on: Vec::new(),
            scope: vec![Scope::Session],
            except: ExceptSpec::default(),
            require: Vec::new(),
            wait: None,
            max: None,
            once: None,
            min_gap: None,
            forbid_after: None,
            distinct: None,
            shown: None,
            order: None,
            trap: false,
            on_unreadable: OnUnreadable::default(),
            mode: Mode::default(),
            score: 10.0,
            action: Action::default(),
            escalate: Vec::new(),
        }
    }
}

/// Whom a rule does not concern.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExceptSpec {
    /// Users that sessions are bound to.
    pub users: Vec<String>,
    /// Addresses of clients.
    pub networks: Vec<IpNet>,
    /// Header fields by name, each with the values that except, where a trusted proxy sent the call.
    pub headers: Vec<(String, Vec<String>)>,
}

/// A call that must have happened: one of these.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequireSpec {
    /// The alternatives; at least one.
    pub any: Vec<NeedSpec>,
}

/// A call that may be required.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NeedSpec {
    /// Which operation.
    pub op: String,
    /// How long ago its answer may lie; `None` is the life of the session.
    pub within: Option<Duration>,
    /// Values that both calls must have in common.
    pub bind: Vec<String>,
    /// The answers that count; `None` is `2xx`.
    pub status: Option<String>,
}

impl From<NeedSpec> for RequireSpec {
    fn from(need: NeedSpec) -> Self {
        Self { any: vec![need] }
    }
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

/// One call, and no other ever.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OnceSpec {
    /// Values that are counted apart.
    pub bind: Vec<String>,
    /// The answers that count; `None` is any.
    pub count_if: Option<String>,
}

/// The time between two calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GapSpec {
    /// After which operation; it may be the guarded one itself.
    pub since: String,
    /// How much time.
    pub at_least: Duration,
    /// Values that both calls have in common.
    pub bind: Vec<String>,
}

/// A call after which others are forbidden.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ForbidSpec {
    /// Which operation.
    pub op: String,
    /// For how long; `None` is the life of the session.
    pub within: Option<Duration>,
    /// The operation that lifts it, answered 2xx.
    pub until: Option<String>,
    /// Values that the calls have in common.
    pub bind: Vec<String>,
    /// The answers that count; `None` is `2xx`.
    pub status: Option<String>,
}

/// A limit of different values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DistinctSpec {
    /// Which value.
    pub param: String,
    /// How many different ones.
    pub max: u32,
    /// In which time; `None` is the life of the session.
    pub per: Option<Duration>,
}

/// Values that must have been shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShownSpec {
    /// Which value of the guarded call.
    pub param: String,
    /// By whom; one is enough.
    pub by: Vec<ShownBySpec>,
}

/// An answer that shows values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShownBySpec {
    /// The operation.
    pub op: String,
    /// Where in its JSON: a pointer, in which `*` stands for every element.
    pub at: String,
    /// For how long; `None` is the life of the session.
    pub within: Option<Duration>,
}

/// Steps that follow each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OrderSpec {
    /// The operations; at least two.
    pub steps: Vec<String>,
    /// How long the answer of the step before may lie back; `None` is the life of the session.
    pub within: Option<Duration>,
    /// Values that all steps have in common.
    pub bind: Vec<String>,
}

/// What a body means that cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnUnreadable {
    /// The rule is violated.
    #[default]
    Deny,
    /// The rule does not concern the call.
    Allow,
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

    /// The place of what is said of unlisted calls.
    #[must_use]
    pub fn defaults() -> Self {
        Self::default().key("defaults")
    }

    /// Whether it is inside something of this key.
    pub(super) fn is_in(&self, key: &str) -> bool {
        self.0
            .iter()
            .any(|step| matches!(step, Step::Key(known) if known == key))
    }

    /// The place of what has this key.
    pub(super) fn up_to(&self, key: &str) -> Self {
        let steps = self
            .0
            .iter()
            .take_while(|step| !matches!(step, Step::Key(known) if known == key));
        Self(steps.cloned().collect())
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

/// Something right that does nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Where.
    pub place: Place,
    /// What.
    pub message: String,
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
