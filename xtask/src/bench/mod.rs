//! `cargo xtask bench NAME`: measures, in one run with what it is compared to.
//!
//! The measuring needs the daemon's crates, which the other tasks should not wait for: they are
//! behind the feature `bench`, and without it this builds xtask again with it and starts that.

#[cfg(feature = "bench")]
mod front;
#[cfg(feature = "bench")]
mod operate;
#[cfg(feature = "bench")]
mod packet;
#[cfg(feature = "bench")]
mod report;
#[cfg(feature = "bench")]
mod rules;
#[cfg(feature = "bench")]
mod sender;
#[cfg(feature = "bench")]
mod verdict;
#[cfg(feature = "bench")]
mod verify;

use anyhow::Result;
use clap::{Args, ValueEnum};

#[derive(Args)]
pub(crate) struct Arguments {
    /// What to measure.
    #[arg(value_enum)]
    name: Bench,
    /// Print the JSON that docs/benchmarks.md describes, instead of a table.
    #[arg(long)]
    json: bool,
    /// Measure for a shorter time: figures for a look, not for a comparison.
    #[arg(long)]
    quick: bool,
}

/// A new one is a file, a line here and one in `measure`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Bench {
    /// Nanoseconds per packet of the XDP program.
    Packet,
    /// The HTTP front beside nginx, haproxy and caddy.
    Front,
    /// What operators wait for, with a million bans: imports, commands, the start, memory.
    Operate,
    /// Microseconds from an offence to the first dropped packet.
    Verdict,
    /// The cost of verifying a call: in the guard alone, and in the whole daemon.
    Verify,
    /// The cost of rules: time a call, and memory.
    Rules,
    /// All of them, one after the other.
    All,
}

#[cfg(feature = "bench")]
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    measure(arguments.name, arguments.quick)?.print(arguments.json)
}

#[cfg(feature = "bench")]
fn measure(bench: Bench, is_quick: bool) -> Result<report::Report> {
    match bench {
        Bench::Packet => packet::measure(is_quick),
        Bench::Front => front::measure(is_quick),
        Bench::Operate => operate::measure(is_quick),
        Bench::Verdict => verdict::measure(is_quick),
        Bench::Verify => verify::measure(is_quick),
        Bench::Rules => rules::measure(is_quick),
        Bench::All => all(is_quick),
    }
}

/// What fails has a row that says so, and leaves the figures of the others as they are.
#[cfg(feature = "bench")]
fn all(is_quick: bool) -> Result<report::Report> {
    let each = Bench::value_variants().iter().filter(|bench| **bench != Bench::All);
    let reports = each.map(|bench| {
        let name = bench
            .to_possible_value()
            .map_or_else(String::new, |name| name.get_name().to_owned());
        eprintln!("bench {name}");
        (name, measure(*bench, is_quick))
    });
    report::Report::together("all", reports)
}

#[cfg(not(feature = "bench"))]
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    use crate::{build, process, setup};

    setup::ready(setup::Purpose::Bench)?;
    let program = build::for_users()?;
    let name = arguments.name.to_possible_value();
    let name = name.as_ref().map_or("", |name| name.get_name());
    let mut cargo = process::cargo();
    cargo
        .env("PORTCULLIS_BIN", program)
        .args([
            "run",
            "--quiet",
            "--release",
            "--package",
            "xtask",
            "--features",
            "bench",
            "--",
        ])
        .args(["bench", name])
        .args(arguments.json.then_some("--json"))
        .args(arguments.quick.then_some("--quick"));
    process::run(&mut cargo)
}
