//! What decisions are made by: `[protect]`, `[[route]]`, `[session]`, `[work]`, `[binding]`, `[reauth]`, `[score]` and `never_ban`.

use portcullis_guard::blacklist::NEVER_BAN_CAPACITY;
use portcullis_guard::campaign::CampaignLimits;
use portcullis_guard::escalation::Growth;
use portcullis_guard::path::PathPattern;
use portcullis_guard::policy::{BindingPolicy, Freshness, Mode, Policy, SessionLimits, Share, Thresholds, Weights};
use portcullis_guard::sequence::Rules;
use portcullis_guard::suspects::{Suspects, USUAL};
use portcullis_guard::tier::TierLimits;
use toml::de::DeValue;

use super::error::Mistake;
use super::http::Http;
use super::section::{Parsed, Section};
use super::value::{describe, duration, integer, network, pattern, points, share, text, word};
use super::{cors, reauth, route, work};

/// Half of the never-ban set; the rest is for the machine's own addresses and for the command line.
const MOST_NEVER_BAN: usize = NEVER_BAN_CAPACITY / 2;

/// The largest number of points that any key takes.
pub(super) const MOST_POINTS: f32 = 1_000_000.0;

pub(super) const BINDINGS: &[(&str, BindingPolicy)] = &[
    ("ladder", BindingPolicy::Ladder),
    ("strict", BindingPolicy::Strict),
    ("off", BindingPolicy::Off),
];

/// Reads what the guard decides by. What `[http]` says matters to it too; `None` if that could not be read.
pub(super) fn read(root: &Section<'_>, mode: Mode, http: Option<&Http>, rules: Rules) -> Policy {
    let defaults = Policy::default();
    let never_ban = root.list("never_ban", Vec::new, network);
    if never_ban.len() > MOST_NEVER_BAN {
        root.error(
            "never_ban",
            Mistake::new(format!("at most {MOST_NEVER_BAN} networks fit")),
        );
    }
    let (sessions, freshness) = root.section("session", read_session);
    let (bind_address, bind_user_agent, networks_per_hour) = root.section("binding", |section| {
        (
            section.read("address", defaults.bind_address, word(BINDINGS)),
            section.read("user_agent", defaults.bind_user_agent, word(BINDINGS)),
            section.read("networks_per_hour", defaults.networks_per_hour, integer(1..=10_000)),
        )
    });
    let (thresholds, weights, suspects) = root.section("score", |section| {
        (read_score(section), read_weights(section), read_suspects(section))
    });
    let protected = root.section("protect", read_protect);
    Policy {
        mode,
        enforced: root.read("enforce", Share::ALL, share),
        logins: root.section("reauth", |section| reauth::read(section, &protected)),
        protected,
        authorities: http.map(|http| http.authorities.clone()).unwrap_or_default(),
        routes: route::read(root, http.map(|http| http.max_body)),
        sessions,
        work: root.section("work", work::read),
        cors: root.section("cors", cors::read),
        suspects,
        freshness,
        bind_address,
        bind_user_agent,
        networks_per_hour,
        weights,
        thresholds,
        rules,
        never_ban,
    }
}

fn read_protect(section: &Section<'_>) -> Vec<PathPattern> {
    let mistakes = section.mistakes();
    let paths = section.list("paths", || vec![PathPattern::everything()], pattern);
    if paths.is_empty() && section.mistakes() == mistakes {
        let mistake = Mistake::new("without a path nothing is protected");
        section.error("paths", mistake.hint("`[\"/**\"]` protects everything"));
    }
    paths
}

fn read_session(section: &Section<'_>) -> (SessionLimits, Freshness) {
    let limits = SessionLimits::default();
    let freshness = Freshness::default();
    let limits = SessionLimits {
        lifetime: section.read("lifetime", limits.lifetime, duration("1m"..="90d")),
        idle: section.read("idle", limits.idle, duration("1m"..="90d")),
        capacity: section.read("capacity", limits.capacity, integer(1..=100_000_000)),
        source_capacity: section.read("source_capacity", limits.source_capacity, integer(1..=100_000_000)),
        shared_facts: section.read("shared_facts", limits.shared_facts, integer(256..=1_000_000)),
        key_rotation: section.read("key_rotation", limits.key_rotation, duration("1h"..="730d")),
    };
    let freshness = Freshness {
        max_age: section.read("max_age", freshness.max_age, duration("1s"..="5m")),
        max_ahead: section.read("max_ahead", freshness.max_ahead, duration("0s"..="5m")),
        ..freshness
    };
    if limits.lifetime < freshness.max_age {
        let mistake = Mistake::new("a session ends before its signatures do");
        section.error("lifetime", mistake.hint("`lifetime` is at least `max_age`"));
    }
    (limits, freshness)
}

