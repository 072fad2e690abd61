//! `cargo xtask test --packages`: what `cargo xtask package` makes is installed and used in a booted Debian, as
//! docs/install.md says.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use super::{Profile, deb, sum, tarball};
use crate::setup::{self, Purpose};
use crate::{paths, process};

/// What the tree has beside a minimal system.
const INCLUDED: &str = "systemd,systemd-sysv,dbus,iproute2,iputils-ping";
const SUITE: &str = "bookworm";
const MIRROR: &str = "http://deb.debian.org/debian";

pub(crate) fn run() -> Result<()> {
    setup::ready(Purpose::Package)?;
    if !process::is_root() {
        bail!("booting a Debian tree takes root\nhint: sudo cargo xtask test --packages");
    }
    let profile = Profile::Dev;
    let tarball = tarball::build(profile)?;
    let package = deb::build(profile, None)?;
    let next = deb::build(profile, Some("9.9.9-1"))?;
    let sums = sum(profile, &[tarball.clone(), package.clone()])?;
    let pristine = find_or_make_tree()?;
    let docker = |file: &str| paths::root().join("packaging/docker").join(file);
    let (dockerfile, compose) = (docker("Dockerfile"), docker("compose.yaml"));
    let suites = [
        ("package", vec![&package, &next]),
        ("tarball", vec![&tarball, &sums]),
        ("socket", vec![&package, &next]),
        ("container", vec![&tarball, &dockerfile, &compose]),
    ];
    let failed: Vec<_> = suites
        .into_iter()
        .filter_map(|(suite, files)| boot(&pristine, suite, &files).err())
        .map(|error| format!("{error:#}"))
        .collect();
    ensure!(failed.is_empty(), "{}", failed.join("\n"));
    Ok(())
}

/// Runs a suite of packaging/test in a tree of its own.
fn boot(pristine: &Path, suite: &str, files: &[&PathBuf]) -> Result<()> {
    let tree = paths::target().join("package/tree");
    let _ = fs::remove_dir_all(&tree);
    process::run(Command::new("cp").arg("--archive").arg(pristine).arg(&tree))?;
    let mut trial = Command::new(paths::root().join("packaging/test/boot.sh"));
    process::run(trial.arg(&tree).arg(suite).args(files))?;
    let _ = fs::remove_dir_all(&tree);
    Ok(())
}

/// A tree that is made once, and only ever copied.
fn find_or_make_tree() -> Result<PathBuf> {
    let tree = paths::toolchain().join(format!("tree-{SUITE}"));
    if tree.is_dir() {
        return Ok(tree);
    }
    eprintln!(
        "packages: a Debian tree is made in {} (a minute or two)",
        tree.display()
    );
    let fresh = tree.with_extension("new");
    let _ = fs::remove_dir_all(&fresh);
    let mut debootstrap = Command::new("debootstrap");
    debootstrap.args(["--variant=minbase", &format!("--include={INCLUDED}"), SUITE]);
    process::output(debootstrap.arg(&fresh).arg(MIRROR))?;
    fs::rename(&fresh, &tree).with_context(|| format!("failed to move to {}", tree.display()))?;
    Ok(tree)
}
