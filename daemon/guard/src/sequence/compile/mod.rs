//! Turns rules as written into rules that decide quickly, and finds every mistake in them.

mod circle;
mod conditions;
mod consequences;
mod names;
mod pairs;
mod steps;
mod warnings;

use std::time::Duration;

use http::HeaderName;

use super::explain::human;
use super::facts::SlotId;
use super::operation::Operation;
use super::plan::{Compiled, Except, Holder, Mark, Plan, Rule, RuleId, SESSION, Seat};
use super::router::{OperationIndex, Router};
use super::scope::Scope;
use super::spec::{Place, RuleError, RuleSpec, RulesSpec};
use super::status::StatusSet;
use super::suggest::closest;
use super::value::{Binder, Kind};

use names::{digest, escalations, no_such_value, same, scope_name, slot, values_of};

/// Operations, and rules, that fit.
const MOST: usize = 1024;

/// The longest time that a rule can look back.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// The longest rule id.
const LONGEST_ID: usize = 64;

/// Users and networks that a rule can except.
const MOST_EXCEPTED: usize = 1000;

/// The name of what is said of unlisted calls. No rule can have it.
const UNLISTED: &str = "unlisted";

pub(super) fn compile(spec: &RulesSpec, generation: u32) -> Result<Compiled, Vec<RuleError>> {
    let mut compiler = Compiler::default();
    compiler.operations(spec);
    for (index, rule) in spec.rules.iter().enumerate() {
        compiler.rule(index, rule, spec);
    }
    compiler.thresholds(&spec.thresholds);
    if !(spec.unlisted.score.is_finite() && spec.unlisted.score >= 0.0) {
        let place = Place::defaults().key("unlisted_score");
        compiler.error(place, "points are a number of at least 0".into());
    }
    if compiler.errors.is_empty() {
        compiler.errors = circle::find(spec);
    }
    if !compiler.errors.is_empty() {
        return Err(compiler.errors);
    }
    Ok(Compiled {
        slots: slots(&compiler),
        router: compiler.router,
        plans: compiler.plans,
        rules: compiler.rules,
        thresholds: spec.thresholds.clone(),
        unlisted: spec.unlisted,
        unlisted_id: RuleId::new(UNLISTED),
        warnings: warnings::find(spec),
        generation,
    })
}

/// Every slot that a plan or an escalation uses.
fn slots(compiler: &Compiler) -> Vec<SlotId> {
    let steps = compiler
        .rules
        .iter()
        .flat_map(|rule| &rule.escalate)
        .map(|(slot, _)| *slot);
    let plans = compiler.plans.iter();
    let written = plans.flat_map(|plan| {
        let marks = plan.marks.iter().map(|mark| mark.seat.slot);
        let records = plan.records.iter().map(|record| record.seat.slot);
        marks.chain(records).chain(plan.shows.iter().map(|show| show.slot))
    });
    let mut slots: Vec<SlotId> = steps.chain(written).collect();
    slots.sort_unstable();
    slots.dedup();
    slots
}

struct Compiler {
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

/// One rule while its conditions are compiled.
struct Clause<'a> {
    /// Its number.
    rule: usize,
    spec: &'a RuleSpec,
    /// The operations that it guards.
    on: &'a [usize],
    all: &'a RulesSpec,
}

