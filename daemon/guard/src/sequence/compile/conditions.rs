//! Compiles the conditions of rules.

use std::time::Duration;

use super::super::explain::human;
use super::super::plan::{Check, Condition, Mark, MarkKind, Record, RecordKind, Seat};
use super::super::scope::Scope;
use super::super::spec::{DistinctSpec, MaxSpec, NeedSpec, OrderSpec, Place, RequireSpec, RuleSpec};
use super::super::status::StatusSet;
use super::super::window::Limit;
use super::{Clause, Compiler, Fields, same, scope_name, slot, steps, values_of};

/// The largest `count`.
const LARGEST_COUNT: u32 = 1_000_000;

/// The most different values that are told apart: as many as fit into half of what a session remembers.
const MOST_DISTINCT: u32 = 500;

/// The longest that a call is held.
pub(super) const LONGEST_HOLD: Duration = Duration::from_secs(10);

/// The conditions that a rule can have.
pub(super) const ALL: &str =
    "`require`, `max`, `once`, `min_gap`, `forbid_after`, `distinct`, `shown`, `order` and `trap`";

/// The conditions that concern the operations of `on`.
pub(super) fn names(spec: &RuleSpec) -> Vec<&'static str> {
    let has = [
        ("require", !spec.require.is_empty()),
        ("max", spec.max.is_some()),
        ("once", spec.once.is_some()),
        ("min_gap", spec.min_gap.is_some()),
        ("forbid_after", spec.forbid_after.is_some()),
        ("distinct", spec.distinct.is_some()),
        ("shown", spec.shown.is_some()),
        ("trap", spec.trap),
    ];
    has.into_iter().filter(|(_, has)| *has).map(|(name, _)| name).collect()
}

impl Compiler {
    /// Compiles all conditions of a rule.
    pub(super) fn conditions(&mut self, clause: &Clause<'_>, place: &Place) {
        let spec = clause.spec;
        if spec.trap {
            for &operation in clause.on {
                self.check(clause, operation, Condition::Trap);
            }
        }
        if let Some(order) = &spec.order {
            self.check_order(clause, order, &place.clone().key("order"));
        }
        if spec.wait.is_some() && spec.require.is_empty() && spec.order.is_none() {
            self.error(place.clone().key("wait"), "there is no `require` to wait for".into());
        }
        if spec.wait.is_some_and(|wait| wait.is_zero() || wait > LONGEST_HOLD) {
            let message = format!("expected a time from 1ms to {}", human(LONGEST_HOLD));
            self.error(place.clone().key("wait"), message);
        }
        for requirement in steps::of(spec, place) {
            // What is wrong with the names of an order is said there.
            let on = requirement.on.iter().map(|name| self.position(name));
            if let Some(mut on) = on.collect::<Option<Vec<_>>>() {
                on.sort_unstable();
                on.dedup();
                let clause = Clause { on: &on, ..*clause };
                self.require(&clause, &requirement.require, &requirement.place);
            }
        }
        if let Some(max) = &spec.max {
            self.max(clause, "max", max, &place.clone().key("max"));
        }
        if let Some(once) = &spec.once {
            let max = MaxSpec {
                count: 1,
                per: None,
                bind: once.bind.clone(),
                count_if: once.count_if.clone(),
            };
            self.max(clause, "once", &max, &place.clone().key("once"));
        }
        if let Some(gap) = &spec.min_gap {
            self.min_gap(clause, gap, &place.clone().key("min_gap"));
        }
        if let Some(forbid) = &spec.forbid_after {
            self.forbid_after(clause, forbid, &place.clone().key("forbid_after"));
        }
        if let Some(distinct) = &spec.distinct {
            self.distinct(clause, distinct, &place.clone().key("distinct"));
        }
        if let Some(shown) = &spec.shown {
            self.shown(clause, shown, &place.clone().key("shown"));
        }
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.operations.iter().position(|operation| operation.name == name)
    }

