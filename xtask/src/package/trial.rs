//! `cargo xtask test --packages`: the package is installed, used, upgraded, removed and purged in a booted Debian.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::deb::{self, Profile};
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
    let package = deb::build(Profile::Dev, None)?;
    let next = deb::build(Profile::Dev, Some("9.9.9-1"))?;
    let tree = paths::target().join("package/tree");
    let pristine = find_or_make_tree()?;
    let _ = fs::remove_dir_all(&tree);
    process::run(Command::new("cp").args(["--archive"]).arg(&pristine).arg(&tree))?;
    let mut trial = Command::new(paths::root().join("packaging/test.sh"));
    process::run(trial.arg(&tree).arg(&package).arg(&next))?;
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
