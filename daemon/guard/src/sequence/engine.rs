//! Admission and completion of calls.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::Call;
use super::action::Action;
use super::explain::{human, human_wait};
use super::facts::{FactId, Facts};
use super::plan::{Check, Condition, CountedOp, Rule, RuleId};
use super::value::Binding;
use super::window::Limit;
use crate::policy::Mode;
use crate::refusal::Refusal;
use crate::time::MonoMillis;

/// A call that is under way. Give it back by [`Facts::complete`]; one that is dropped stays counted.
#[derive(Debug)]
#[must_use = "a call that is not completed stays counted and allows nothing"]
pub struct Reservation {
    call: Call,
    at: MonoMillis,
    /// The limits that counted the call, by the bits of [`super::plan::Plan::limits`].
    counted: u64,
}

/// What the rules say to a call.
#[derive(Debug)]
#[must_use]
pub struct Admission {
    /// Whether it may pass.
    pub verdict: Result<Reservation, Violation>,
    /// Violations that do not refuse the call, of rules that only watch, log or give points.
    pub observed: Vec<Violation>,
}

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
    /// Its number in the compiled rules.
    index: usize,
}

/// In which way a rule is violated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ViolationKind {
    /// Not at this point of the session: an earlier call is missing, a value that the rule binds is not there, or the
    /// call was made as often as a session ever may.
    Sequence,
    /// Too often; once more is possible after this time.
    Quota(Duration),
    /// The session has so many facts that one more that forbids does not fit.
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

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rule {}: {}", self.rule, self.explanation)
    }
}

impl Reservation {
    /// The name of the operation.
    #[must_use]
    pub fn operation(&self) -> &str {
        self.call.operation()
    }
}

impl Facts {
    /// Decides on a call, and counts it if it may pass.
    ///
    /// A rule has consequences if both it and `mode` enforce. The first such rule in the order of the file that the
    /// call violates is the verdict; then nothing is counted.
    pub fn admit(&mut self, call: Call, mode: Mode, now: MonoMillis) -> Admission {
        let now = self.tick(now);
        let mut observed = Vec::new();
        let refused = self.check_all(&call, mode, now, &mut observed);
        let rules = Arc::clone(&call.rules);
        let mut verdict = match refused {
            Err(violation) => Err(violation),
            Ok(to_count) => self.reserve(call, to_count, mode, now, &mut observed),
        };
        for violation in observed.iter_mut().chain(verdict.as_mut().err()) {
            self.escalate(&rules.rules[violation.index], violation, now);
        }
        Admission { verdict, observed }
    }

    /// Counts a violation, and names what so many lead to. The step with the most hits wins; what it counted starts
    /// again.
    fn escalate(&mut self, rule: &Rule, violation: &mut Violation, now: MonoMillis) {
        for &(slot, step) in &rule.escalate {
            let id = FactId {
                slot,
                binding: Binding::NONE,
            };
            let limit = Limit {
                count: step.hits,
                per: Some(step.per),
            };
            // Without room the violation is refused as before; it does not lead to more.
            if self.count(id, limit, now).is_err() {
                continue;
            }
            if self.counted(id).is_some_and(|window| window.check(limit, now).is_err()) {
                self.forget(id);
                violation.action = step.action;
                let times = format!("; {} times within {}: {}", step.hits, human(step.per), step.action);
                violation.explanation.push_str(&times);
            }
        }
    }

    /// Ends a call with the status of its answer.
    pub fn complete(&mut self, reservation: Reservation, status: u16, now: MonoMillis) {
        let now = self.tick(now);
        let Reservation { call, at, counted } = reservation;
        let plan = call.plan();
        for (bit, check, limit) in plan.limits() {
            if counted & bit != 0 && !limit.count_if.contains(status) {
                self.take_back(&call, check, at);
            }
        }
        for record in plan.records.iter().filter(|record| record.status.contains(status)) {
            // A call whose value is missing allows nothing.
            if let Some(binding) = call.binding(record.binder) {
                let until = record.within.map_or(MonoMillis(u64::MAX), |within| now.after(within));
                self.allow(
                    FactId {
                        slot: record.slot,
                        binding,
                    },
                    until,
                    now,
                );
            }
        }
    }

