//! Admission and completion of calls.

use std::time::Duration;

use super::Call;
use super::action::{Action, Escalation};
use super::answer::Watch;
use super::facts::{FactId, Facts, SlotId};
use super::holders::Holders;
use super::judge::Finding;
use super::plan::{MarkKind, RecordKind, Rule, SESSION, Seat};
use super::scope::{HolderKey, SharedFacts, Who};
use super::value::Binding;
use super::violation::{Violation, ViolationKind};
use super::window::Limit;
use crate::policy::Mode;
use crate::time::MonoMillis;

/// A call that is under way. Give it back by [`Facts::complete`]; one that is dropped stays counted.
#[derive(Debug)]
#[must_use = "a call that is not completed stays counted and allows nothing"]
pub struct Reservation(Box<UnderWay>);

/// What is known of a call that is under way. In a box, as it goes from hand to hand until the answer.
#[derive(Debug)]
struct UnderWay {
    call: Call,
    at: MonoMillis,
    /// What was remembered of the call, by the bits of the plan's marks.
    marked: u64,
    keys: Vec<HolderKey>,
}

/// When and in which mode a call is judged.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The mode of the gate.
    pub mode: Mode,
    /// Now.
    pub now: MonoMillis,
    /// When the call arrived; before `now` if it was held.
    pub arrived: MonoMillis,
}

/// What the rules say to a call.
#[derive(Debug)]
#[must_use]
pub struct Admission {
    /// Whether it may pass.
    pub verdict: Verdict,
    /// Violations that do not refuse the call, of rules that only watch, log or give points.
    pub observed: Vec<Violation>,
}

/// See [`Admission`].
#[derive(Debug)]
pub enum Verdict {
    /// It may.
    Passed(Reservation),
    /// It may not.
    Refused(Violation),
    /// It may pass later: ask again.
    Held(Held),
}

impl Verdict {
    /// The violation for which the call may not pass.
    #[must_use]
    pub fn refused(&self) -> Option<&Violation> {
        match self {
            Self::Refused(violation) => Some(violation),
            Self::Passed(_) | Self::Held(_) => None,
        }
    }
}

/// A call has to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Ask again at this time at the latest.
    pub until: MonoMillis,
    /// Ask again when any call of the session was answered.
    pub for_answer: bool,
}

/// What became of a call.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// The status of the answer.
    pub status: u16,
    /// When.
    pub now: MonoMillis,
}

impl Reservation {
    /// The name of the operation.
    #[must_use]
    pub fn operation(&self) -> &str {
        self.0.call.operation()
    }

    /// Whether rules want to see the body of the answer.
    #[must_use]
    pub fn reads_answer(&self) -> bool {
        !self.0.call.plan().shows.is_empty()
    }
}

impl Facts {
    /// Decides on a call, and remembers it if it may pass.
    ///
    /// A rule has consequences if both it and the gate enforce. The first such rule in the order of the file that the
    /// call violates is the verdict; then nothing is remembered but the violation.
    pub fn admit(&mut self, call: Call, who: &Who<'_>, shared: &SharedFacts, moment: Moment) -> Admission {
        let plan = call.plan();
        let keys: Vec<HolderKey> = plan.scopes.iter().map(|scopes| shared.key_of(scopes, who)).collect();
        let mut holders = Holders {
            session: self,
            shared: (!keys.is_empty()).then(|| shared.lock(&keys)),
            keys: &keys,
        };
        let now = holders.enter(&call.rules, moment.now);
        let moment = Moment { now, ..moment };
        let findings = holders.judge(&call, who, moment);
        if let Some(held) = wait_for(&findings.list, &call, moment) {
            return Admission {
                verdict: Verdict::Held(held),
                observed: Vec::new(),
            };
        }
        let mut to_mark = findings.to_mark;
        let mut told = Told::default();
        holders.tell(&call, findings.list, moment, &mut told);
        if told.refused.is_none() {
            let found = holders.without_room(&call, &mut to_mark, now);
            holders.tell(&call, found, moment, &mut told);
        }
        let verdict = match told.refused {
            Some(violation) => Verdict::Refused(violation),
            None => {
                holders.remember(&call, to_mark, now);
                drop(holders);
                Verdict::Passed(Reservation(Box::new(UnderWay {
                    call,
                    at: now,
                    marked: to_mark,
                    keys,
                })))
            }
        };
        Admission {
            verdict,
            observed: told.observed,
        }
    }

    /// Ends a call with the status of its answer. What comes back wants to see the body of the answer.
    pub fn complete(&mut self, reservation: Reservation, shared: &SharedFacts, outcome: Outcome) -> Option<Watch> {
        let UnderWay { call, at, marked, keys } = *reservation.0;
        let mut holders = Holders {
            session: self,
            shared: (!keys.is_empty()).then(|| shared.lock(&keys)),
            keys: &keys,
        };
        let now = holders.enter(&call.rules, outcome.now);
        holders.settle(&call, marked, at, outcome.status);
        holders.record(&call, at, Outcome { now, ..outcome });
        drop(holders);
        let is_success = (200..300).contains(&outcome.status);
        (is_success && !call.plan().shows.is_empty()).then(|| Watch::new(call, keys))
    }
}

