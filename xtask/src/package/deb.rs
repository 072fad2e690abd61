//! The Debian package: by cargo-deb, from `[package.metadata.deb]` of the daemon.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};

use super::folder;
use crate::{build, papers, paths, process, setup};

/// Which build of the program is packaged.
#[derive(Clone, Copy)]
pub(super) enum Profile {
    /// The one for users.
    Release,
    /// The one that tests have built anyway.
    Dev,
}

/// Builds the program and its package, and has lintian look at it.
pub(super) fn build(profile: Profile, version: Option<&str>) -> Result<PathBuf> {
    let name = match profile {
        Profile::Release => {
            build::run(&build::Arguments::default())?;
            "release"
        }
        Profile::Dev => {
            build::objects()?;
            process::run(process::cargo().args(["build", "--quiet", "--package", "portcullis"]))?;
            papers::assets(&paths::target().join("debug/portcullis"))?;
            "dev"
        }
    };
    let package = pack(name, version)?;
    inspect(&package)?;
    Ok(package)
}

fn pack(profile: &str, version: Option<&str>) -> Result<PathBuf> {
    let mut tool = Command::new(setup::cargo_deb()?);
    tool.current_dir(paths::root())
        .env("CARGO_TARGET_DIR", paths::target())
        .args([
            "--package",
            "portcullis",
            "--no-build",
            "--strip",
            "--quiet",
            "--profile",
            profile,
        ])
        .arg("--output")
        .arg(folder()?);
    if let Some(version) = version {
        tool.args(["--deb-version", version]);
    }
    let said = process::output(&mut tool)?;
    let package = PathBuf::from(said.lines().last().unwrap_or_default().trim());
    ensure!(package.is_file(), "cargo-deb made no package: {said}");
    Ok(package)
}

/// Nothing that lintian finds is left without a reason: those are in packaging/debian/lintian-overrides.
fn inspect(package: &Path) -> Result<()> {
    let mut lintian = Command::new("lintian");
    lintian.args(["--fail-on", "error,warning", "--allow-root"]);
    process::run(lintian.arg(package))
}
