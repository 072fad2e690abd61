//! Rules about the order and number of calls: what somebody may do depends on what he has done.
//!
//! A session keeps [`Facts`], one for each condition of a rule and each combination of values that the condition
//! binds; addresses, networks, browsers and users have theirs in [`SharedFacts`]. There is no list of recent calls that
//! others could push out (invariant I2): only calls that rules name leave a trace, and what they leave ends by time.
//!
//! A call has two moments. At admission, `require` conditions are looked up and limits count the call at once, so that
//! two calls in flight cannot both be the last allowed one. At completion the status is known: calls whose answer does
//! not match are taken back, and what `require` waits for becomes true. A [`Reservation`] that is dropped instead stays
//! counted and makes nothing true. Between the two a call may be [`Held`], until one that it requires is answered, or
//! until it is no longer too early. What an answer shows is read while it passes ([`Watch`]).
//!
//! Where a condition binds a value, the call must have it exactly once; otherwise it is a violation.

mod action;
mod after;
mod answer;
mod compile;
mod engine;
mod explain;
mod facts;
mod holders;
mod json;
mod judge;
mod operation;
mod plan;
mod router;
mod scope;
mod spec;
mod status;
mod suggest;
#[cfg(test)]
mod tests;
mod trap;
mod value;
mod values;
mod violation;
mod window;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use http::{HeaderMap, Method};

pub use action::{Action, BanAction, BanTarget, Escalation, Threshold};
pub use answer::{Shown, Watch};
pub use engine::{Admission, Held, Moment, Outcome, Reservation, Verdict};
pub use facts::{Facts, Revived};
pub use plan::RuleId;
pub use scope::{HolderKey, KeptFacts, MOST_FACTS, NotRestored, Scope, SharedFacts, SharedUsage, Who};
pub use spec::{
    DistinctSpec, ExceptSpec, ForbidSpec, GapSpec, MaxSpec, NeedSpec, OnUnreadable, OnceSpec, OperationSpec, OrderSpec,
    Place, RequireSpec, RuleError, RuleSpec, RulesSpec, ShownBySpec, ShownSpec, Step, Unlisted, Warning,
};
pub use suggest::closest;
pub use trap::Trapped;
pub use value::BindingKey;
pub use violation::{Violation, ViolationKind};

use crate::path::NormalPath;
use crate::policy::Mode;
use plan::{Compiled, Plan};
use router::{Found, OperationIndex};
use value::{Binder, Binding, BodyValues, Parts, Unbound};

/// Compiled rules. A clone is the same rules.
#[derive(Clone, Debug, Default)]
pub struct Rules(Option<Arc<Compiled>>);

/// Numbers for rules, so that facts notice that others hold now.
static GENERATION: AtomicU32 = AtomicU32::new(1);

/// What is known of a rule from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleInfo {
    /// Its name.
    pub id: RuleId,
    /// Its mode.
    pub mode: Mode,
    /// Equal for rules that say the same about the same operations.
    pub digest: u64,
}

/// What rules look at in a call.
#[derive(Clone, Copy, Debug)]
pub struct CallParts<'a> {
    /// The method that the application will act on.
    pub method: &'a Method,
    /// The path.
    pub path: &'a NormalPath,
    /// The query, without `?`.
    pub query: Option<&'a str>,
    /// The header fields.
    pub headers: &'a HeaderMap,
    /// The body, if it was read; what was not read cannot be read.
    pub body: Option<&'a [u8]>,
}

/// What rules make of a call.
#[derive(Debug)]
pub enum Resolved {
    /// It is no operation.
    Unlisted,
    /// No rule speaks of its operation.
    Free,
    /// Rules speak of it.
    Call(Call),
}

/// A call that rules speak of, with the values that they bind.
#[derive(Debug)]
pub struct Call {
    rules: Arc<Compiled>,
    operation: OperationIndex,
    bindings: Bindings,
}

/// The values of a call, one for each binder of the operation. Few need no memory of their own.
#[derive(Debug)]
enum Bindings {
    Few([Result<Binding, Unbound>; FEW]),
    Many(Vec<Result<Binding, Unbound>>),
}

const FEW: usize = 4;

impl Rules {
    /// Checks and compiles rules.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    #[expect(clippy::needless_pass_by_value, reason = "what was compiled is not needed again")]
    pub fn compile(spec: RulesSpec) -> Result<Self, Vec<RuleError>> {
        let compiled = compile::compile(&spec, GENERATION.fetch_add(1, Ordering::Relaxed))?;
        let has_opinion = compiled.unlisted.deny || compiled.unlisted.score > 0.0;
        let says_nothing = compiled.rules.is_empty() && compiled.thresholds.is_empty() && !has_opinion;
        Ok(Self((!says_nothing).then(|| Arc::new(compiled))))
    }

    /// What a session's score leads to, by rising points.
    #[must_use]
    pub fn thresholds(&self) -> &[Threshold] {
        self.0.as_ref().map_or(&[], |compiled| &compiled.thresholds)
    }

