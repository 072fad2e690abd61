//! Looks at the conditions of a call. Nothing changes here.

use std::time::Duration;

use http::{HeaderMap, HeaderName};

use super::Call;
use super::action::Action;
use super::engine::Moment;
use super::explain::human_wait;
use super::facts::FactId;
use super::holders::Holders;
use super::plan::{Check, Condition, Except, Rule, Seat};
use super::scope::Who;
use super::spec::OnUnreadable;
use super::value::Unbound;
use super::violation::ViolationKind;
use crate::time::MonoMillis;

/// A condition that a call does not meet.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) rule: usize,
    pub(super) kind: ViolationKind,
    pub(super) explanation: String,
    /// When it passes by itself at the latest, or is looked at for the last time.
    pub(super) passes_at: Option<MonoMillis>,
    /// Whether an answer may make it pass sooner.
    pub(super) for_answer: bool,
    /// Whether others have caused it.
    pub(super) is_nobodys_fault: bool,
}

/// What a look at all conditions found.
pub(super) struct Findings {
    pub(super) list: Vec<Finding>,
    /// What is to be remembered if the call passes.
    pub(super) to_mark: u64,
}

/// How a condition is not met.
struct Unmet {
    kind: ViolationKind,
    explanation: String,
    passes_at: Option<MonoMillis>,
    for_answer: bool,
}

impl Unmet {
    fn now(kind: ViolationKind, explanation: String) -> Self {
        Self {
            kind,
            explanation,
            passes_at: None,
            for_answer: false,
        }
    }
}

impl Holders<'_> {
    /// Looks at all conditions, in the order of the rules.
    pub(super) fn judge(&self, call: &Call, who: &Who<'_>, moment: Moment) -> Findings {
        let plan = call.plan();
        let rules = &call.rules.rules;
        let mut findings = Findings {
            list: Vec::new(),
            to_mark: 0,
        };
        for (index, mark) in plan.marks.iter().enumerate() {
            if !is_excepted(rules[mark.rule].except.as_deref(), who) {
                findings.to_mark |= 1 << index;
            }
        }
        for check in &plan.checks {
            let rule = &rules[check.rule];
            if is_excepted(rule.except.as_deref(), who) {
                continue;
            }
            let outcome = self.look(call, rule, check, moment);
            let is_counted = matches!(outcome, Look::Met);
            if let (false, Condition::Max { mark, .. } | Condition::Distinct { mark, .. }) =
                (is_counted, &check.condition)
            {
                findings.to_mark &= !(1 << mark);
            }
            if let Look::Unmet(unmet) = outcome {
                findings.list.push(Finding {
                    rule: check.rule,
                    kind: unmet.kind,
                    explanation: unmet.explanation,
                    passes_at: unmet.passes_at,
                    for_answer: unmet.for_answer,
                    is_nobodys_fault: false,
                });
            }
        }
        findings
    }

    fn look(&self, call: &Call, rule: &Rule, check: &Check, moment: Moment) -> Look {
        let name = call.operation();
        let bound = |seat: &Seat| bound(call, rule, *seat);
        let now = moment.now;
        match &check.condition {
            Condition::Trap => Look::unmet(format!("{name} is a trap: nobody of ours makes this call")),
            Condition::Require { seats, needs } => self.look_for_calls(call, rule, seats, needs, moment),
            Condition::Shown { seats, by } => self.look_for_values(call, rule, seats, by, now),
            Condition::Bound { seat } => match bound(seat) {
                Ok(_) => Look::Met,
                Err(look) => look,
            },
            Condition::Max {
                seat, limit, allowed, ..
            } => {
                let id = match bound(seat) {
                    Ok(id) => id,
                    Err(look) => return look,
                };
                let window = self.get(seat.holder).and_then(|facts| facts.counted(id));
                match window.map(|window| window.check(*limit, now)) {
                    None | Some(Ok(())) => Look::Met,
                    Some(Err(wait)) => Look::too_much(name, allowed, "one more", wait),
                }
            }
            Condition::Distinct {
                seat,
                max,
                per,
                allowed,
                ..
            } => {
                let id = match bound(seat) {
                    Ok(id) => id,
                    Err(look) => return look,
                };
                let tried = self.get(seat.holder).and_then(|facts| facts.tried(id.slot));
                let most = usize::try_from(*max).unwrap_or(usize::MAX);
                match tried.map(|values| values.has_room(id.binding, most, *per, now)) {
                    None | Some(Ok(())) => Look::Met,
                    Some(Err(wait)) => Look::too_much(name, allowed, "another", wait),
                }
            }
            Condition::Gap {
                seat,
                at_least,
                allowed,
            } => {
                let id = match bound(seat) {
                    Ok(id) => id,
                    Err(look) => return look,
                };
                let last = self.get(seat.holder).and_then(|facts| facts.made(id));
                let ready = last.map(|last| last.after(*at_least)).filter(|ready| *ready > now);
                let Some(ready) = ready else { return Look::Met };
                let wait = ready.since(now);
                let explanation = format!("{name}: {allowed}; it is possible in {}", human_wait(wait));
                // A call is held no longer than the gap, however often it is pushed back.
                let is_held = rule.action == Action::Delay && ready <= moment.arrived.after(*at_least);
                Look::Unmet(Unmet {
                    passes_at: is_held.then_some(ready),
                    ..Unmet::now(ViolationKind::Quota(wait), explanation)
                })
            }
            Condition::After { seat, forbidden } => {
                let id = match bound(seat) {
                    Ok(id) => id,
                    Err(look) => return look,
                };
                match self.get(seat.holder).and_then(|facts| facts.forbids(id, now)) {
                    None => Look::Met,
                    Some(_) => Look::unmet(format!("{name}: {forbidden}")),
                }
            }
        }
    }

    fn look_for_calls(&self, call: &Call, rule: &Rule, seats: &[Seat], needs: &str, moment: Moment) -> Look {
        let mut missing = None;
        let mut is_awaited = false;
        for seat in seats {
            let id = match bound(call, rule, *seat) {
                Ok(id) => id,
                Err(Look::Skipped) => return Look::Skipped,
                Err(look) => {
                    missing.get_or_insert(look);
                    continue;
                }
            };
            let Some(facts) = self.get(seat.holder) else { continue };
            if facts.allows(id, moment.now) {
                return Look::Met;
            }
            is_awaited |= facts.is_awaited(id, moment.now);
        }
        if let Some(look) = missing.filter(|_| seats.len() == 1) {
            return look;
        }
        let deadline = rule.wait.map(|wait| moment.arrived.after(wait));
        let passes_at = deadline.filter(|deadline| is_awaited && *deadline > moment.now);
        let under_way = if is_awaited {
            "; it is under way"
        } else {
            "; there is none"
        };
        let explanation = format!("{} needs {needs}{under_way}", call.operation());
        Look::Unmet(Unmet {
            passes_at,
            for_answer: passes_at.is_some(),
            ..Unmet::now(ViolationKind::Sequence, explanation)
        })
    }

    fn look_for_values(&self, call: &Call, rule: &Rule, seats: &[Seat], by: &str, now: MonoMillis) -> Look {
        for seat in seats {
            let id = match bound(call, rule, *seat) {
                Ok(id) => id,
                Err(look) => return look,
            };
            let facts = self.get(seat.holder);
            if facts.is_some_and(|facts| facts.was_shown(id.slot, id.binding, now)) {
                return Look::Met;
            }
        }
        Look::unmet(format!("{}: {by}; this one was not", call.operation()))
    }
}

