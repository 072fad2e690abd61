//! Who gets hurt: the examples of docs/examples against people and abusers, by the real guard and a virtual clock. What is
//! promised here is what docs/examples/README.md says.

use anyhow::{Context, Result, ensure};
use portcullis_guard::policy::{Mode, Policy};
use portcullis_tests::simulation::{self, Group, Kind, Population, Report, SCENARIOS, Scenario};

/// Calls that may pass before the first ban, of any member of a group.
fn most_calls(kind: Kind) -> usize {
    match kind {
        Kind::Person | Kind::Phone | Kind::Neighbour => 0,
        Kind::Scraper => 70,
        Kind::Stuffer => 45,
        Kind::Farmhand => 40,
    }
}

fn check(report: &Report, group: &Group) -> Result<()> {
    let name = format!("{}, {}", report.scenario.name, group.kind.name());
    if group.kind.is_innocent() {
        ensure!(group.banned == 0, "{name}: {} were banned", group.banned);
        let refused = group.refused as f64 / group.calls as f64;
        ensure!(refused <= 0.001, "{name}: {refused} of the calls were refused");
        return Ok(());
    }
    ensure!(
        group.banned == group.members,
        "{name}: only {} were banned",
        group.banned
    );
    let calls = group.calls_to_ban.context("no ban")?;
    ensure!(calls <= most_calls(group.kind), "{name}: {calls} calls passed");
    Ok(())
}

fn guarded(scenario: &'static Scenario, seed: u64) -> Result<Report> {
    Ok(simulation::run(scenario, scenario.policy()?, Population::SMALL, seed))
}

#[test]
fn abusers_are_stopped_and_nobody_else_is_hurt() -> Result<()> {
    for (seed, scenario) in (1..).zip(&SCENARIOS) {
        let report = guarded(scenario, seed)?;
        ensure!(report.groups.len() == Kind::ALL.len());
        for group in &report.groups {
            check(&report, group)?;
        }
    }
    Ok(())
}

#[test]
fn a_seed_tells_the_same_story_again() -> Result<()> {
    let [first, again, other] = [1, 1, 2].map(|seed| guarded(&SCENARIOS[0], seed));
    let (first, again, other) = (first?, again?, other?);
    ensure!(first.groups == again.groups && first.lanes == again.lanes);
    ensure!(first.lanes != other.lanes);
    Ok(())
}

#[test]
fn a_gate_that_watches_stops_nobody() -> Result<()> {
    let scenario = &SCENARIOS[2];
    let policy = Policy {
        mode: Mode::Monitor,
        ..scenario.policy()?
    };
    let few = Population {
        people: 5,
        phones: 5,
        neighbours: 5,
        scrapers: 1,
        stuffers: 1,
        farmhands: 3,
    };
    let report = simulation::run(scenario, policy, few, 1);
    ensure!(
        report.groups.iter().all(|group| group.refused == 0),
        "{:?}",
        report.groups
    );
    Ok(())
}
