//! `[op]` and `[[rule]]`: read here, checked and compiled by the guard, whose errors get their places here.

use std::collections::HashSet;
use std::time::Duration;

use portcullis_guard::policy::Mode;
use portcullis_guard::sequence::{
    Action, MaxSpec, OperationSpec, Place, RequireSpec, RuleError, RuleSpec, Rules, RulesSpec, Step,
};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{Mistake, Span};
use super::section::{Entry, Section};
use super::value::{describe, duration, integer, points, text, word};

/// The version of the rule language that this program knows.
const VERSION: u32 = 1;

/// Points of a rule that does not say.
const DEFAULT_SCORE: f32 = 10.0;

pub(super) const MODES: &[(&str, Mode)] = &[("monitor", Mode::Monitor), ("enforce", Mode::Enforce)];

const ACTIONS: &[(&str, Action)] = &[("deny", Action::Deny)];

pub(super) fn read<'a>(root: &Section<'a>, document: &'a DeTable<'a>) -> Rules {
    root.read("rules_version", VERSION, integer(VERSION..=VERSION));
    // Operations with a mistake of their own; the guard is not asked about them again.
    let mut broken = HashSet::new();
    let mut spec = RulesSpec::default();
    root.section("op", |section| {
        section.entries(|entry| {
            let operation = read_operation(&entry).unwrap_or_else(|| {
                broken.insert(entry.name.to_owned());
                operation(entry.name, String::new())
            });
            spec.operations.push(operation);
        });
    });
    // Where each rule that could be read is in the file.
    let mut positions = Vec::new();
    root.sections("rule", |position, section| {
        if let Some(rule) = read_rule(section) {
            spec.rules.push(rule);
            positions.push(position);
        }
    });
    Rules::compile(spec).unwrap_or_else(|errors| {
        for error in errors {
            report(root, document, error, &broken, &positions);
        }
        Rules::default()
    })
}

fn operation(name: &str, on: String) -> OperationSpec {
    OperationSpec {
        name: name.to_owned(),
        on,
        bind: Vec::new(),
    }
}

fn read_operation(entry: &Entry<'_, '_>) -> Option<OperationSpec> {
    let table = entry.table(|section| {
        let on = section.required("on", "\"POST /transfers\"", text);
        let mut bind = Vec::new();
        let mistakes = section.mistakes();
        section.optional_section("bind", |section| {
            section.entries(|entry| bind.extend(entry.value(text).map(|source| (entry.name.to_owned(), source))));
        });
        let spec = OperationSpec {
            bind,
            ..operation(entry.name, on?)
        };
        (section.mistakes() == mistakes).then_some(spec)
    });
    match table {
        Some(operation) => operation,
        None => Some(operation(entry.name, entry.value(method_and_path)?)),
    }
}

fn method_and_path(value: &DeValue<'_>) -> Result<String, Mistake> {
    let like = "expected a method and a path like \"GET /orders/{id}\"";
    text(value).map_err(|_| Mistake::new(format!("{like}, got {}", describe(value))))
}

/// A rule, if all of it can be read.
fn read_rule(section: &Section<'_>) -> Option<RuleSpec> {
    let mistakes = section.mistakes();
    let id = section.required("id", "\"pay-after-view\"", text);
    if id.is_some() && section.optional("on", |value| Ok(value.as_array().is_some())).is_none() {
        section.error(
            "on",
            Mistake::new("missing").hint("name the operations: `on = [\"pay_order\"]`"),
        );
    }
    let rule = RuleSpec {
        id: id.unwrap_or_default(),
        on: section.list("on", Vec::new, text),
        require: section
            .sections("require", |_, section| read_require(section))
            .into_iter()
            .flatten()
            .collect(),
        max: section.optional_section("max", read_max).flatten(),
        mode: section.read("mode", Mode::Monitor, word(MODES)),
        score: section.read("score", DEFAULT_SCORE, points(0.0..=1_000_000.0)),
        action: section.read("action", Action::Deny, word(ACTIONS)),
    };
    (section.mistakes() == mistakes).then_some(rule)
}

fn read_require(section: &Section<'_>) -> Option<RequireSpec> {
    let require = RequireSpec {
        within: section.optional("within", time),
        bind: section.list("bind", Vec::new, text),
        status: section.optional("status", text),
        op: section.required("op", "\"view_order\"", text)?,
    };
    Some(require)
}

fn read_max(section: &Section<'_>) -> Option<MaxSpec> {
    let max = MaxSpec {
        per: section.optional("per", time),
        bind: section.list("bind", Vec::new, text),
        count_if: section.optional("count_if", text),
        count: section.required("count", "1", integer(1..=1_000_000))?,
    };
    Some(max)
}

fn time(value: &DeValue<'_>) -> Result<Duration, Mistake> {
    duration("1ms"..="366d")(value)
}

/// Reports an error of the guard at its place in the file.
fn report(root: &Section<'_>, document: &DeTable<'_>, error: RuleError, broken: &HashSet<String>, positions: &[usize]) {
    let RuleError { place, message, hint } = error;
    let place = in_file(place, positions);
    let reported = matches!(place.0.as_slice(), [_, Step::Key(name), ..] if broken.contains(name));
    if !reported {
        root.report(find(document, &place), place.to_string(), Mistake { message, hint });
    }
}

/// The place with the position of the rule in the file.
fn in_file(mut place: Place, positions: &[usize]) -> Place {
    if let [_, Step::Index(index), ..] = place.0.as_mut_slice()
        && let Some(position) = positions.get(*index)
    {
        *index = *position;
    }
    place
}

/// The bytes of a place, or of as much of the way to it as there is.
fn find(document: &DeTable<'_>, place: &Place) -> Span {
    let mut steps = place.0.iter();
    let mut found: Option<&Spanned<DeValue<'_>>> = match steps.next() {
        Some(Step::Key(key)) => document.get(key.as_str()),
        Some(Step::Index(_)) | None => None,
    };
    for step in steps {
        let next = found.and_then(|value| match step {
            Step::Key(key) => value.get_ref().as_table()?.get(key.as_str()),
            Step::Index(index) => value.get_ref().as_array()?.get(*index),
        });
        match next {
            Some(_) => found = next,
            None => break,
        }
    }
    found.map(Spanned::span).unwrap_or_default()
}