/// Violations, each where it belongs.
#[derive(Default)]
struct Told {
    /// The first one that refuses the call.
    refused: Option<Violation>,
    observed: Vec<Violation>,
}

/// Whether all that stands in the way of a call will pass by itself: until when, and whether an answer may do it.
fn wait_for(findings: &[Finding], call: &Call, moment: Moment) -> Option<Held> {
    if findings.is_empty() {
        return None;
    }
    let mut until: Option<MonoMillis> = None;
    let mut for_answer = false;
    for finding in findings {
        let rule = &call.rules.rules[finding.rule];
        let is_hard = rule.enforces(moment.mode) && !rule.action.lets_pass();
        match finding.passes_at {
            Some(at) if is_hard => {
                until = Some(until.map_or(at, |until| until.min(at)));
                for_answer |= finding.for_answer;
            }
            // A rule that only watches tells of it when the call is judged at last.
            Some(_) | None if !is_hard => {}
            Some(_) | None => return None,
        }
    }
    until.map(|until| Held { until, for_answer })
}

/// A violation that has no room to be counted is not let pass.
fn refuse_uncounted(violation: &mut Violation) {
    if violation.action.lets_pass() {
        violation.action = Action::Deny;
        violation.explanation.push_str("; there is no room to count it");
    }
}

/// Counts a violation, and names what so many lead to. The step with the most hits wins; what it counted starts again.
/// Without facts there is no room to count it.
pub(super) fn step_up(
    facts: Option<&mut Facts>,
    (slot, step): (SlotId, Escalation),
    violation: &mut Violation,
    now: MonoMillis,
) {
    let id = FactId {
        slot,
        binding: Binding::NONE,
    };
    let limit = Limit {
        count: step.hits,
        per: Some(step.per),
    };
    let counted = facts.and_then(|facts| facts.count(id, limit, now).is_ok().then_some(facts));
    let Some(facts) = counted else {
        // It might have been the one too many.
        return refuse_uncounted(violation);
    };
    if facts
        .counted(id)
        .is_some_and(|window| window.check(limit, now).is_err())
    {
        facts.forget(id);
        violation.action = step.action;
        let times = format!(
            "; {} times within {}: {}",
            step.hits,
            super::explain::human(step.per),
            step.action
        );
        violation.explanation.push_str(&times);
    }
}

