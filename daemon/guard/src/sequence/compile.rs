//! Turns rules as written into rules that decide quickly, and finds every mistake in them.

use std::hash::Hasher;
use std::time::Duration;

use siphasher::sip128::{Hasher128, SipHasher13};

use super::action::Escalation;
use super::explain::{human, listed};
use super::facts::SlotId;
use super::operation::Operation;
use super::plan::{Check, Compiled, Condition, CountedOp, Plan, Record, Rule, RuleId};
use super::router::{OperationIndex, Router};
use super::spec::{MaxSpec, Place, RequireSpec, RuleError, RuleSpec, RulesSpec};
use super::status::StatusSet;
use super::suggest::closest;
use super::value::{Binder, Kind};
use super::window::Limit;

/// Operations, and rules, that fit.
const MOST: usize = 1024;

/// The longest time that a rule can look back.
pub(super) const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// The largest `count`.
const LARGEST_COUNT: u32 = 1_000_000;

/// The longest rule id.
const LONGEST_ID: usize = 64;

pub(super) fn compile(spec: &RulesSpec) -> Result<Compiled, Vec<RuleError>> {
    let mut compiler = Compiler::default();
    compiler.operations(spec);
    for (index, rule) in spec.rules.iter().enumerate() {
        compiler.rule(index, rule, spec);
    }
    compiler.thresholds(&spec.thresholds);
    if compiler.errors.is_empty() {
        compiler.errors = super::circle::find(spec);
    }
    match compiler.errors.is_empty() {
        true => Ok(Compiled {
            router: compiler.router,
            plans: compiler.plans,
            rules: compiler.rules,
            thresholds: spec.thresholds.clone(),
        }),
        false => Err(compiler.errors),
    }
}

pub(super) struct Compiler {
    router: Router,
    operations: Vec<Operation>,
    plans: Vec<Plan>,
    rules: Vec<Rule>,
    errors: Vec<RuleError>,
}

impl Default for Compiler {
    fn default() -> Self {
        Self {
            router: Router::new(),
            operations: Vec::new(),
            plans: Vec::new(),
            rules: Vec::new(),
            errors: Vec::new(),
        }
    }
}

impl Compiler {
    fn operations(&mut self, spec: &RulesSpec) {
        if spec.operations.len() > MOST {
            self.error(Place::default().key("op"), format!("at most {MOST} operations fit"));
        }
        for operation in spec.operations.iter().take(MOST) {
            let place = Place::operation(&operation.name);
            if self.operations.iter().any(|known| known.name == operation.name) {
                self.error(place, format!("the operation `{}` is there twice", operation.name));
                continue;
            }
            let Some(parsed) = Operation::parse(operation, &mut self.errors) else {
                continue;
            };
            let Ok(index) = u16::try_from(self.operations.len()).map(OperationIndex) else {
                continue;
            };
            if let Err(other) = self.router.insert(&parsed, index) {
                let other = &self.operations[usize::from(other.0)].name;
                self.error(place, format!("these calls belong to `{other}` already"));
            }
            self.plans.push(Plan::new(&parsed.name));
            self.operations.push(parsed);
        }
    }

    fn rule(&mut self, index: usize, spec: &RuleSpec, all: &RulesSpec) {
        let place = Place::rule(index);
        self.check_id(index, spec, all);
        if index >= MOST {
            return self.error(place, format!("at most {MOST} rules fit"));
        }
        if spec.require.is_empty() && spec.max.is_none() {
            self.error(place.clone(), "a rule without `require` and `max` does nothing".into());
        }
        if !(spec.score.is_finite() && spec.score >= 0.0) {
            self.error(place.clone().key("score"), "points are a number of at least 0".into());
        }
        if spec.on.is_empty() {
            self.error(place.clone().key("on"), "a rule needs at least one operation".into());
        }
        let on = self.named_all(&spec.on, &place.clone().key("on"), all);
        let number = self.rules.len();
        self.rules.push(Rule {
            id: RuleId::new(&spec.id),
            mode: spec.mode,
            score: spec.score,
            action: spec.action,
            escalate: escalations(spec),
        });
        self.consequences(spec, &place);
        let Some(on) = on else {
            return;
        };
        for (position, require) in spec.require.iter().enumerate() {
            let place = place.clone().key("require").index(position);
            self.require(number, &spec.id, &on, require, &place, all);
        }
        if let Some(max) = &spec.max {
            self.max(number, &spec.id, &on, max, &place.key("max"));
        }
    }

