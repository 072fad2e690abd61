//! `[op]`, `[[rule]]` and `[[threshold]]`: read here, checked and compiled by the guard, whose errors get their places here.

mod conditions;
mod consequences;
#[cfg(test)]
mod examples;

use std::time::Duration;

use portcullis_guard::policy::Mode;
use portcullis_guard::sequence::{OperationSpec, Place, RuleError, Rules, RulesSpec, Scope, Step, Unlisted};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{Mistake, Span};
use super::section::{Entry, Section};
use super::value::{describe, duration, integer, points, text, word};

/// The version of the rule language that this program knows.
const VERSION: u32 = 1;

/// What happens to calls that are no operation: whether they are refused.
const UNLISTED: &[(&str, bool)] = &[("allow", false), ("deny", true)];

pub(super) const MODES: &[(&str, Mode)] = &[("monitor", Mode::Monitor), ("enforce", Mode::Enforce)];

pub(super) fn read<'a>(root: &Section<'a>, document: &'a DeTable<'a>) -> Rules {
    root.read("rules_version", VERSION, integer(VERSION..=VERSION));
    let mut spec = RulesSpec::default();
    let defaults = root.section("defaults", Defaults::read);
    spec.unlisted = defaults.unlisted;
    root.section("op", |section| {
        section.entries(|entry| spec.operations.push(read_operation(&entry)));
    });
    // Where each rule is in the array, since what is no table is left out.
    let mut positions = Vec::new();
    root.sections("rule", |position, section| {
        spec.rules.push(conditions::read_rule(position, &defaults, section));
        positions.push(position);
    });
    spec.thresholds = root.sections("threshold", |_, section| consequences::read_threshold(section));
    // What cannot be read has a stand-in, so that the guard finds the other mistakes. What it says about stand-ins
    // is not reported, because something was said about them here.
    Rules::compile(spec).unwrap_or_else(|errors| {
        for RuleError { place, message, hint } in errors {
            let place = in_file(place, &positions);
            root.report(find(document, &place), place.to_string(), Mistake { message, hint });
        }
        Rules::default()
    })
}

/// `[defaults]`: what rules do not say themselves.
struct Defaults {
    mode: Mode,
    scope: Vec<Scope>,
    unlisted: Unlisted,
}

impl Defaults {
    fn read(section: &Section<'_>) -> Self {
        let mode = section.read("mode", Mode::Monitor, word(MODES));
        Self {
            mode,
            scope: conditions::read_scope(section).unwrap_or_else(|| vec![Scope::Session]),
            unlisted: Unlisted {
                deny: section.read("unlisted", false, word(UNLISTED)),
                score: section.read("unlisted_score", 0.0, points(0.0..=1_000_000.0)),
                mode,
            },
        }
    }
}

fn operation(name: &str, on: String) -> OperationSpec {
    OperationSpec {
        name: name.to_owned(),
        on,
        bind: Vec::new(),
    }
}

fn read_operation(entry: &Entry<'_, '_>) -> OperationSpec {
    let table = entry.table(|section| {
        let on = section.required("on", "\"POST /transfers\"", text).unwrap_or_default();
        let mut bind = Vec::new();
        section.optional_section("bind", |section| {
            section.entries(|entry| bind.push((entry.name.to_owned(), entry.value(text).unwrap_or_default())));
        });
        OperationSpec {
            bind,
            ..operation(entry.name, on)
        }
    });
    table.unwrap_or_else(|| operation(entry.name, entry.value(method_and_path).unwrap_or_default()))
}

fn method_and_path(value: &DeValue<'_>) -> Result<String, Mistake> {
    let like = "expected a method and a path like \"GET /orders/{id}\"";
    text(value).map_err(|_| Mistake::new(format!("{like}, got {}", describe(value))))
}

/// Texts, with a stand-in for each that is none.
fn texts(section: &Section<'_>, key: &'static str) -> Vec<String> {
    section
        .elements(key, text)
        .unwrap_or_default()
        .into_iter()
        .map(Option::unwrap_or_default)
        .collect()
}

fn time(value: &DeValue<'_>) -> Result<Duration, Mistake> {
    duration("1ms"..="366d")(value)
}

/// The place with the position of the rule in the file.
fn in_file(mut place: Place, positions: &[usize]) -> Place {
    if let [Step::Key(array), Step::Index(index), ..] = place.0.as_mut_slice()
        && array == "rule"
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
