//! Rules about the order and number of calls: what a session may do depends on what it has done.
//!
//! A session keeps [`Facts`], one for each condition of a rule and each combination of values that the condition
//! binds. There is no list of recent calls that others could push out (invariant I2): only calls that rules name leave
//! a trace, and what they leave ends by time.
//!
//! A call has two moments. At admission, `require` conditions are looked up and `max` conditions count the call at
//! once, so that two calls in flight cannot both be the last allowed one. At completion the status is known: calls
//! whose answer does not match `count_if` are taken back, and what `require` waits for becomes true. A
//! [`Reservation`] that is dropped instead stays counted and makes nothing true.
//!
//! Where a condition binds a value, the call must have it exactly once; otherwise it is a violation.

mod action;
mod circle;
mod compile;
mod consequences;
mod engine;
mod explain;
mod facts;
mod operation;
mod plan;
mod router;
mod spec;
mod status;
mod suggest;
#[cfg(test)]
mod tests;
mod value;
mod window;

use std::sync::Arc;

use http::{HeaderMap, Method};

pub use action::{Action, BanAction, BanTarget, Escalation, Threshold};
pub use engine::{Admission, Reservation, Violation, ViolationKind};
pub use facts::Facts;
pub use plan::RuleId;
pub use spec::{MaxSpec, OperationSpec, Place, RequireSpec, RuleError, RuleSpec, RulesSpec, Step};
pub use suggest::closest;
pub use value::BindingKey;

use crate::path::NormalPath;
use plan::{Compiled, Plan};
use router::{Found, OperationIndex};
use value::{Binder, Binding, Parts};

/// Compiled rules. A clone is the same rules.
#[derive(Clone, Debug, Default)]
pub struct Rules(Option<Arc<Compiled>>);

/// A call that rules speak of, with the values that they bind.
#[derive(Debug)]
pub struct Call {
    rules: Arc<Compiled>,
    operation: OperationIndex,
    /// One for each binder of the operation; `None` where a value is missing or ambiguous.
    bindings: Vec<Option<Binding>>,
}

impl Rules {
    /// Checks and compiles rules.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    #[expect(clippy::needless_pass_by_value, reason = "what was compiled is not needed again")]
    pub fn compile(spec: RulesSpec) -> Result<Self, Vec<RuleError>> {
        let compiled = compile::compile(&spec)?;
        let says_nothing = compiled.rules.is_empty() && compiled.thresholds.is_empty();
        Ok(Self((!says_nothing).then(|| Arc::new(compiled))))
    }

    /// What a session's score leads to, by rising points.
    #[must_use]
    pub fn thresholds(&self) -> &[Threshold] {
        self.0.as_ref().map_or(&[], |compiled| &compiled.thresholds)
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

    /// The operation of a request and its values; `None` if no rule speaks of it.
    #[must_use]
    pub fn resolve(
        &self,
        key: &BindingKey,
        method: &Method,
        path: &NormalPath,
        query: Option<&str>,
        headers: &HeaderMap,
    ) -> Option<Call> {
        let rules = self.0.as_ref()?;
        let found = rules.router.find(method, path)?;
        let (Found::Exactly(operation) | Found::Nearly(operation)) = found;
        let plan = rules
            .plans
            .get(usize::from(operation.0))
            .filter(|plan| !plan.is_empty())?;
        let parts = Parts { path, query, headers };
        let bind = |binder: &Binder| match found {
            Found::Exactly(_) => binder.bind(key, parts),
            // A value that is not what the template says is as good as missing.
            Found::Nearly(_) => None,
        };
        let bindings = plan.binders.iter().map(bind).collect();
        Some(Call {
            rules: Arc::clone(rules),
            operation,
            bindings,
        })
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

    /// The values of a condition; `None` if one is missing or ambiguous.
    fn binding(&self, binder: Option<usize>) -> Option<Binding> {
        match binder {
            None => Some(Binding::NONE),
            Some(index) => self.bindings.get(index).copied().flatten(),
        }
    }
}
