//! `[op]` and `[[rule]]`: read here, checked and compiled by the guard, whose errors get their places here.

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
    let mut spec = RulesSpec::default();
    root.section("op", |section| {
        section.entries(|entry| spec.operations.push(read_operation(&entry)));
    });
    // Where each rule is in the array, since what is no table is left out.
    let mut positions = Vec::new();
    root.sections("rule", |position, section| {
        spec.rules.push(read_rule(position, section));
        positions.push(position);
    });
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

fn read_rule(position: usize, section: &Section<'_>) -> RuleSpec {
    let id = section.required("id", "\"pay-after-view\"", text);
    let on = section.required("on", "[\"pay_order\"]", |_| Ok(()));
    RuleSpec {
        id: id.unwrap_or_else(|| format!("rule-{position}")),
        on: on.map(|()| texts(section, "on")).unwrap_or_default(),
        require: section.sections("require", |_, section| read_require(section)),
        max: section.optional_section("max", read_max),
        mode: section.read("mode", Mode::Monitor, word(MODES)),
        score: section.read("score", DEFAULT_SCORE, points(0.0..=1_000_000.0)),
        action: section.read("action", Action::Deny, word(ACTIONS)),
    }
}

fn read_require(section: &Section<'_>) -> RequireSpec {
    RequireSpec {
        op: section.required("op", "\"view_order\"", text).unwrap_or_default(),
        within: section.optional("within", time),
        bind: texts(section, "bind"),
        status: section.optional("status", text),
    }
}

fn read_max(section: &Section<'_>) -> MaxSpec {
    MaxSpec {
        count: section.required("count", "1", integer(1..=1_000_000)).unwrap_or(1),
        per: section.optional("per", time),
        bind: texts(section, "bind"),
        count_if: section.optional("count_if", text),
    }
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