/// The names of a `bind`, each with the kind that holds for all operations that share it.
type Fields = Vec<(String, Kind)>;

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
            self.plans.push(Plan::new(&parsed.name, parsed.pointers.clone()));
            self.operations.push(parsed);
        }
    }

    fn rule(&mut self, index: usize, spec: &RuleSpec, all: &RulesSpec) {
        let place = Place::rule(index);
        self.check_id(index, spec, all);
        if index >= MOST {
            return self.error(place, format!("at most {MOST} rules fit"));
        }
        let guards = conditions::names(spec);
        if guards.is_empty() && spec.order.is_none() {
            let message = format!(
                "a rule without a condition does nothing; conditions are {}",
                conditions::ALL
            );
            self.error(place.clone(), message);
        }
        if !(spec.score.is_finite() && spec.score >= 0.0) {
            self.error(place.clone().key("score"), "points are a number of at least 0".into());
        }
        match (spec.on.is_empty(), guards.is_empty(), &spec.order) {
            (true, true, Some(_)) | (false, false, _) => {}
            (true, _, _) => self.error(place.clone().key("on"), "a rule needs at least one operation".into()),
            (false, true, Some(_)) => {
                let message = "`order` names its operations itself".into();
                self.error(place.clone().key("on"), message);
            }
            (false, true, None) => {}
        }
        self.scopes(spec, &place);
        let on = match spec.on.is_empty() {
            true => Some(Vec::new()),
            false => self.named_all(&spec.on, &place.clone().key("on"), all),
        };
        let number = self.rules.len();
        let except = self.except(spec, &place);
        self.rules.push(Rule {
            id: RuleId::new(&spec.id),
            mode: spec.mode,
            score: spec.score,
            action: spec.action,
            escalate: escalations(spec),
            except,
            on_unreadable: spec.on_unreadable,
            wait: spec.wait,
            digest: digest(spec, all),
            needs_response: None,
        });
        self.consequences(spec, &place);
        if let Some(on) = on {
            let clause = Clause {
                rule: number,
                spec,
                on: &on,
                all,
            };
            self.conditions(&clause, &place);
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
        } else if spec.id == UNLISTED {
            self.error(place, "this is what calls without an operation are told by".into());
        } else if all.rules.iter().take(index).any(|earlier| earlier.id == spec.id) {
            self.error(place, format!("another rule is called \"{}\"", spec.id));
        }
    }

    fn scopes(&mut self, spec: &RuleSpec, place: &Place) {
        let place = place.clone().key("scope");
        if spec.scope.is_empty() {
            self.error(place.clone(), "somebody must be counted: `session`, for one".into());
        }
        for (position, scope) in spec.scope.iter().enumerate() {
            if spec.scope[..position].contains(scope) {
                self.error(place.clone().index(position), "this is there twice".into());
            }
        }
    }

    fn except(&mut self, spec: &RuleSpec, place: &Place) -> Option<Box<Except>> {
        let place = place.clone().key("except");
        let except = &spec.except;
        if except.users.len() > MOST_EXCEPTED || except.networks.len() > MOST_EXCEPTED {
            self.error(place.clone(), format!("at most {MOST_EXCEPTED} of a kind fit"));
        }
        for (position, user) in except.users.iter().enumerate() {
            if user.is_empty() {
                let place = place.clone().key("users").index(position);
                self.error(place, "a user has a name".into());
            }
        }
        let headers = self.excepted_headers(spec, &place);
        if except.users.is_empty() && except.networks.is_empty() && headers.is_empty() {
            return None;
        }
        Some(Box::new(Except {
            users: except.users.iter().map(|user| user.as_str().into()).collect(),
            networks: except.networks.clone(),
            headers,
        }))
    }

    fn excepted_headers(&mut self, spec: &RuleSpec, place: &Place) -> Vec<(HeaderName, Vec<Box<str>>)> {
        let place = place.clone().key("headers");
        let headers = &spec.except.headers;
        if headers.len() > MOST_EXCEPTED || headers.iter().any(|(_, values)| values.len() > MOST_EXCEPTED) {
            self.error(place.clone(), format!("at most {MOST_EXCEPTED} of a kind fit"));
        }
        let mut compiled = Vec::with_capacity(headers.len());
        for (name, values) in headers {
            let place = place.clone().key(name);
            match HeaderName::from_bytes(name.as_bytes()) {
                Err(_) => self.error(place, format!("`{name}` is no name of a header field")),
                Ok(_) if values.is_empty() || values.iter().any(String::is_empty) => {
                    self.error(place, "values are missing: nobody is excepted by them".into());
                }
                Ok(name) => compiled.push((name, values.iter().map(|value| value.as_str().into()).collect())),
            }
        }
        compiled
    }

    /// The position of the holder that a rule's facts are kept for, in the plan of an operation.
    fn holder(&mut self, operation: usize, scope: &[Scope]) -> Holder {
        if scope == [Scope::Session] {
            return SESSION;
        }
        let mut sorted = scope.to_vec();
        sorted.sort_unstable();
        let scopes = &mut self.plans[operation].scopes;
        let known = scopes.iter().position(|known| **known == *sorted);
        1 + known.unwrap_or_else(|| {
            scopes.push(sorted.into());
            scopes.len() - 1
        })
    }

    /// Where an operation finds the facts of a condition.
    fn seat(&mut self, clause: &Clause<'_>, operation: usize, slot: SlotId, fields: &Fields) -> Seat {
        Seat {
            holder: self.holder(operation, &clause.spec.scope),
            slot,
            binder: self.binder(operation, fields),
        }
    }

    /// Adds something to remember; tells its position.
    fn mark(&mut self, operation: usize, mark: Mark, place: &Place) -> Option<usize> {
        let marks = &mut self.plans[operation].marks;
        if marks.len() < Plan::MOST_MARKS {
            marks.push(mark);
            return Some(marks.len() - 1);
        }
        let name = &self.operations[operation].name;
        let message = format!(
            "rules remember {} things of each call of `{name}` already",
            Plan::MOST_MARKS
        );
        self.error(place.clone(), message);
        None
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
    fn fields(&mut self, operations: &[usize], bind: &[String], place: &Place) -> Option<Fields> {
        let before = self.errors.len();
        let mut fields: Fields = Vec::new();
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

    fn check_time(&mut self, time: Option<Duration>, place: Place) {
        if time.is_some_and(|time| time < Duration::from_millis(1) || time > LONGEST) {
            self.error(place, format!("expected a time from 1ms to {}", human(LONGEST)));
        }
    }

    fn error(&mut self, place: Place, message: String) {
        self.errors.push(RuleError::new(place, message));
    }
}
