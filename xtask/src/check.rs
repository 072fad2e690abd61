//! `cargo xtask check`: formatting, lints, documentation, and what a machine can know of the architecture.

mod tidy;

use anyhow::Result;
use clap::Args;

use crate::process;

#[derive(Args)]
pub(crate) struct Arguments {
    /// Only the rules of `tidy`; no compiler.
    #[arg(long)]
    tidy: bool,
}

/// What Cargo is asked, in this order. The eBPF crate is linted on the host: there it is the same code without a
/// program around it.
const STEPS: [&[&str]; 7] = [
    &["fmt", "--all", "--check"],
    &["fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"],
    &["check", "--manifest-path", "fuzz/Cargo.toml"],
    &[
        "clippy",
        "--workspace",
        "--exclude",
        "portcullis-ebpf",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ],
    &[
        "clippy",
        "--package",
        "xtask",
        "--all-features",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ],
    &[
        "clippy",
        "--package",
        "portcullis-ebpf",
        "--bins",
        "--",
        "-D",
        "warnings",
    ],
    &[
        "doc",
        "--workspace",
        "--exclude",
        "portcullis-ebpf",
        "--no-deps",
        "--document-private-items",
    ],
];

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    tidy::run()?;
    if arguments.tidy {
        return Ok(());
    }
    for step in STEPS {
        eprintln!("check: cargo {}", step.join(" "));
        process::run(process::cargo().env("RUSTDOCFLAGS", "-D warnings").args(step))?;
    }
    eprintln!("check: all is well");
    Ok(())
}
