//! A tarball for systems without Debian's packages: one program without shared libraries, its units and its papers.
//!
//! It is linked statically against glibc, position-independent. Names of servers and users are looked up in files and by
//! DNS then, and not by the modules of the system (`daemon/src/main.rs`). musl would do as well, but takes a C compiler of
//! its own for `ring`.
//!
//! The same program gives the same tarball: names are sorted, owner, modes and times do not depend on who packs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::{Profile, time};
use crate::{build, papers, paths, process};

/// What is beside the program.
const BESIDE: [&str; 10] = [
    "README.md",
    "LICENSE-MIT",
    "LICENSE-APACHE",
    "packaging/portcullis.toml",
    "packaging/systemd/portcullis.service",
    "packaging/systemd/portcullis.socket",
    "packaging/systemd/portcullis-control.socket",
    "packaging/systemd/run-portcullis\\x2dbpf.mount",
    "packaging/systemd/portcullis.sysusers",
    "packaging/systemd/portcullis.tmpfiles",
];

pub(super) fn build(profile: Profile) -> Result<PathBuf> {
    build::objects()?;
    let folder = profile.folder()?;
    let program = link(profile)?;
    papers::assets(&program)?;
    let name = format!(
        "portcullis-{}-{}-linux",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::ARCH
    );
    let place = folder.join(&name);
    let _ = fs::remove_dir_all(&place);
    fill(&place, &program)?;
    let tarball = folder.join(format!("{name}.tar.gz"));
    let mut tar = Command::new("tar");
    tar.current_dir(&folder)
        .args([
            "--create",
            "--format=gnu",
            "--sort=name",
            "--owner=0",
            "--group=0",
            "--numeric-owner",
            "--mode=u=rwX,go=rX",
            "--use-compress-program=gzip --best --no-name",
        ])
        .arg(format!("--mtime=@{}", time()?))
        .arg("--file")
        .args([tarball.as_os_str(), name.as_ref()]);
    process::run(&mut tar)?;
    fs::remove_dir_all(&place).with_context(|| format!("failed to remove {}", place.display()))?;
    Ok(tarball)
}

/// Only the last step differs from the program of the Debian package: libraries are compiled once for both, as long as
/// the flag is not one of theirs.
fn link(profile: Profile) -> Result<PathBuf> {
    let mut cargo = process::cargo();
    cargo.args(["rustc", "--package", "portcullis", "--bin", "portcullis"]);
    cargo.args(["--profile", profile.name(), "--", "-C", "target-feature=+crt-static"]);
    process::run(&mut cargo)?;
    let built = profile.program();
    let program = profile.folder()?.join("portcullis-static");
    // What comes next builds the other one in the same place.
    let mut strip = Command::new("strip");
    process::run(strip.arg("-o").arg(&program).arg(&built))?;
    let shared = process::output(Command::new("readelf").arg("--dynamic").arg(&program))?;
    ensure!(
        !shared.contains("(NEEDED)"),
        "{} needs shared libraries",
        program.display()
    );
    Ok(program)
}

fn fill(place: &Path, program: &Path) -> Result<()> {
    copy(program, &place.join("portcullis"))?;
    for paper in BESIDE {
        let from = paths::root().join(paper);
        copy(&from, &place.join(from.file_name().unwrap_or_default()))?;
    }
    copy_all(&paths::root().join("docs"), &place.join("docs"))?;
    copy_all(&paths::target().join("assets/man"), &place.join("man"))?;
    copy_all(&paths::target().join("assets/completions"), &place.join("completions"))
}

/// A folder with what is in it.
fn copy_all(from: &Path, to: &Path) -> Result<()> {
    let entries = fs::read_dir(from).with_context(|| format!("failed to read {}", from.display()))?;
    for entry in entries {
        let entry = entry?;
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy_all(&path, &to)?;
        } else {
            copy(&path, &to)?;
        }
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let failed = || format!("failed to copy {} to {}", from.display(), to.display());
    fs::create_dir_all(to.parent().unwrap_or(to)).with_context(failed)?;
    fs::copy(from, to).map(drop).with_context(failed)
}