    /// Makes the facts of a session that were written down good for this process; `None` if they are not what was written.
    pub(crate) fn revive(&self, facts: &mut Facts) -> Option<Revived> {
        let mut revived = Revived::default();
        facts
            .revive(|slot| self.has_slot(slot), true, &mut revived)
            .then_some(revived)
    }

    /// Whether a condition is asked for.
    fn has_slot(&self, slot: facts::SlotId) -> bool {
        self.0.as_ref().is_some_and(|compiled| compiled.has_slot(slot))
    }

    /// How many rules there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |compiled| compiled.rules.len())
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All rules, in their order.
    #[must_use]
    pub fn list(&self) -> Vec<RuleInfo> {
        let rules = self.0.iter().flat_map(|compiled| &compiled.rules);
        let info = |rule: &plan::Rule| RuleInfo {
            id: rule.id.clone(),
            mode: rule.mode,
            digest: rule.digest,
        };
        rules.map(info).collect()
    }

    /// Rules that can never fire, and operations that no rule names.
    #[must_use]
    pub fn warnings(&self) -> Vec<Warning> {
        self.0
            .as_ref()
            .map_or_else(Vec::new, |compiled| compiled.warnings.clone())
    }

    /// The rules that decide by answers of the application, each with what it must see of them. They cannot work where
    /// answers do not pass the gate.
    #[must_use]
    pub fn needs_response(&self) -> Vec<(RuleId, &'static str)> {
        let rules = self.0.iter().flat_map(|compiled| &compiled.rules);
        rules
            .filter_map(|rule| Some((rule.id.clone(), rule.needs_response?)))
            .collect()
    }

    /// The operations of which rules compare values that are in bodies. They cannot be told apart where bodies do not pass
    /// the gate.
    #[must_use]
    pub fn reads_bodies(&self) -> Vec<&str> {
        let plans = self.0.iter().flat_map(|compiled| &compiled.plans);
        let reads = plans.filter(|plan| !plan.is_empty() && !plan.pointers.is_empty());
        reads.map(|plan| &*plan.name).collect()
    }

    /// The operation of a call and its values.
    #[must_use]
    pub fn resolve(&self, key: &BindingKey, call: CallParts<'_>) -> Resolved {
        let Some(rules) = self.0.as_ref() else {
            return Resolved::Free;
        };
        let Some(found) = rules.router.find(call.method, call.path) else {
            return Resolved::Unlisted;
        };
        let (Found::Exactly(operation) | Found::Nearly(operation)) = found;
        let Some(plan) = rules
            .plans
            .get(usize::from(operation.0))
            .filter(|plan| !plan.is_empty())
        else {
            return Resolved::Free;
        };
        let body = match (plan.pointers.as_slice(), call.body) {
            ([], _) => BodyValues::None,
            (pointers, Some(body)) => BodyValues::read(pointers, body),
            (_, None) => BodyValues::Unreadable,
        };
        let parts = Parts {
            path: call.path,
            query: call.query,
            headers: call.headers,
            body: &body,
        };
        let bind = |binder: &Binder| match found {
            Found::Exactly(_) => binder.bind(key, parts),
            // A value that is not what the template says is as good as missing.
            Found::Nearly(_) => Err(Unbound::Missing),
        };
        Resolved::Call(Call {
            rules: Arc::clone(rules),
            operation,
            bindings: Bindings::of(plan.binders.iter().map(bind)),
        })
    }

    /// What is said of a call that is no operation, if that costs anything.
    #[must_use]
    pub fn unlisted(&self, mode: Mode) -> Option<Violation> {
        let rules = self.0.as_ref()?;
        let Unlisted { deny, score, mode: own } = rules.unlisted;
        (deny || score > 0.0).then(|| Violation {
            rule: rules.unlisted_id.clone(),
            kind: ViolationKind::Sequence,
            score,
            action: if deny { Action::Deny } else { Action::Score },
            enforced: (own, mode) == (Mode::Enforce, Mode::Enforce),
            armed: own == Mode::Enforce,
            explanation: "the call is no operation that the rules name".into(),
        })
    }
}

impl Bindings {
    fn of(mut all: impl ExactSizeIterator<Item = Result<Binding, Unbound>>) -> Self {
        if all.len() > FEW {
            return Self::Many(all.collect());
        }
        Self::Few(std::array::from_fn(|_| all.next().unwrap_or(Err(Unbound::Missing))))
    }

    fn get(&self, index: usize) -> Option<&Result<Binding, Unbound>> {
        match self {
            Self::Few(few) => few.get(index),
            Self::Many(many) => many.get(index),
        }
    }
}

impl Call {
    /// The name of the operation.
    #[must_use]
    pub fn operation(&self) -> &str {
        &self.plan().name
    }

    fn plan(&self) -> &Plan {
        &self.rules.plans[usize::from(self.operation.0)]
    }

    /// The values of a condition.
    fn binding(&self, binder: Option<usize>) -> Result<Binding, Unbound> {
        match binder {
            None => Ok(Binding::NONE),
            Some(index) => self.bindings.get(index).copied().unwrap_or(Err(Unbound::Missing)),
        }
    }
}
