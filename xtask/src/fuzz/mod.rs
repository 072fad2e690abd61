//! `cargo xtask fuzz [TARGET…]`: builds the targets of `fuzz/` for libFuzzer and lets each search for a bounded time.
//!
//! The coverage that guides the search is a pass of LLVM that a stable compiler has too, so no nightly is needed. The
//! layout is that of cargo-fuzz, which works as well, with sanitizers, where a nightly is installed.

mod seeds;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use crate::{build, paths, process};

#[derive(Args)]
pub(crate) struct Arguments {
    /// Only these; all of `fuzz/fuzz_targets` otherwise.
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
    /// How long each target searches.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    seconds: u32,
    /// Run one input again instead of searching, for example one that a search found.
    #[arg(long, value_name = "FILE", requires = "targets")]
    input: Option<PathBuf>,
}

/// Coverage as cargo-fuzz asks for it, without a sanitizer: that needs the standard library of a nightly.
const FLAGS: [&str; 7] = [
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Cllvm-args=-simplifycfg-branch-fold-threshold=0",
];

/// The target that takes the whole daemon, with the XDP program in it, and root.
const KERNEL: &str = "map_writer";

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let known = targets()?;
    let wanted = if arguments.targets.is_empty() {
        all(&known)
    } else {
        arguments.targets.clone()
    };
    for target in &wanted {
        ensure!(
            known.contains(target),
            "no target {target}; there are {}",
            known.join(", ")
        );
    }
    let host = host()?;
    build(&wanted, &host)?;
    let programs = paths::target().join("fuzz").join(&host).join("release");
    let mut found = Vec::new();
    for target in &wanted {
        let mut program = Command::new(programs.join(target));
        if let Some(input) = &arguments.input {
            process::run(program.arg(input))?;
            continue;
        }
        prepare(&mut program, target, arguments.seconds)?;
        if !search(&mut program, target)? {
            found.push(target.as_str());
        }
    }
    if !found.is_empty() {
        bail!(
            "found something: {}\nhint: the input is in {}; `cargo xtask fuzz TARGET --input FILE` runs it again",
            found.join(", "),
            home("artifacts", "").display()
        );
    }
    Ok(())
}

/// Every target that can run here.
fn all(known: &[String]) -> Vec<String> {
    let mut all = known.to_vec();
    if !process::is_root() {
        eprintln!("fuzz: {KERNEL} is left out, as it writes maps of the kernel: run it as root");
        all.retain(|target| target != KERNEL);
    }
    all
}

/// The names of the targets, in order.
fn targets() -> Result<Vec<String>> {
    let folder = paths::root().join("fuzz/fuzz_targets");
    let entries = fs::read_dir(&folder).with_context(|| format!("failed to list {}", folder.display()))?;
    let stem = |entry: fs::DirEntry| Some(entry.path().file_stem()?.to_str()?.to_owned());
    let mut names: Vec<_> = entries.flatten().filter_map(stem).collect();
    names.sort();
    Ok(names)
}

/// The triple of this machine. It is named so that build scripts and macros are built without the flags.
fn host() -> Result<String> {
    let told = process::output(Command::new("rustc").arg("-vV"))?;
    let host = told.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("rustc -vV names no host")
}

fn build(targets: &[String], host: &str) -> Result<()> {
    let mut cargo = process::cargo();
    cargo
        .current_dir(paths::root().join("fuzz"))
        .env("CARGO_TARGET_DIR", paths::target().join("fuzz"))
        .env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\u{1f}"))
        .args(["build", "--quiet", "--release", "--target", host]);
    for target in targets {
        cargo.args(["--bin", target]);
    }
    if targets.iter().any(|target| target == KERNEL) {
        let object = build::objects()?.join("portcullis-ebpf");
        cargo
            .args(["--features", "kernel"])
            .env("PORTCULLIS_EBPF_OBJECT", object);
    }
    process::run(&mut cargo)
}

/// The folders that a search reads and writes, and its limits.
fn prepare(program: &mut Command, target: &str, seconds: u32) -> Result<()> {
    let (corpus, seeds, artifacts) = (home("corpus", target), home("seeds", target), home("artifacts", target));
    for folder in [&corpus, &seeds, &artifacts] {
        fs::create_dir_all(folder).with_context(|| format!("failed to create {}", folder.display()))?;
    }
    seeds::write(target, &seeds)?;
    program
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .arg(format!("-dict={}", paths::root().join("fuzz/fields.dict").display()))
        .args([
            "-max_len=4500",
            "-timeout=10",
            "-rss_limit_mb=2048",
            "-print_final_stats=1",
            "-verbosity=0",
        ])
        .args([&corpus, &seeds]);
    let committed = paths::root().join("fuzz/seeds").join(target);
    if committed.is_dir() {
        program.arg(committed);
    }
    Ok(())
}

/// Searches; `false` if something was found. What libFuzzer says is shown only then.
fn search(program: &mut Command, target: &str) -> Result<bool> {
    let output = program
        .output()
        .with_context(|| format!("failed to start the target {target}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let figure = |name: &str| {
        let lines = said.lines().filter_map(|line| line.strip_prefix("stat::"));
        let mut values = lines.filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        values.next().map_or("?", str::trim).to_owned()
    };
    if !output.status.success() {
        eprintln!("{said}fuzz: {target:<20} FOUND SOMETHING");
        return Ok(false);
    }
    let (runs, speed, units) = (
        figure("number_of_executed_units"),
        figure("average_exec_per_sec"),
        figure("new_units_added"),
    );
    eprintln!("fuzz: {target:<20} {runs:>10} inputs, {speed} a second, {units} that reached something new");
    Ok(true)
}

fn home(kind: &str, target: &str) -> PathBuf {
    paths::target().join("fuzz").join(kind).join(Path::new(target))
}
