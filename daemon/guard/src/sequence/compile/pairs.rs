//! Compiles the conditions that tie one call to another one, and do not require it.

use std::sync::Arc;

use super::super::Action;
use super::super::explain::{human, listed};
use super::super::json::{MOST_POINTERS, Pointer};
use super::super::plan::{Condition, Mark, MarkKind, Record, RecordKind, Seat, Show};
use super::super::spec::{ForbidSpec, GapSpec, Place, ShownSpec};
use super::super::status::StatusSet;
use super::conditions::LONGEST_HOLD;
use super::{Clause, Compiler, same, scope_name, slot, values_of};

impl Compiler {
    pub(super) fn min_gap(&mut self, clause: &Clause<'_>, spec: &GapSpec, place: &Place) {
        let before = self.errors.len();
        let is_delay = clause.spec.action == Action::Delay;
        self.check_time(Some(spec.at_least), place.clone().key("at_least"));
        if is_delay && spec.at_least > LONGEST_HOLD {
            let message = format!("a call is held for at most {}", human(LONGEST_HOLD));
            self.error(place.clone().key("at_least"), message);
        }
        let Some(since) = self.named(&spec.since, &place.clone().key("since"), clause.all) else {
            return;
        };
        let mut ends = clause.on.to_vec();
        if !ends.contains(&since) {
            ends.push(since);
        }
        let Some(fields) = self.fields(&ends, &spec.bind, place) else {
            return;
        };
        if self.errors.len() > before {
            return;
        }
        let operation = &self.operations[since];
        let scope = scope_name(&clause.spec.scope);
        let slot = slot(&[
            "min_gap",
            &clause.spec.id,
            &scope,
            &operation.on,
            &values_of(operation, &fields),
        ]);
        let allowed = format!("not within {} of {}{}", human(spec.at_least), spec.since, same(&fields));
        for &operation in clause.on {
            let seat = self.seat(clause, operation, slot, &fields);
            let condition = Condition::Gap {
                seat,
                at_least: spec.at_least,
                allowed: allowed.clone(),
            };
            self.check(clause, operation, condition);
        }
        let seat = self.seat(clause, since, slot, &fields);
        if !clause.on.contains(&since) && !fields.is_empty() {
            self.check(clause, since, Condition::Bound { seat });
        }
        let kind = MarkKind::Make {
            at_least: spec.at_least,
        };
        let mark = Mark {
            rule: clause.rule,
            seat,
            kind,
        };
        self.mark(since, mark, place);
    }

    pub(super) fn forbid_after(&mut self, clause: &Clause<'_>, spec: &ForbidSpec, place: &Place) {
        let before = self.errors.len();
        self.check_time(spec.within, place.clone().key("within"));
        let status = self.status(
            spec.status.as_deref(),
            StatusSet::success(),
            place.clone().key("status"),
        );
        let op = self.named(&spec.op, &place.clone().key("op"), clause.all);
        let until = spec
            .until
            .as_ref()
            .map(|until| self.named(until, &place.clone().key("until"), clause.all));
        let (Some(op), Some(until)) = (op, until.map_or(Some(None), |until| until.map(Some))) else {
            return;
        };
        if until == Some(op) {
            self.error(place.clone().key("until"), "what forbids cannot lift it as well".into());
        }
        let mut ends = clause.on.to_vec();
        ends.extend([op].into_iter().chain(until).filter(|end| !clause.on.contains(end)));
        let Some(fields) = self.fields(&ends, &spec.bind, place) else {
            return;
        };
        if self.errors.len() > before {
            return;
        }
        if !status.is_any() || until.is_some() {
            self.needs_response(clause, "what a call that forbids others was answered");
        }
        let operation = &self.operations[op];
        let slot = slot(&[
            "forbid_after",
            &clause.spec.id,
            &scope_name(&clause.spec.scope),
            &operation.on,
            &values_of(operation, &fields),
            &format!("{:?} {status}", spec.within),
        ]);
        let until_words = spec
            .until
            .as_ref()
            .map(|until| format!(", until {until}"))
            .unwrap_or_default();
        let within = spec
            .within
            .map(|within| format!(" for {}", human(within)))
            .unwrap_or_default();
        let forbidden = format!(
            "not after {} answered {status}{within}{until_words}{}",
            spec.op,
            same(&fields)
        );
        for &operation in clause.on {
            let seat = self.seat(clause, operation, slot, &fields);
            let forbidden = forbidden.clone();
            self.check(clause, operation, Condition::After { seat, forbidden });
        }
        let seat = self.seat(clause, op, slot, &fields);
        if !clause.on.contains(&op) && !fields.is_empty() {
            self.check(clause, op, Condition::Bound { seat });
        }
        let kind = MarkKind::Forbid {
            within: spec.within,
            status,
        };
        let mark = Mark {
            rule: clause.rule,
            seat,
            kind,
        };
        self.mark(op, mark, place);
        if let Some(until) = until {
            let record = Record {
                seat: self.seat(clause, until, slot, &fields),
                status: StatusSet::success(),
                kind: RecordKind::Lift,
            };
            self.plans[until].records.push(record);
        }
    }

    pub(super) fn shown(&mut self, clause: &Clause<'_>, spec: &ShownSpec, place: &Place) {
        let before = self.errors.len();
        let Some(fields) = self.param(clause.on, &spec.param, place) else {
            return;
        };
        if spec.by.is_empty() {
            self.error(place.clone().key("by"), "at least one answer must show it".into());
        }
        self.needs_response(clause, "what the answers of the application show");
        let mut seats: Vec<Vec<Seat>> = vec![Vec::new(); clause.on.len()];
        for (position, by) in spec.by.iter().enumerate() {
            let place = place.clone().key("by").index(position);
            self.check_time(by.within, place.clone().key("within"));
            let pointer = Pointer::parse(&by.at);
            if let Err(cause) = &pointer {
                let message = format!("\"{}\" is no pointer: {cause}", by.at);
                self.error(place.clone().key("at"), message);
            }
            let op = self.named(&by.op, &place.clone().key("op"), clause.all);
            let (Some(op), Ok(pointer), false) = (op, pointer, self.errors.len() > before) else {
                continue;
            };
            let kind = fields.first().map(|(_, kind)| *kind).unwrap_or_default();
            let scope = scope_name(&clause.spec.scope);
            let on = &self.operations[op].on;
            let slot = slot(&[
                "shown",
                &clause.spec.id,
                &scope,
                on,
                &by.at,
                &format!("{kind:?} {:?}", by.within),
            ]);
            let show = Show {
                holder: self.holder(op, &clause.spec.scope),
                slot,
                kind,
                within: by.within,
            };
            let plan = &mut self.plans[op];
            if plan.shows.len() == MOST_POINTERS {
                let message = format!("`{}` shows {MOST_POINTERS} values already", by.op);
                self.error(place.clone(), message);
                continue;
            }
            plan.shows.push(show);
            plan.shown_at = plan.shown_at.iter().cloned().chain([pointer]).collect::<Arc<[_]>>();
            for (seats, &operation) in seats.iter_mut().zip(clause.on) {
                seats.push(self.seat(clause, operation, slot, &fields));
            }
        }
        if self.errors.len() > before {
            return;
        }
        let by = listed(spec.by.iter().map(|by| by.op.as_str()));
        for (&operation, seats) in clause.on.iter().zip(seats) {
            let by = format!("`{}` must have been shown by {by}", spec.param);
            self.check(clause, operation, Condition::Shown { seats, by });
        }
    }
}
