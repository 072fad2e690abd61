//! `cargo xtask test`: everything that can be tested, with what it needs.

use std::path::Path;
use std::process::Command;

use anyhow::Result;
use clap::Args;

use crate::setup::{self, Purpose};
use crate::{build, kernels, package, paths, process};

#[derive(Args)]
pub(crate) struct Arguments {
    /// Only the tests of the Rust code; no SDK and no browser.
    #[arg(long)]
    rust: bool,
    /// Only the XDP suites, on these kernels, in virtual machines; what follows `--` goes to the test programs.
    #[arg(
        long,
        value_name = "VERSIONS",
        num_args = 0..=1,
        value_delimiter = ',',
        default_missing_value = kernels::DEFAULT,
        conflicts_with = "rust"
    )]
    kernels: Option<Vec<String>>,
    /// Only the package: installed, used, upgraded, removed and purged in a booted Debian.
    #[arg(long, conflicts_with_all = ["rust", "kernels"])]
    packages: bool,
    /// Passed on to `cargo test`.
    #[arg(last = true)]
    cargo: Vec<String>,
}

/// Node packages with their own lock files.
const NODE_PACKAGES: [&str; 3] = ["sdk/js", "tests/browser", "tests/interop"];

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if let Some(versions) = &arguments.kernels {
        return kernels::run(versions, &arguments.cargo);
    }
    if arguments.packages {
        return package::trial();
    }
    setup::ready(Purpose::Test)?;
    build::objects()?;
    if !arguments.rust {
        NODE_PACKAGES.iter().try_for_each(|package| install(package))?;
        process::run(
            Command::new("npm")
                .current_dir(paths::root())
                .args(["test", "--prefix", "sdk/js"]),
        )?;
    }
    // The black-box suites start the daemon of the same profile, with the XDP program inside.
    process::run(process::cargo().args(["build", "--package", "portcullis"]))?;
    let mut tests = process::cargo();
    tests.args(["test", "--workspace", "--exclude", "portcullis-ebpf"]);
    if arguments.rust {
        tests.args(["--", "--skip", "a_page_in", "--skip", "the_library"]);
    }
    process::run(tests.args(&arguments.cargo))
}

/// Installs the packages of a lock file, unless that was done since it changed.
pub(crate) fn install(package: &str) -> Result<()> {
    let folder = paths::root().join(package);
    let is_newer = |a: &Path, b: &Path| {
        let time = |path: &Path| path.metadata().and_then(|metadata| metadata.modified()).ok();
        time(a) >= time(b)
    };
    if is_newer(
        &folder.join("node_modules/.package-lock.json"),
        &folder.join("package-lock.json"),
    ) {
        return Ok(());
    }
    process::run(
        Command::new("npm")
            .current_dir(folder)
            .args(["ci", "--no-audit", "--no-fund"]),
    )
}