    fn check_id(&mut self, index: usize, spec: &RuleSpec, all: &RulesSpec) {
        let place = Place::rule(index).key("id");
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if spec.id.is_empty() || spec.id.len() > LONGEST_ID || !spec.id.bytes().all(fits) {
            let message = format!(
                "an id has 1 to {LONGEST_ID} letters, digits, `-`, `_` and `.`, got \"{}\"",
                spec.id
            );
            self.error(place, message);
        } else if all.rules.iter().take(index).any(|earlier| earlier.id == spec.id) {
            self.error(place, format!("another rule is called \"{}\"", spec.id));
        }
    }

    fn require(&mut self, rule: usize, id: &str, on: &[usize], spec: &RequireSpec, place: &Place, all: &RulesSpec) {
        let before = self.errors.len();
        self.check_time(spec.within, place.clone().key("within"));
        let status = self.status(
            spec.status.as_deref(),
            StatusSet::success(),
            place.clone().key("status"),
        );
        let Some(needed) = self.named(&spec.op, &place.clone().key("op"), all) else {
            return;
        };
        if on.contains(&needed) {
            return self.error(
                place.clone().key("op"),
                format!("`{}` cannot come before its own first call", spec.op),
            );
        }
        let ends: Vec<usize> = on.iter().copied().chain([needed]).collect();
        let Some(fields) = self.fields(&ends, &spec.bind, place) else {
            return;
        };
        if self.errors.len() > before {
            return;
        }
        let operation = &self.operations[needed];
        let slot = slot(&[
            "require",
            id,
            &operation.on,
            &values_of(operation, &fields),
            &format!("{:?} {status}", spec.within),
        ]);
        let within = spec
            .within
            .map(|within| format!(" within {}", human(within)))
            .unwrap_or_default();
        let needs = format!("{} answered {status}{within}{}", spec.op, same(&fields));
        let binder = self.binder(needed, &fields);
        self.plans[needed].records.push(Record {
            slot,
            binder,
            status,
            within: spec.within,
        });
        for &operation in on {
            let binder = self.binder(operation, &fields);
            let condition = Condition::Require { needs: needs.clone() };
            self.plans[operation].checks.push(Check {
                rule,
                slot,
                binder,
                condition,
            });
        }
    }

    fn max(&mut self, rule: usize, id: &str, on: &[usize], spec: &MaxSpec, place: &Place) {
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
        let Some(fields) = self.fields(on, &spec.bind, place) else {
            return;
        };
        if self.errors.len() > before {
            return;
        }
        let limit = Limit {
            count: spec.count,
            per: spec.per,
        };
        // Not a part of the name: how many in which time. A rule that is made stricter must not forget.
        let slot = slot(&["max", id, &values_of_kinds(&fields)]);
        let per = spec
            .per
            .map_or(" in a session".into(), |per| format!(" in {}", human(per)));
        let allowed = format!("at most {} answered {count_if}{per}{}", spec.count, same(&fields));
        for &operation in on {
            let binder = self.binder(operation, &fields);
            let counted = CountedOp {
                limit,
                count_if: count_if.clone(),
                allowed: allowed.clone(),
            };
            let checks = &mut self.plans[operation].checks;
            if checks
                .iter()
                .filter(|check| matches!(check.condition, Condition::Max(_)))
                .count()
                >= Plan::MOST_LIMITS
            {
                let name = &self.operations[operation].name;
                let message = format!("`{name}` has {} limits already", Plan::MOST_LIMITS);
                return self.error(place.clone(), message);
            }
            checks.push(Check {
                rule,
                slot,
                binder,
                condition: Condition::Max(counted),
            });
        }
    }

    fn named_all(&mut self, names: &[String], place: &Place, all: &RulesSpec) -> Option<Vec<usize>> {
        let mut found = Vec::new();
        let mut complete = !names.is_empty();
        for (position, name) in names.iter().enumerate() {
            let place = place.clone().index(position);
            match self.named(name, &place, all) {
                Some(operation) if found.contains(&operation) => {
                    self.error(place, format!("`{name}` is there twice"));
                }
                Some(operation) => found.push(operation),
                None => complete = false,
            }
        }
        complete.then_some(found)
    }

    /// The operation of a name. One that is there but wrong has its own error and is not reported again.
    fn named(&mut self, name: &str, place: &Place, all: &RulesSpec) -> Option<usize> {
        let found = self.operations.iter().position(|operation| operation.name == name);
        if found.is_none() && !all.operations.iter().any(|operation| operation.name == name) {
            let error = RuleError::new(place.clone(), format!("there is no operation `{name}`"));
            self.errors.push(
                match closest(name, all.operations.iter().map(|operation| operation.name.as_str())) {
                    Some(near) => error.hint(format!("did you mean `{near}`?")),
                    None => error.hint("name it in `[op]`"),
                },
            );
        }
        found
    }

