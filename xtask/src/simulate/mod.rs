//! `cargo xtask simulate`: who gets hurt by the examples of docs/examples, as a table and as pictures.
//!
//! The simulation needs the guard and its rules, which the other tasks should not wait for: it is behind the feature
//! `simulate`, and without it this builds xtask again with it and starts that.

#[cfg(feature = "simulate")]
mod figures;
#[cfg(feature = "simulate")]
mod picture;
#[cfg(feature = "simulate")]
mod show;

use std::path::PathBuf;

use clap::Args;

#[cfg(feature = "simulate")]
pub(crate) use self::show::run;

#[derive(Args)]
pub(crate) struct Arguments {
    /// Where chance begins; the same seed gives the same figures.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print JSON instead of tables.
    #[arg(long)]
    json: bool,
    /// Where the pictures go: NAME.svg, and NAME.png where Chromium is installed.
    #[arg(long, value_name = "DIR", default_value = "target/simulation")]
    into: PathBuf,
}

#[cfg(not(feature = "simulate"))]
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    use crate::process;

    let mut cargo = process::cargo();
    cargo
        .args(["run", "--quiet", "--release", "--package", "xtask"])
        .args(["--features", "simulate", "--", "simulate"])
        .args(["--seed", &arguments.seed.to_string()])
        .arg("--into")
        .arg(&arguments.into)
        .args(arguments.json.then_some("--json"));
    process::run(&mut cargo)
}
