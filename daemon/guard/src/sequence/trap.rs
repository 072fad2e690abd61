//! Traps that somebody steps into who has no session. What a session would be counted for, his address is.

use http::Method;

use super::Rules;
use super::engine::step_up;
use super::judge::is_excepted;
use super::plan::{Condition, Rule};
use super::router::Found;
use super::scope::{SharedFacts, Who};
use super::violation::{Violation, ViolationKind};
use crate::path::NormalPath;
use crate::policy::Mode;
use crate::request::ClientAddress;
use crate::time::MonoMillis;

/// A trap that was stepped into.
#[derive(Debug)]
pub struct Trapped<'a> {
    rules: &'a super::plan::Compiled,
    rule: &'a Rule,
    explanation: String,
}

impl Rules {
    /// The trap that somebody without a session steps into by a call.
    #[must_use]
    pub fn trapped(&self, method: &Method, path: &NormalPath, who: &Who<'_>) -> Option<Trapped<'_>> {
        let rules = self.0.as_deref()?;
        let found = rules.router.find(method, path)?;
        let (Found::Exactly(operation) | Found::Nearly(operation)) = found;
        let plan = rules.plans.get(usize::from(operation.0))?;
        let trap = plan.checks.iter().find(|check| {
            let except = rules.rules[check.rule].except.as_deref();
            matches!(check.condition, Condition::Trap) && !is_excepted(except, who)
        })?;
        Some(Trapped {
            rules,
            rule: &rules.rules[trap.rule],
            explanation: format!("{} is a trap: nobody of ours makes this call", plan.name),
        })
    }
}

impl Trapped<'_> {
    /// The violation, without what so many of them lead to.
    #[must_use]
    pub fn violation(self, mode: Mode) -> Violation {
        Violation::of(self.rule, mode, ViolationKind::Sequence, self.explanation)
    }

    /// The violation, counted for the address.
    #[must_use]
    pub fn counted(self, client: ClientAddress, shared: &SharedFacts, mode: Mode, now: MonoMillis) -> Violation {
        let (rule, generation) = (self.rule, self.rules.generation);
        let mut violation = self.violation(mode);
        if rule.escalate.is_empty() {
            return violation;
        }
        let key = shared.key_of_source(client);
        let mut locked = shared.lock(&[key]);
        for &(slot, step) in &rule.escalate {
            let mut facts = locked.open(key, now).ok();
            if let Some(facts) = &mut facts {
                facts.generation = facts.generation.max(generation);
            }
            step_up(facts, (slot, step), &mut violation, now);
        }
        violation
    }
}