    /// The names of a `bind` with the kind that holds for all operations that share them.
    fn fields(&mut self, operations: &[usize], bind: &[String], place: &Place) -> Option<Vec<(String, Kind)>> {
        let before = self.errors.len();
        let mut fields: Vec<(String, Kind)> = Vec::new();
        for (position, name) in bind.iter().enumerate() {
            let place = place.clone().key("bind").index(position);
            if fields.iter().any(|(known, _)| known == name) {
                self.error(place, format!("`{name}` is there twice"));
                continue;
            }
            let mut kind = Kind::Plain;
            for &index in operations {
                let operation = &self.operations[index];
                let error = match operation.value(name) {
                    None => no_such_value(operation, name, &place),
                    Some((_, other)) => match kind.joined(other) {
                        Some(joined) => {
                            kind = joined;
                            continue;
                        }
                        None => RuleError::new(
                            place.clone(),
                            format!(
                                "`{name}` is {} in `{}` and {} elsewhere, so it is never the same",
                                other.name(),
                                operation.name,
                                kind.name()
                            ),
                        ),
                    },
                };
                self.errors.push(error);
            }
            fields.push((name.clone(), kind));
        }
        // The order in which names are written means nothing.
        fields.sort_by(|(a, _), (b, _)| a.cmp(b));
        (self.errors.len() == before).then_some(fields)
    }

    /// The position of the binder of an operation for these fields; `None` if there are none.
    fn binder(&mut self, operation: usize, fields: &[(String, Kind)]) -> Option<usize> {
        if fields.is_empty() {
            return None;
        }
        let values = &self.operations[operation];
        let sources = fields
            .iter()
            .filter_map(|(name, kind)| values.value(name).map(|(source, _)| (source.clone(), *kind)));
        let binder = Binder(sources.collect());
        let binders = &mut self.plans[operation].binders;
        Some(binders.iter().position(|known| *known == binder).unwrap_or_else(|| {
            binders.push(binder);
            binders.len() - 1
        }))
    }

    fn status(&mut self, text: Option<&str>, default: StatusSet, place: Place) -> StatusSet {
        let Some(text) = text else { return default };
        StatusSet::parse(text).unwrap_or_else(|| {
            let message = format!("expected status codes like \"2xx\", \"200|404\" or \"any\", got \"{text}\"");
            self.error(place, message);
            default
        })
    }

    pub(super) fn check_time(&mut self, time: Option<Duration>, place: Place) {
        if time.is_some_and(|time| time < Duration::from_millis(1) || time > LONGEST) {
            self.error(place, format!("expected a time from 1ms to {}", human(LONGEST)));
        }
    }

    pub(super) fn error(&mut self, place: Place, message: String) {
        self.errors.push(RuleError::new(place, message));
    }
}

/// The counts of violations, each with a name that does not depend on how many there may be.
fn escalations(spec: &RuleSpec) -> Vec<(SlotId, Escalation)> {
    let named = |(position, step): (usize, &Escalation)| (slot(&["escalate", &spec.id, &position.to_string()]), *step);
    spec.escalate.iter().enumerate().map(named).collect()
}

fn no_such_value(operation: &Operation, name: &str, place: &Place) -> RuleError {
    let names = || operation.values.iter().map(|(known, ..)| known.as_str());
    let error = RuleError::new(place.clone(), format!("`{}` has no value `{name}`", operation.name));
    match closest(name, names()) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None if operation.values.is_empty() => error.hint("it has no values; give its path a `{parameter}`"),
        None => error.hint(format!("it has {}", listed(names()))),
    }
}

fn same(fields: &[(String, Kind)]) -> String {
    match fields {
        [] => String::new(),
        fields => format!(
            " with the same {}",
            listed(fields.iter().map(|(name, _)| name.as_str()))
        ),
    }
}

fn values_of_kinds(fields: &[(String, Kind)]) -> String {
    format!("{fields:?}")
}

fn values_of(operation: &Operation, fields: &[(String, Kind)]) -> String {
    let sources: Vec<_> = fields
        .iter()
        .map(|(name, kind)| (operation.value(name), name, kind))
        .collect();
    format!("{sources:?}")
}

/// A name that stays the same across reloads and restarts as long as these parts do.
fn slot(parts: &[&str]) -> SlotId {
    let mut hasher = SipHasher13::new();
    for part in parts {
        hasher.write_usize(part.len());
        hasher.write(part.as_bytes());
    }
    SlotId(hasher.finish128().h1)
}
