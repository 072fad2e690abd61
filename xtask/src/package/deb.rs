//! The Debian package: by cargo-deb, from `[package.metadata.deb]` of the daemon.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};

use super::{Profile, time};
use crate::{build, papers, paths, process, setup};

/// Builds the program and its package, and has lintian look at it.
pub(super) fn build(profile: Profile, version: Option<&str>) -> Result<PathBuf> {
    match profile {
        Profile::Release => {
            build::for_users()?;
        }
        Profile::Dev => {
            build::objects()?;
            process::run(process::cargo().args(["build", "--quiet", "--package", "portcullis"]))?;
            papers::assets(&profile.program())?;
        }
    }
    let package = pack(profile, version)?;
    inspect(&package)?;
    Ok(package)
}

fn pack(profile: Profile, version: Option<&str>) -> Result<PathBuf> {
    let mut tool = Command::new(setup::cargo_deb()?);
    tool.current_dir(paths::root())
        .env("CARGO_TARGET_DIR", paths::target())
        .env("SOURCE_DATE_EPOCH", time()?.to_string())
        .args([
            "--package",
            "portcullis",
            "--no-build",
            "--strip",
            "--quiet",
            "--profile",
            profile.name(),
        ])
        .arg("--output")
        .arg(profile.folder()?);
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
