//! What violations and scores lead to.

use std::time::Duration;

use portcullis_guard::sequence::{Action, BanAction, BanTarget, Escalation, Threshold};
use toml::de::DeValue;

use super::super::error::Mistake;
use super::super::section::Section;
use super::super::value::{duration, integer, points, word};
use super::time;

/// Actions that a word names.
const ACTIONS: &[(&str, Action)] = &[
    ("log", Action::Log),
    ("score", Action::Score),
    ("delay", Action::Delay),
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

pub(super) fn read_escalation(section: &Section<'_>) -> Escalation {
    Escalation {
        hits: section.required("hits", "3", integer(1..=1000)).unwrap_or(1),
        per: section
            .required("per", "\"10m\"", time)
            .unwrap_or(Duration::from_secs(1)),
        action: read_action(section),
    }
}

pub(super) fn read_threshold(section: &Section<'_>) -> Threshold {
    Threshold {
        score: section
            .required("score", "60", points(0.0..=1_000_000.0))
            .unwrap_or(1.0),
        action: read_action(section),
    }
}

/// `action = "WORD"`, or `ban = "TARGET"` with its times beside it.
pub(super) fn read_action(section: &Section<'_>) -> Action {
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
