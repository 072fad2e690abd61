//! `cargo xtask setup`: finds or installs what a task needs.

mod cargo_deb;
mod compiler;
mod debian;
mod linker;
mod packages;
mod toolchain;

use std::{env, time::Instant};

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};

pub(crate) use self::{
    cargo_deb::find_or_install as cargo_deb,
    debian::{unpack, update},
    toolchain::Toolchain,
};
use crate::{paths, process};

#[derive(Args)]
pub(crate) struct Arguments {
    /// The task to get ready for.
    #[arg(long = "for", value_enum, default_value_t = Purpose::Build)]
    purpose: Purpose,
    /// Only list what the task needs, and what of it is missing.
    #[arg(long)]
    list: bool,
}

/// What something is needed for. Each purpose but `build` includes the building.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Purpose {
    Build,
    Test,
    /// The XDP suites on other kernels, in virtual machines.
    Kernels,
    Demo,
    Bench,
    /// Packages, and what proves them.
    Package,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if arguments.list {
        packages::list(arguments.purpose);
        return Ok(());
    }
    ready(arguments.purpose).map(drop)
}

/// Gets ready for a task. Fast if everything is there; other tasks call it first.
pub(crate) fn ready(purpose: Purpose) -> Result<Toolchain> {
    packages::install(purpose)?;
    if let Some(toolchain) = Toolchain::installed() {
        return Ok(toolchain);
    }
    let started = Instant::now();
    let toolchain = install()?;
    toolchain.save()?;
    eprintln!(
        "setup: the eBPF toolchain is ready after {:.0} s, {}",
        started.elapsed().as_secs_f64(),
        toolchain.describe()
    );
    Ok(toolchain)
}

/// Whether installing is forbidden.
fn may_install() -> bool {
    env::var_os("PORTCULLIS_NO_INSTALL").is_none_or(|value| value.is_empty() || value == "0")
}

fn install() -> Result<Toolchain> {
    let folder = paths::toolchain();
    std::fs::create_dir_all(&folder).with_context(|| format!("failed to create {}", folder.display()))?;
    let compiler = compiler::find_or_install(&folder)?;
    let linker = linker::find_or_install(&folder, &compiler)?;
    Ok(Toolchain::new(compiler, linker))
}

/// Says what goes on, as it may take a while.
fn say(what: &str) {
    eprintln!("setup: {what}");
}

/// `rustc -vV` or the like: the value of one line.
fn version_line<'a>(output: &'a str, key: &str) -> Option<&'a str> {
    output
        .lines()
        .find_map(|line| line.strip_prefix(key))
        .map(|value| value.trim_start_matches(':').trim())
}

fn is_debian() -> bool {
    process::exists("apt-get") && process::exists("dpkg")
}