    pub(super) fn check(&mut self, clause: &Clause<'_>, operation: usize, condition: Condition) {
        self.plans[operation].checks.push(Check {
            rule: clause.rule,
            condition,
        });
    }

    pub(super) fn needs_response(&mut self, clause: &Clause<'_>, what: &'static str) {
        self.rules[clause.rule].needs_response.get_or_insert(what);
    }

    fn check_order(&mut self, clause: &Clause<'_>, order: &OrderSpec, place: &Place) {
        if order.steps.len() < 2 {
            self.error(place.clone(), "an order has at least two steps".into());
        }
        self.named_all(&order.steps, place, clause.all);
        self.check_time(order.within, clause_place(place).key("within"));
    }

    fn require(&mut self, clause: &Clause<'_>, spec: &RequireSpec, place: &Place) {
        let before = self.errors.len();
        if spec.any.is_empty() {
            self.error(place.clone().key("any"), "at least one call must be named".into());
        }
        let mut needs = Vec::new();
        // For each operation of the rule, where it finds each alternative.
        let mut seats: Vec<Vec<Seat>> = vec![Vec::new(); clause.on.len()];
        for (position, need) in spec.any.iter().enumerate() {
            let place = steps::alternative(place, spec, position);
            if let Some((words, found)) = self.need(clause, need, &place) {
                needs.push(words);
                seats.iter_mut().zip(found).for_each(|(seats, seat)| seats.push(seat));
            }
        }
        if self.errors.len() > before {
            return;
        }
        for (&operation, seats) in clause.on.iter().zip(seats) {
            let needs = needs.join(", or ");
            self.check(clause, operation, Condition::Require { seats, needs });
        }
    }

    fn need(&mut self, clause: &Clause<'_>, spec: &NeedSpec, place: &Place) -> Option<(String, Vec<Seat>)> {
        let before = self.errors.len();
        if clause.spec.order.is_none() || !place.is_in("order") {
            self.check_time(spec.within, place.clone().key("within"));
        }
        let status = self.status(
            spec.status.as_deref(),
            StatusSet::success(),
            place.clone().key("status"),
        );
        let op = steps::operation(place.clone(), clause.spec);
        let needed = match place.is_in("order") {
            true => self.position(&spec.op)?,
            false => self.named(&spec.op, &op, clause.all)?,
        };
        if clause.on.contains(&needed) {
            self.error(op, format!("`{}` cannot come before its own first call", spec.op));
            return None;
        }
        let ends: Vec<usize> = clause.on.iter().copied().chain([needed]).collect();
        let bind_place = if place.is_in("order") {
            clause_place(place)
        } else {
            place.clone()
        };
        let fields = self.fields(&ends, &spec.bind, &bind_place)?;
        if self.errors.len() > before {
            return None;
        }
        let operation = &self.operations[needed];
        let slot = slot(&[
            "require",
            &clause.spec.id,
            &scope_name(&clause.spec.scope),
            &operation.on,
            &values_of(operation, &fields),
            &format!("{:?} {status}", spec.within),
        ]);
        let within = spec
            .within
            .map(|within| format!(" within {}", human(within)))
            .unwrap_or_default();
        let words = format!("{} answered {status}{within}{}", spec.op, same(&fields));
        if !status.is_any() {
            self.needs_response(clause, "what a required call was answered");
        }
        let seat = self.seat(clause, needed, slot, &fields);
        let kind = RecordKind::Allow {
            within: spec.within,
            is_awaited: clause.spec.wait.is_some(),
        };
        let records = &mut self.plans[needed].records;
        let is_known = records
            .iter()
            .any(|record| record.seat == seat && matches!(record.kind, RecordKind::Allow { .. }));
        if !is_known {
            records.push(Record { seat, status, kind });
        }
        let seats = clause
            .on
            .iter()
            .map(|&operation| self.seat(clause, operation, slot, &fields));
        Some((words, seats.collect()))
    }

