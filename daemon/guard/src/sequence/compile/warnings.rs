//! Finds rules that are right and yet do nothing.

use super::super::action::Action;
use super::super::spec::{MaxSpec, Place, RuleSpec, RulesSpec, Warning};
use crate::policy::Mode;

/// What is said of rules that can never fire, and of operations that nobody asks for.
pub(super) fn find(spec: &RulesSpec) -> Vec<Warning> {
    let mut warnings = Vec::new();
    for (index, rule) in spec.rules.iter().enumerate() {
        let earlier = &spec.rules[..index];
        let hidden = earlier.iter().find_map(|before| hidden(rule, before));
        let of_rule = hidden.into_iter().chain(own(rule)).map(|message| Warning {
            place: Place::rule(index),
            message,
        });
        warnings.extend(of_rule);
    }
    let is_named = |name: &str| spec.rules.iter().any(|rule| names(rule).any(|known| known == name));
    if !spec.unlisted.deny {
        let idle = spec.operations.iter().filter(|operation| !is_named(&operation.name));
        warnings.extend(idle.map(|operation| Warning {
            place: Place::operation(&operation.name),
            message: format!("no rule names the operation `{}`", operation.name),
        }));
    }
    warnings
}

/// Every operation that a rule speaks of.
fn names(rule: &RuleSpec) -> impl Iterator<Item = &str> {
    let needs = rule
        .require
        .iter()
        .flat_map(|require| &require.any)
        .map(|need| &need.op);
    let gap = rule.min_gap.iter().map(|gap| &gap.since);
    let forbid = rule.forbid_after.iter();
    let forbid = forbid
        .flat_map(|forbid| [Some(&forbid.op), forbid.until.as_ref()])
        .flatten();
    let shown = rule.shown.iter().flat_map(|shown| &shown.by).map(|by| &by.op);
    let steps = rule.order.iter().flat_map(|order| &order.steps);
    let all = rule
        .on
        .iter()
        .chain(needs)
        .chain(gap)
        .chain(forbid)
        .chain(shown)
        .chain(steps);
    all.map(String::as_str)
}

/// A rule that an earlier one leaves nothing to say.
fn hidden(rule: &RuleSpec, before: &RuleSpec) -> Option<String> {
    let covers = !rule.on.is_empty() && rule.on.iter().all(|on| before.on.contains(on));
    let refuses = before.mode == Mode::Enforce && !before.action.lets_pass();
    let same_people = before.scope == rule.scope && before.except == rule.except;
    if !covers || !refuses || !same_people {
        return None;
    }
    let never = |why: String| Some(format!("rule {} can never fire: {why}", rule.id));
    if before.trap {
        return never(format!(
            "{} is a trap on the same operations, and refuses every call",
            before.id
        ));
    }
    let only_limits = rule.require.is_empty()
        && rule.once.is_none()
        && rule.min_gap.is_none()
        && rule.forbid_after.is_none()
        && rule.shown.is_none();
    match (&rule.max, &before.max, &rule.distinct) {
        (Some(max), Some(stricter), None)
            if only_limits && is_stricter(stricter, max) && before.on.len() == rule.on.len() =>
        {
            never(format!("{} allows no more calls in no less time", before.id))
        }
        (None, Some(stricter), Some(distinct))
            if only_limits
                && stricter.bind.is_empty()
                && stricter.count_if.is_none()
                && stricter.count <= distinct.max
                && covers_time(stricter.per, distinct.per) =>
        {
            never(format!("{} allows fewer calls than it allows values", before.id))
        }
        (_, _, _) => None,
    }
}

fn is_stricter(stricter: &MaxSpec, max: &MaxSpec) -> bool {
    let counts_all = stricter.count_if.is_none() || stricter.count_if == max.count_if;
    stricter.bind == max.bind && stricter.count <= max.count && covers_time(stricter.per, max.per) && counts_all
}

/// Whether what holds for `longer` holds for `time`; `None` is for ever.
fn covers_time(longer: Option<std::time::Duration>, time: Option<std::time::Duration>) -> bool {
    match (longer, time) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(longer), Some(time)) => longer >= time,
    }
}

/// What a rule does to itself.
fn own(rule: &RuleSpec) -> Option<String> {
    if rule.action == Action::Delay && rule.mode == Mode::Monitor {
        return Some(format!("rule {} only watches, so nothing is delayed", rule.id));
    }
    let (max, distinct) = (rule.max.as_ref()?, rule.distinct.as_ref()?);
    let is_never = max.bind.is_empty()
        && max.count_if.is_none()
        && max.count <= distinct.max
        && covers_time(max.per, distinct.per);
    is_never.then(|| {
        format!(
            "`distinct` of rule {} can never fire: its `max` allows fewer calls",
            rule.id
        )
    })
}