impl Holders<'_> {
    /// Makes violations of findings. One answers a call: others that would refuse it as well do not count.
    fn tell(&mut self, call: &Call, findings: Vec<Finding>, moment: Moment, told: &mut Told) {
        for finding in findings {
            let rule = &call.rules.rules[finding.rule];
            let refuses = rule.enforces(moment.mode) && !rule.action.lets_pass();
            if refuses && told.refused.is_some() {
                continue;
            }
            let violation = self.violated(call, finding, moment);
            if violation.refuses() {
                told.refused.get_or_insert(violation);
            } else {
                told.observed.push(violation);
            }
        }
    }

    /// Makes a violation of a finding: counts it, and names what so many lead to.
    fn violated(&mut self, call: &Call, finding: Finding, moment: Moment) -> Violation {
        let rule = &call.rules.rules[finding.rule];
        let mut violation = Violation::of(rule, moment.mode, finding.kind, finding.explanation);
        if finding.is_nobodys_fault {
            violation.score = 0.0;
        }
        match finding.kind {
            // Lack of room is not counted: there is no room for that. What is not remembered might have been the start
            // of what a later step refuses.
            ViolationKind::Overflow if rule.escalate.is_empty() => {}
            ViolationKind::Overflow => refuse_uncounted(&mut violation),
            ViolationKind::Sequence | ViolationKind::Quota(_) => {
                self.escalate(call, rule, &mut violation, moment.now);
            }
        }
        violation
    }

    /// Violations are counted in the session.
    fn escalate(&mut self, call: &Call, rule: &Rule, violation: &mut Violation, now: MonoMillis) {
        for &step in &rule.escalate {
            let facts = self.open(SESSION, call.rules.generation, now).ok();
            step_up(facts, step, violation, now);
        }
    }

    /// Makes room for what is to be remembered. What has no room is not marked, and found.
    fn without_room(&mut self, call: &Call, to_mark: &mut u64, now: MonoMillis) -> Vec<Finding> {
        let plan = call.plan();
        let mut found = Vec::new();
        if *to_mark == 0 {
            return found;
        }
        for holder in 0..=plan.scopes.len() {
            let marks = *to_mark;
            let seats = || plan.marked(marks).filter(|(_, mark)| mark.seat.holder == holder);
            // Mostly there is room for anything.
            if self
                .get(holder)
                .is_some_and(|facts| facts.has_room_for(plan.marks.len()))
            {
                continue;
            }
            // Making room forgets what is over, and that may be what was to grow: so it is measured again.
            let fits = (0..2).all(|_| {
                let units: usize = seats()
                    .map(|(_, mark)| self.growth(call, mark.seat, &mark.kind, now))
                    .sum();
                let mut make_room = || self.open(holder, call.rules.generation, now)?.make_room(units, now);
                units == 0 || make_room().is_ok()
            });
            if fits {
                continue;
            }
            if let Some(shared) = self.shared.as_mut().filter(|_| holder != SESSION) {
                shared.note_refused(self.keys.get(holder - 1).copied());
            }
            let mut without = 0;
            for (bit, mark) in seats() {
                without |= bit;
                let whose = if holder == SESSION {
                    "the session has"
                } else {
                    "there is"
                };
                found.push(Finding {
                    rule: mark.rule,
                    kind: ViolationKind::Overflow,
                    explanation: format!("{}: {whose} no room to remember one more call", plan.name),
                    passes_at: None,
                    for_answer: false,
                    is_nobodys_fault: holder != SESSION,
                });
            }
            *to_mark &= !without;
        }
        found
    }

    /// Units that a mark would take.
    fn growth(&self, call: &Call, seat: Seat, kind: &MarkKind, now: MonoMillis) -> usize {
        let Some(id) = call.fact(seat) else { return 0 };
        let facts = self.get(seat.holder);
        match kind {
            MarkKind::Count { limit, .. } => facts.map_or(1, |facts| facts.growth_by_count(id, *limit, now)),
            MarkKind::Make { .. } => facts.map_or(1, |facts| facts.growth_by_call(id)),
            MarkKind::Forbid { .. } => facts.map_or(3, |facts| facts.growth_by_forbidding(id)),
            MarkKind::Try { .. } => facts.map_or(3, |facts| facts.growth_by_trying(id.slot, id.binding)),
        }
    }

    /// Remembers a call that is let in. There is room for it.
    fn remember(&mut self, call: &Call, to_mark: u64, now: MonoMillis) {
        let plan = call.plan();
        for (_, mark) in plan.marked(to_mark) {
            let (Some(id), Ok(facts)) = (
                call.fact(mark.seat),
                self.open(mark.seat.holder, call.rules.generation, now),
            ) else {
                continue;
            };
            match &mark.kind {
                // Room was made.
                MarkKind::Count { limit, .. } => _ = facts.count(id, *limit, now),
                MarkKind::Try { per } => facts.try_value(id.slot, id.binding, *per, now),
                MarkKind::Make { at_least } => facts.make(id, now.after(*at_least), now),
                MarkKind::Forbid { within, .. } => facts.forbid(id, *within, now),
            }
        }
        for record in &plan.records {
            if let RecordKind::Allow { is_awaited: true, .. } = record.kind
                && let Some(id) = call.fact(record.seat)
                && let Ok(facts) = self.open(record.seat.holder, call.rules.generation, now)
            {
                facts.depart(id, now);
            }
        }
    }

    /// Takes back what the answer says did not happen.
    fn settle(&mut self, call: &Call, marked: u64, at: MonoMillis, status: u16) {
        for (_, mark) in call.plan().marked(marked) {
            let (Some(id), Some(facts)) = (call.fact(mark.seat), self.get_mut(mark.seat.holder)) else {
                continue;
            };
            match &mark.kind {
                MarkKind::Count { count_if, .. } if !count_if.contains(status) => facts.refund(id, at),
                MarkKind::Forbid { status: holds, .. } => facts.settle(id, at, holds.contains(status)),
                MarkKind::Count { .. } | MarkKind::Try { .. } | MarkKind::Make { .. } => {}
            }
        }
    }

    /// Remembers what the answer says did happen. A call whose value is missing allows nothing.
    fn record(&mut self, call: &Call, at: MonoMillis, outcome: Outcome) {
        let Outcome { status, now } = outcome;
        for record in &call.plan().records {
            let Some(id) = call.fact(record.seat) else { continue };
            let matches = record.status.contains(status);
            match record.kind {
                RecordKind::Allow { within, is_awaited } => {
                    if is_awaited && let Some(facts) = self.get_mut(record.seat.holder) {
                        facts.land(id);
                    }
                    if matches && let Ok(facts) = self.open(record.seat.holder, call.rules.generation, now) {
                        facts.allow(id, end(within, now), now);
                    }
                }
                RecordKind::Lift => {
                    if matches && let Some(facts) = self.get_mut(record.seat.holder) {
                        facts.lift(id, at);
                    }
                }
            }
        }
    }
}

impl Call {
    /// The fact that a seat is about; `None` if a value is missing.
    pub(super) fn fact(&self, seat: Seat) -> Option<FactId> {
        let binding = self.binding(seat.binder).ok()?;
        Some(FactId {
            slot: seat.slot,
            binding,
        })
    }
}

/// The last moment at which something within this time still holds.
pub(super) fn end(within: Option<Duration>, now: MonoMillis) -> MonoMillis {
    within.map_or(MonoMillis(u64::MAX), |within| now.after(within))
}
