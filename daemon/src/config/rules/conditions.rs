//! `[[rule]]`: its conditions.

use std::time::Duration;

use portcullis_guard::sequence::{
    DistinctSpec, ExceptSpec, ForbidSpec, GapSpec, MaxSpec, NeedSpec, OnUnreadable, OnceSpec, OrderSpec, RequireSpec,
    RuleSpec, Scope, ShownBySpec, ShownSpec,
};

use super::super::error::Mistake;
use super::super::section::Section;
use super::super::value::{boolean, describe, integer, network, points, text, word};
use super::{Defaults, MODES, consequences, texts, time};

/// Points of a rule that does not say.
const DEFAULT_SCORE: f32 = 10.0;

const SCOPES: &[(&str, Scope)] = &[
    ("session", Scope::Session),
    ("ip", Scope::Ip),
    ("prefix", Scope::Prefix),
    ("fingerprint", Scope::Fingerprint),
    ("user", Scope::User),
];

const UNREADABLE: &[(&str, OnUnreadable)] = &[("deny", OnUnreadable::Deny), ("allow", OnUnreadable::Allow)];

pub(super) fn read_rule(position: usize, defaults: &Defaults, section: &Section<'_>) -> RuleSpec {
    let id = section.required("id", "\"pay-after-view\"", text);
    let order = read_order(section);
    let on = match order {
        // An order names its operations itself.
        Some(_) => texts(section, "on"),
        None => {
            let on = section.required("on", "[\"pay_order\"]", |_| Ok(()));
            on.map(|()| texts(section, "on")).unwrap_or_default()
        }
    };
    RuleSpec {
        id: id.unwrap_or_else(|| format!("rule-{position}")),
        on,
        scope: read_scope(section).unwrap_or_else(|| defaults.scope.clone()),
        except: section.optional_section("except", read_except).unwrap_or_default(),
        require: section.sections("require", |_, section| read_require(section)),
        wait: section.optional("wait", time),
        max: section.optional_section("max", read_max),
        once: section.optional_section("once", read_once),
        min_gap: section.optional_section("min_gap", read_gap),
        forbid_after: section.optional_section("forbid_after", read_forbid),
        distinct: section.optional_section("distinct", read_distinct),
        shown: section.optional_section("shown", read_shown),
        order,
        trap: section.read("trap", false, boolean),
        on_unreadable: section.read("on_unreadable", OnUnreadable::Deny, word(UNREADABLE)),
        mode: section.read("mode", defaults.mode, word(MODES)),
        score: section.read("score", DEFAULT_SCORE, points(0.0..=1_000_000.0)),
        action: consequences::read_action(section),
        escalate: section.sections("escalate", |_, section| consequences::read_escalation(section)),
    }
}

/// One word or several.
pub(super) fn read_scope(section: &Section<'_>) -> Option<Vec<Scope>> {
    section.optional("scope", |value| match value.as_array() {
        Some(words) => words.iter().map(|value| word(SCOPES)(value.get_ref())).collect(),
        None => word(SCOPES)(value).map(|scope| vec![scope]),
    })
}

fn read_except(section: &Section<'_>) -> ExceptSpec {
    ExceptSpec {
        users: texts(section, "users"),
        networks: section.list("networks", Vec::new, network),
        headers: read_headers(section),
    }
}

/// Names of header fields, each with a list of values.
fn read_headers(section: &Section<'_>) -> Vec<(String, Vec<String>)> {
    let mut headers = Vec::new();
    section.optional_section("headers", |section| {
        section.entries(|entry| {
            let values = entry.value(|value| {
                let values = value.as_array().ok_or_else(|| {
                    Mistake::new(format!(
                        "expected a list of values like [\"support\"], got {}",
                        describe(value)
                    ))
                })?;
                values.iter().map(|value| text(value.get_ref())).collect()
            });
            headers.push((entry.name.to_owned(), values.unwrap_or_else(|| vec!["?".into()])));
        });
    });
    headers
}

/// One call, or `any` of several.
fn read_require(section: &Section<'_>) -> RequireSpec {
    if !section.has("any") {
        return read_need(section).into();
    }
    for key in ["op", "within", "bind", "status"] {
        if section.has(key) {
            let mistake = Mistake::new("each alternative says this itself");
            section.error(key, mistake.hint("move it into the tables of `any`"));
        }
        section.known(key);
    }
    RequireSpec {
        any: section.sections("any", |_, section| read_need(section)),
    }
}

fn read_need(section: &Section<'_>) -> NeedSpec {
    section.known("any");
    NeedSpec {
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

fn read_once(section: &Section<'_>) -> OnceSpec {
    OnceSpec {
        bind: texts(section, "bind"),
        count_if: section.optional("count_if", text),
    }
}

fn read_gap(section: &Section<'_>) -> GapSpec {
    GapSpec {
        since: section.required("since", "\"view_order\"", text).unwrap_or_default(),
        at_least: section
            .required("at_least", "\"800ms\"", time)
            .unwrap_or(Duration::from_secs(1)),
        bind: texts(section, "bind"),
    }
}

fn read_forbid(section: &Section<'_>) -> ForbidSpec {
    ForbidSpec {
        op: section.required("op", "\"logout\"", text).unwrap_or_default(),
        within: section.optional("within", time),
        until: section.optional("until", text),
        bind: texts(section, "bind"),
        status: section.optional("status", text),
    }
}

fn read_distinct(section: &Section<'_>) -> DistinctSpec {
    DistinctSpec {
        param: section.required("param", "\"id\"", text).unwrap_or_default(),
        max: section.required("max", "30", integer(1..=500)).unwrap_or(1),
        per: section.optional("per", time),
    }
}

fn read_shown(section: &Section<'_>) -> ShownSpec {
    let by = section.sections("by", |_, section| ShownBySpec {
        op: section.required("op", "\"list_orders\"", text).unwrap_or_default(),
        at: section
            .required("at", "\"/items/*/id\"", text)
            .unwrap_or_else(|| "/id".into()),
        within: section.optional("within", time),
    });
    ShownSpec {
        param: section.required("param", "\"id\"", text).unwrap_or_default(),
        by,
    }
}

/// `order`, with `within` and `bind` beside it.
fn read_order(section: &Section<'_>) -> Option<OrderSpec> {
    let is_there = section.has("order");
    let steps = texts(section, "order");
    let within = section.optional("within", time);
    let bind = texts(section, "bind");
    if !is_there {
        for key in ["within", "bind"] {
            if section.has(key) {
                let mistake = Mistake::new("this belongs to a condition");
                section.error(key, mistake.hint("move it into `require`, `max` or another condition"));
            }
        }
        return None;
    }
    Some(OrderSpec { steps, within, bind })
}
