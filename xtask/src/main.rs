//! The tasks of this repository: `cargo xtask TASK`.
//!
//! One file or folder per task; a new one is a module and a line in [`Task`].

mod bench;
mod build;
mod check;
mod demo;
mod fuzz;
mod kernels;
mod package;
mod papers;
mod paths;
mod process;
mod setup;
mod simulate;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Portcullis: the tasks of this repository")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Find or install what a task needs: the eBPF toolchain, system packages.
    Setup(setup::Arguments),
    /// Build target/release/portcullis with the XDP program embedded.
    Build(build::Arguments),
    /// Write docs/control-api.json, and man pages and completions into target/assets.
    Papers,
    /// Make the Debian package and the static tarball, into target/package.
    Package(package::Arguments),
    /// Show the whole gate at work, on real packets in network namespaces.
    Demo(demo::Arguments),
    /// Test everything: Rust, SDK, browser, kernel.
    Test(test::Arguments),
    /// Check formatting, lints, documentation and architecture.
    Check(check::Arguments),
    /// Let populations of people and abusers call the guard, and show who gets hurt.
    Simulate(simulate::Arguments),
    /// Measure, in one run with the floors and peers that it is compared to.
    Bench(bench::Arguments),
    /// Search for inputs that the guard accepts and the reference would not, for a bounded time.
    Fuzz(fuzz::Arguments),
}

impl Task {
    fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Setup(arguments) => setup::run(&arguments),
            Self::Build(arguments) => build::run(&arguments).map(drop),
            Self::Papers => papers::run(),
            Self::Package(arguments) => package::run(&arguments),
            Self::Demo(arguments) => demo::run(&arguments),
            Self::Test(arguments) => test::run(&arguments),
            Self::Check(arguments) => check::run(&arguments),
            Self::Simulate(arguments) => simulate::run(&arguments),
            Self::Bench(arguments) => bench::run(&arguments),
            Self::Fuzz(arguments) => fuzz::run(&arguments),
        }
    }
}

fn main() -> ExitCode {
    match Arguments::parse().task.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
