//! `[op]` and `[[rule]]`: read here, checked and compiled by the guard, whose errors get their places here.

use std::time::Duration;

use portcullis_guard::policy::Mode;
use portcullis_guard::sequence::{
    Action, BanAction, BanTarget, Escalation, MaxSpec, OperationSpec, Place, RequireSpec, RuleError, RuleSpec, Rules,
    RulesSpec, Step, Threshold,
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

/// Actions that a word names.
const ACTIONS: &[(&str, Action)] = &[
    ("log", Action::Log),
    ("score", Action::Score),
    ("deny", Action::Deny),
    ("reauth", Action::Reauth),
    ("challenge", Action::Challenge),
];

const TARGETS: &[(&str, BanTarget)] = &[
    ("flow", BanTarget::Flow),
    ("session", BanTarget::Session),
    ("ip", BanTarget::Ip),
    ("prefix", BanTarget::Prefix),
];

/// How long a ban lasts that does not say.
const DEFAULT_TTL: Duration = Duration::from_secs(900);

/// How often a ban may grow by a factor that `max_ttl` does not bound.
const DEFAULT_MAX_TTL: Duration = Duration::from_secs(24 * 3600);

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
    spec.thresholds = root.sections("threshold", |_, section| read_threshold(section));
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
        action: read_action(section),
        escalate: section.sections("escalate", |_, section| Escalation {
            hits: section.required("hits", "3", integer(1..=1000)).unwrap_or(1),
            per: section
                .required("per", "\"10m\"", time)
                .unwrap_or(Duration::from_secs(1)),
            action: read_action(section),
        }),
    }
}

fn read_threshold(section: &Section<'_>) -> Threshold {
    Threshold {
        score: section
            .required("score", "60", points(0.0..=1_000_000.0))
            .unwrap_or(1.0),
        action: read_action(section),
    }
}

/// `action = "WORD"`, or `ban = "TARGET"` with its times beside it.
fn read_action(section: &Section<'_>) -> Action {
    let action = section.optional("action", word(ACTIONS));
    let target = section.optional("ban", word(TARGETS));
    let ttl = section.optional("ttl", ban_time);
    let grow = section.optional("grow", points(1.0..=100.0));
    let max_ttl = section.optional("max_ttl", ban_time);
    let jitter = section.optional("jitter", points(0.0..=1.0));
    let Some(target) = target else {
        for (key, is_there) in [
            ("ttl", ttl.is_some()),
            ("grow", grow.is_some()),
            ("max_ttl", max_ttl.is_some()),
            ("jitter", jitter.is_some()),
        ] {
            if is_there && !section.has("ban") {
                let mistake = Mistake::new("this belongs to a ban");
                section.error(key, mistake.hint("add `ban = \"session\"`"));
            }
        }
        return action.unwrap_or_default();
    };
    if action.is_some() {
        let mistake = Mistake::new("a ban is an action of its own");
        section.error("action", mistake.hint("leave `action` out"));
    }
    let ttl = ttl.unwrap_or(DEFAULT_TTL);
    Action::Ban(BanAction {
        target,
        ttl,
        grow: grow.unwrap_or(1.0),
        max_ttl: max_ttl.unwrap_or(ttl.max(DEFAULT_MAX_TTL)),
        jitter: jitter.unwrap_or(0.0),
    })
}

fn ban_time(value: &DeValue<'_>) -> Result<Duration, Mistake> {
    duration("1s"..="365d")(value)
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
