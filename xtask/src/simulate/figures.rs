//! The outcome of a simulation as a table for people and as JSON for programs.

use portcullis_tests::simulation::{Group, Report};
use serde_json::{Value, json};

use super::show::Run;

/// What a group would have got if the gate only watched.
pub(super) fn gains_without(run: &Run, group: &Group) -> u32 {
    run.watched.group(group.kind).map_or(0, |group| group.gains)
}

pub(super) fn table(run: &Run) -> String {
    let Report {
        scenario, seed, groups, ..
    } = &run.guarded;
    let mut text = format!("{} (seed {seed})\n", scenario.title);
    text.push_str(&format!(
        "{:<28} {:>7} {:>7} {:>8} {:>6} {:>6} {:>13} {:>12} {:>9} {:>9}\n",
        "who", "members", "calls", "refused", "hurt", "banned", "calls to ban", "s to ban", "got", "would get"
    ));
    for group in groups {
        let calls = group
            .calls_to_ban
            .map_or_else(|| "-".into(), |calls| format!("at most {calls}"));
        let seconds = group
            .seconds_to_ban
            .map_or_else(|| "-".into(), |seconds| format!("median {seconds:.0}"));
        text.push_str(&format!(
            "{:<28} {:>7} {:>7} {:>7.2}% {:>6} {:>6} {calls:>13} {seconds:>12} {:>9} {:>9}\n",
            group.kind.name(),
            group.members,
            group.calls,
            100.0 * refused_share(group),
            group.hurt,
            group.banned,
            group.gains,
            gains_without(run, group),
        ));
    }
    text
}

pub(super) fn refused_share(group: &Group) -> f64 {
    group.refused as f64 / group.calls.max(1) as f64
}

pub(super) fn json(runs: &[Run]) -> Value {
    let scenarios: Vec<Value> = runs.iter().map(one).collect();
    json!({ "simulation": "who gets hurt", "scenarios": scenarios })
}

fn one(run: &Run) -> Value {
    let groups: Vec<Value> = run
        .guarded
        .groups
        .iter()
        .map(|group| {
            json!({
                "who": group.kind.name(),
                "innocent": group.kind.is_innocent(),
                "members": group.members,
                "calls": group.calls,
                "refused": group.refused,
                "hurt": group.hurt,
                "banned": group.banned,
                "calls_to_ban_at_most": group.calls_to_ban,
                "seconds_to_ban_median": group.seconds_to_ban,
                "got": group.gains,
                "would_get": gains_without(run, group),
                "signed_again_unseen": group.unseen,
                "worked_for_sessions": group.worked,
            })
        })
        .collect();
    json!({
        "scenario": run.guarded.scenario.name,
        "seed": run.guarded.seed,
        "groups": groups,
    })
}