    /// The limits that will count the call, or the rule that refuses it.
    fn check_all(
        &self,
        call: &Call,
        mode: Mode,
        now: MonoMillis,
        observed: &mut Vec<Violation>,
    ) -> Result<u64, Violation> {
        let mut refused = None;
        let mut to_count = 0;
        let mut bit = 1u64;
        for check in &call.plan().checks {
            let is_limit = matches!(check.condition, Condition::Max(_));
            match self.check(call, check, now) {
                Ok(()) if is_limit => to_count |= bit,
                Ok(()) => {}
                Err((kind, explanation)) => {
                    let rule = &call.rules.rules[check.rule];
                    note(check.rule, rule, (kind, explanation), mode, &mut refused, observed);
                }
            }
            if is_limit {
                bit <<= 1;
            }
        }
        refused.map_or(Ok(to_count), Err)
    }

    fn check(&self, call: &Call, check: &Check, now: MonoMillis) -> Result<(), (ViolationKind, String)> {
        let name = call.operation();
        let Some(binding) = call.binding(check.binder) else {
            let explanation = format!("{name} does not have every value that the rule binds exactly once");
            return Err((ViolationKind::Sequence, explanation));
        };
        let id = FactId {
            slot: check.slot,
            binding,
        };
        match &check.condition {
            Condition::Require { .. } if self.allows(id, now) => Ok(()),
            Condition::Require { needs } => {
                Err((ViolationKind::Sequence, format!("{name} needs {needs}; there is none")))
            }
            Condition::Max(counted) => match self.counted(id).map(|window| window.check(counted.limit, now)) {
                None | Some(Ok(())) => Ok(()),
                Some(Err(Some(wait))) => {
                    let explanation = format!("{name}: {}; one more in {}", counted.allowed, human_wait(wait));
                    Err((ViolationKind::Quota(wait), explanation))
                }
                Some(Err(None)) => Err((ViolationKind::Sequence, format!("{name}: {}", counted.allowed))),
            },
        }
    }

    /// Counts the call by all these limits or, if one that enforces has no room, by none.
    fn reserve(
        &mut self,
        call: Call,
        to_count: u64,
        mode: Mode,
        now: MonoMillis,
        observed: &mut Vec<Violation>,
    ) -> Result<Reservation, Violation> {
        let mut refused = None;
        let mut counted = 0;
        for (bit, check, limit) in call.plan().limits().filter(|(bit, ..)| to_count & bit != 0) {
            if self.count_by(&call, check, limit, now) {
                counted |= bit;
            } else {
                let explanation = format!("{}: the session has no room for one more count", call.operation());
                let rule = &call.rules.rules[check.rule];
                let found = (ViolationKind::Overflow, explanation);
                note(check.rule, rule, found, mode, &mut refused, observed);
            }
        }
        let Some(violation) = refused else {
            return Ok(Reservation { call, at: now, counted });
        };
        for (_, check, _) in call.plan().limits().filter(|(bit, ..)| counted & bit != 0) {
            self.take_back(&call, check, now);
        }
        Err(violation)
    }

    fn count_by(&mut self, call: &Call, check: &Check, counted: &CountedOp, now: MonoMillis) -> bool {
        call.binding(check.binder).is_some_and(|binding| {
            self.count(
                FactId {
                    slot: check.slot,
                    binding,
                },
                counted.limit,
                now,
            )
            .is_ok()
        })
    }

    fn take_back(&mut self, call: &Call, check: &Check, at: MonoMillis) {
        if let Some(binding) = call.binding(check.binder) {
            self.refund(
                FactId {
                    slot: check.slot,
                    binding,
                },
                at,
            );
        }
    }
}

/// Puts a violation where it belongs: the first one that refuses is the verdict.
fn note(
    index: usize,
    rule: &Rule,
    (kind, explanation): (ViolationKind, String),
    mode: Mode,
    refused: &mut Option<Violation>,
    observed: &mut Vec<Violation>,
) {
    let enforced = (rule.mode, mode) == (Mode::Enforce, Mode::Enforce);
    let violation = Violation {
        rule: rule.id.clone(),
        kind,
        score: rule.score,
        action: rule.action,
        enforced,
        armed: rule.mode == Mode::Enforce,
        explanation,
        index,
    };
    if enforced && !rule.action.lets_pass() {
        refused.get_or_insert(violation);
    } else {
        observed.push(violation);
    }
}