    fn max(&mut self, clause: &Clause<'_>, name: &str, spec: &MaxSpec, place: &Place) {
        let before = self.errors.len();
        self.check_time(spec.per, place.clone().key("per"));
        let count_if = self.status(
            spec.count_if.as_deref(),
            StatusSet::any(),
            place.clone().key("count_if"),
        );
        if spec.count == 0 || spec.count > LARGEST_COUNT {
            self.error(
                place.clone().key("count"),
                format!("expected a number from 1 to {LARGEST_COUNT}"),
            );
        }
        let Some(fields) = self.fields(clause.on, &spec.bind, place) else {
            return;
        };
        if self.errors.len() > before {
            return;
        }
        let limit = Limit {
            count: spec.count,
            per: spec.per,
        };
        if !count_if.is_any() {
            self.needs_response(clause, "what a counted call was answered");
        }
        // Not a part of the name: how many in which time. A rule that is made stricter must not forget.
        let slot = slot(&[
            name,
            &clause.spec.id,
            &scope_name(&clause.spec.scope),
            &format!("{fields:?}"),
        ]);
        let per = spec
            .per
            .map_or_else(|| life(&clause.spec.scope).into(), |per| format!(" in {}", human(per)));
        let allowed = format!("at most {} answered {count_if}{per}{}", spec.count, same(&fields));
        for &operation in clause.on {
            let seat = self.seat(clause, operation, slot, &fields);
            let kind = MarkKind::Count {
                limit,
                count_if: count_if.clone(),
            };
            let mark = Mark {
                rule: clause.rule,
                seat,
                kind,
            };
            let Some(mark) = self.mark(operation, mark, place) else {
                return;
            };
            let allowed = allowed.clone();
            let condition = Condition::Max {
                seat,
                limit,
                mark,
                allowed,
            };
            self.check(clause, operation, condition);
        }
    }

    fn distinct(&mut self, clause: &Clause<'_>, spec: &DistinctSpec, place: &Place) {
        let before = self.errors.len();
        self.check_time(spec.per, place.clone().key("per"));
        if spec.max == 0 || spec.max > MOST_DISTINCT {
            let message = format!("expected a number from 1 to {MOST_DISTINCT}");
            self.error(place.clone().key("max"), message);
        }
        let Some(fields) = self.param(clause.on, &spec.param, place) else {
            return;
        };
        if self.errors.len() > before {
            return;
        }
        let slot = slot(&[
            "distinct",
            &clause.spec.id,
            &scope_name(&clause.spec.scope),
            &format!("{fields:?}"),
        ]);
        let per = spec
            .per
            .map_or_else(|| life(&clause.spec.scope).into(), |per| format!(" in {}", human(per)));
        let allowed = format!("at most {} different `{}`{per}", spec.max, spec.param);
        for &operation in clause.on {
            let seat = self.seat(clause, operation, slot, &fields);
            let mark = Mark {
                rule: clause.rule,
                seat,
                kind: MarkKind::Try { per: spec.per },
            };
            let Some(mark) = self.mark(operation, mark, place) else {
                return;
            };
            let condition = Condition::Distinct {
                seat,
                max: spec.max,
                per: spec.per,
                mark,
                allowed: allowed.clone(),
            };
            self.check(clause, operation, condition);
        }
    }

    pub(super) fn param(&mut self, operations: &[usize], name: &str, place: &Place) -> Option<Fields> {
        // A place of its own: `param` is one name, not an array of them.
        let errors = self.errors.len();
        let fields = self.fields(operations, &[name.to_owned()], place);
        for error in self.errors.iter_mut().skip(errors) {
            error.place = place.clone().key("param");
        }
        fields
    }
}

/// How long something without an end lasts, in words.
fn life(scope: &[Scope]) -> &'static str {
    if scope == [Scope::Session] {
        " in a session"
    } else {
        " ever"
    }
}

/// The rule that an `order` is in.
fn clause_place(place: &Place) -> Place {
    place.up_to("order")
}
