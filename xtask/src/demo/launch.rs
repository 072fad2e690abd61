//! Before the show: rights, programs, the daemon, the application's packages.

use std::{
    env,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};

use super::{Arguments, BINARY};
use crate::{build, paths, process, setup, test};

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    ensure!(
        process::is_root(),
        "the demo makes network namespaces and attaches an XDP program, and only root may\n\
         hint: sudo env \"PATH=$PATH\" cargo xtask demo"
    );
    setup::ready(setup::Purpose::Demo)?;
    let daemon = daemon()?;
    test::install("tests/browser")?;
    let show = build_the_show()?;
    become_the_show(arguments, &show, &daemon)
}

fn daemon() -> Result<PathBuf> {
    match env::var_os(BINARY) {
        Some(named) => {
            let named = PathBuf::from(named);
            std::path::absolute(&named).with_context(|| format!("failed to find {}", named.display()))
        }
        None => build::run(&build::Arguments::default()),
    }
}

/// xtask again, with what the show needs.
fn build_the_show() -> Result<PathBuf> {
    process::run(process::cargo().args(["build", "--release", "--package", "xtask", "--features", "demo"]))?;
    Ok(paths::target().join("release/xtask"))
}

/// Replaces this process: one process then gets the signals, and nothing of ours outlives it.
fn become_the_show(arguments: &Arguments, show: &Path, daemon: &Path) -> Result<()> {
    let mut command = Command::new(show);
    command
        .env(BINARY, daemon)
        .arg("demo")
        .args(arguments.keep.then_some("--keep"));
    bail!("failed to start {}: {}", show.display(), command.exec())
}
