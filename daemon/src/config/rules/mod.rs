//! `[op]`, `[[rule]]` and `[[threshold]]`: read here, checked and compiled by the guard, whose errors get their places here.

mod conditions;
mod consequences;
mod coverage;
#[cfg(test)]
mod examples;

use std::time::Duration;

use portcullis_guard::policy::Mode;
use portcullis_guard::sequence::{OperationSpec, Place, RuleError, Rules, RulesSpec, Scope, Step, Unlisted, Warning};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{Mistake, Span};
use super::section::{Entry, Section, Sink};
use super::value::{describe, duration, integer, points, text, word};

/// The version of the rule language that this program knows.
const VERSION: u32 = 1;

/// What happens to calls that are no operation: whether they are refused.
const UNLISTED: &[(&str, bool)] = &[("allow", false), ("deny", true)];

pub(super) const MODES: &[(&str, Mode)] = &[("monitor", Mode::Monitor), ("enforce", Mode::Enforce)];

/// A rule file, parsed, and where its mistakes go.
pub(super) struct RuleDocument<'a> {
    pub(super) document: &'a DeTable<'a>,
    pub(super) sink: &'a Sink,
}

/// Everything that was read, and which file each part came from: 0 is the configuration.
#[derive(Default)]
struct Parts {
    spec: RulesSpec,
    operations: Vec<usize>,
    /// With the position in the array, since what is no table is left out.
    rules: Vec<(usize, usize)>,
    thresholds: Vec<(usize, usize)>,
}

pub(super) fn read<'a>(root: &Section<'a>, document: &'a DeTable<'a>, files: &[RuleDocument<'a>]) -> Rules {
    let mut parts = Parts::default();
    root.read("rules_version", VERSION, integer(VERSION..=VERSION));
    root.list("rules", Vec::new, text);
    parts.read(0, root);
    for (index, file) in files.iter().enumerate() {
        Section::root(file.sink, file.document, |root| {
            root.read("version", VERSION, integer(VERSION..=VERSION));
            parts.read(index + 1, root);
        });
    }
    // What cannot be read has a stand-in, so that the guard finds the other mistakes. What it says about stand-ins
    // is not reported, because something was said about them here.
    let compiled = Rules::compile(parts.spec.clone());
    for Warning { place, message } in compiled.iter().flat_map(Rules::warnings) {
        let (file, place) = parts.in_file(place);
        let warning = Mistake::new(message);
        match file.checked_sub(1).and_then(|index| files.get(index)) {
            None => root.warn(find(document, &place), place.to_string(), warning),
            Some(file) => file.sink.warn(find(file.document, &place), place.to_string(), warning),
        }
    }
    coverage::warn(root, document, &parts.spec);
    compiled.unwrap_or_else(|errors| {
        for RuleError { place, message, hint } in errors {
            let (file, place) = parts.in_file(place);
            let mistake = Mistake { message, hint };
            match file.checked_sub(1).and_then(|index| files.get(index)) {
                None => root.report(find(document, &place), place.to_string(), mistake),
                Some(file) => file
                    .sink
                    .report(find(file.document, &place), place.to_string(), mistake),
            }
        }
        Rules::default()
    })
}

impl Parts {
    fn read(&mut self, file: usize, root: &Section<'_>) {
        let defaults = root.section("defaults", Defaults::read);
        let unlisted = &mut self.spec.unlisted;
        // The strictest of all files.
        if defaults.unlisted.deny || defaults.unlisted.score > 0.0 {
            unlisted.deny |= defaults.unlisted.deny;
            unlisted.score = unlisted.score.max(defaults.unlisted.score);
            unlisted.mode = defaults.unlisted.mode;
        }
        root.section("op", |section| {
            section.entries(|entry| {
                self.spec.operations.push(read_operation(&entry));
                self.operations.push(file);
            });
        });
        root.sections("rule", |position, section| {
            let rule = conditions::read_rule(position, &defaults, section);
            self.spec.rules.push(rule);
            self.rules.push((file, position));
        });
        root.sections("threshold", |position, section| {
            self.spec.thresholds.push(consequences::read_threshold(section));
            self.thresholds.push((file, position));
        });
    }

    /// The file of a place, and the place in it.
    fn in_file(&self, mut place: Place) -> (usize, Place) {
        let file = match place.0.as_mut_slice() {
            [Step::Key(array), Step::Index(index), ..] => {
                let origins = if array == "rule" { &self.rules } else { &self.thresholds };
                origins.get(*index).map(|(file, position)| {
                    *index = *position;
                    *file
                })
            }
            [Step::Key(_), Step::Key(name), ..] => {
                let named = |(operation, _): &(&OperationSpec, &usize)| operation.name == *name;
                let operations = self.spec.operations.iter().zip(&self.operations);
                operations.rev().find(named).map(|(_, file)| *file)
            }
            _ => None,
        };
        (file.unwrap_or(0), place)
    }
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