/// The outcome of a look at one condition.
enum Look {
    Met,
    /// The rule does not concern the call.
    Skipped,
    Unmet(Unmet),
}

impl Look {
    fn unmet(explanation: String) -> Self {
        Self::Unmet(Unmet::now(ViolationKind::Sequence, explanation))
    }

    fn too_much(name: &str, allowed: &str, what: &str, wait: Option<Duration>) -> Self {
        match wait {
            Some(wait) => {
                let explanation = format!("{name}: {allowed}; {what} in {}", human_wait(wait));
                Self::Unmet(Unmet::now(ViolationKind::Quota(wait), explanation))
            }
            None => Self::unmet(format!("{name}: {allowed}")),
        }
    }
}

fn bound(call: &Call, rule: &Rule, seat: Seat) -> Result<FactId, Look> {
    match call.binding(seat.binder) {
        Ok(binding) => Ok(FactId {
            slot: seat.slot,
            binding,
        }),
        Err(Unbound::Unreadable) if rule.on_unreadable == OnUnreadable::Allow => Err(Look::Skipped),
        Err(Unbound::Unreadable) => Err(Look::unmet(format!(
            "{}: its body is no JSON that can be read, and has a value that the rule binds",
            call.operation()
        ))),
        Err(Unbound::Missing) => Err(Look::unmet(format!(
            "{} does not have every value that the rule binds exactly once",
            call.operation()
        ))),
    }
}

/// Whether a rule does not concern somebody.
pub(super) fn is_excepted(except: Option<&Except>, who: &Who<'_>) -> bool {
    let Some(except) = except else { return false };
    let address = who.client.ip();
    let is_user = |user: &str| except.users.iter().any(|known| **known == *user);
    who.user.is_some_and(is_user)
        || except.networks.iter().any(|network| network.contains(&address))
        || (who.trusted
            && except
                .headers
                .iter()
                .any(|(name, values)| has_one(who.headers, name, values)))
}

/// Whether a field is there once, with one of these values. Twice, nobody knows which one holds.
fn has_one(headers: &HeaderMap, name: &HeaderName, values: &[Box<str>]) -> bool {
    let mut found = headers.get_all(name).iter();
    let (Some(value), None) = (found.next(), found.next()) else {
        return false;
    };
    let value = value.as_bytes().trim_ascii();
    values.iter().any(|known| known.as_bytes() == value)
}