fn read_score(section: &Section<'_>) -> Thresholds {
    let defaults = Thresholds::default();
    let thresholds = Thresholds {
        session: section.read("session_threshold", defaults.session, points(1.0..=MOST_POINTS)),
        address: section.read("address_threshold", defaults.address, points(1.0..=MOST_POINTS)),
        half_life: section.read("half_life", defaults.half_life, duration("1s"..="30d")),
        session_ban: section.read("session_ban", defaults.session_ban, duration("1s"..="365d")),
        address_ban: section.read("address_ban", defaults.address_ban, duration("1s"..="365d")),
        flow_ban: section.read("flow_ban", defaults.flow_ban, duration("1s"..="1d")),
        nat_guard: section.read("nat_guard", defaults.nat_guard, duration("0s"..="1d")),
        growth: read_growth(section),
        tiers: read_tiers(section),
        campaigns: read_campaigns(section),
    };
    if thresholds.address < thresholds.session {
        let (address, session) = (thresholds.address, thresholds.session);
        let mistake = Mistake::new(format!("{address} is below session_threshold ({session})"));
        let hint = "a session is banned before its address, which its neighbours may share";
        section.error("address_threshold", mistake.hint(hint));
    }
    thresholds
}

fn read_growth(section: &Section<'_>) -> Growth {
    let defaults = Growth::default();
    Growth {
        factor: section.read("ban_growth", defaults.factor, points(1.0..=100.0)),
        longest: section.read("longest_ban", defaults.longest, duration("1s"..="365d")),
        jitter: section.read("ban_jitter", defaults.jitter, points(0.0..=1.0)),
        memory: section.read("ban_memory", defaults.memory, duration("1m"..="365d")),
    }
}

fn read_tiers(section: &Section<'_>) -> TierLimits {
    let defaults = TierLimits::default();
    let sources = integer(0..=TierLimits::MOST_SOURCES);
    TierLimits {
        sources: section.read("prefix_sources", defaults.sources, sources),
        points: section.read("prefix_threshold", defaults.points, points(1.0..=MOST_POINTS)),
        ban: section.read("prefix_ban", defaults.ban, duration("1s"..="365d")),
    }
}

fn read_campaigns(section: &Section<'_>) -> CampaignLimits {
    let defaults = CampaignLimits::default();
    CampaignLimits {
        sessions: section.read("farm_sessions", defaults.sessions, integer(1..=10_000)),
        alike: section.read("alike_sessions", defaults.alike, integer(2..=8)),
        banned: section.read("client_sessions", defaults.banned, integer(0..=100)),
    }
}

fn read_suspects(section: &Section<'_>) -> Suspects {
    let usual = || USUAL.map(str::to_owned).to_vec();
    Suspects::new(section.list("suspects", usual, part_of_agent))
}

/// A part of a User-Agent: so short a one would be part of many.
fn part_of_agent(value: &DeValue<'_>) -> Parsed<String> {
    let text = text(value)?;
    if (3..=64).contains(&text.len()) {
        Ok(text)
    } else {
        Err(Mistake::new(format!(
            "expected a part of a User-Agent with 3 to 64 letters, got {}",
            describe(value)
        )))
    }
}

fn read_weights(section: &Section<'_>) -> Weights {
    section.section("weights", |section| {
        let defaults = Weights::default();
        let weight = |key, default| section.read(key, default, points(0.0..=MOST_POINTS));
        Weights {
            bad_signature: weight("bad_signature", defaults.bad_signature),
            replay: weight("replay", defaults.replay),
            echo: weight("echo", defaults.echo),
            malformed: weight("malformed", defaults.malformed),
            unsigned: weight("unsigned", defaults.unsigned),
            user_agent_changed: weight("user_agent_changed", defaults.user_agent_changed),
            address_changed: weight("address_changed", defaults.address_changed),
            network_changed: weight("network_changed", defaults.network_changed),
            fingerprint_changed: weight("fingerprint_changed", defaults.fingerprint_changed),
            concentration: weight("concentration", defaults.concentration),
            digest_mismatch: weight("digest_mismatch", defaults.digest_mismatch),
            session_banned: weight("session_banned", defaults.session_banned),
            banned_session_used: weight("banned_session_used", defaults.banned_session_used),
            session_farm: weight("session_farm", defaults.session_farm),
            identical_calls: weight("identical_calls", defaults.identical_calls),
            tls_contradiction: weight("tls_contradiction", defaults.tls_contradiction),
            error_ratio: weight("error_ratio", defaults.error_ratio),
            robotic_timing: weight("robotic_timing", defaults.robotic_timing),
            suspect_agent: weight("suspect_agent", defaults.suspect_agent),
        }
    })
}
