//! A tarball for systems without Debian's packages: one program without shared libraries, its units and its papers.
//!
//! It is linked statically against glibc, position-independent. Names of servers and users are looked up in files and by
//! DNS then, and not by the modules of the system (`daemon/src/main.rs`). musl would do as well, but takes a C compiler of
//! its own for `ring`.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::folder;
use crate::{build, paths, process};

/// What is beside the program.
const PAPERS: [&str; 10] = [
    "README.md",
    "LICENSE-MIT",
    "LICENSE-APACHE",
    "docs/install.md",
    "packaging/portcullis.toml",
    "packaging/systemd/portcullis.service",
    "packaging/systemd/portcullis.socket",
    "packaging/systemd/run-portcullis\\x2dbpf.mount",
    "packaging/systemd/portcullis.sysusers",
    "packaging/systemd/portcullis.tmpfiles",
];

pub(super) fn build() -> Result<PathBuf> {
    build::objects()?;
    let architecture = std::env::consts::ARCH;
    let target = format!("{architecture}-unknown-linux-gnu");
    let mut cargo = process::cargo();
    cargo.env("RUSTFLAGS", "-C target-feature=+crt-static").args([
        "build",
        "--release",
        "--package",
        "portcullis",
        "--target",
        &target,
    ]);
    process::run(&mut cargo)?;
    let program = paths::target().join(&target).join("release/portcullis");
    let shared = process::output(Command::new("readelf").args(["--dynamic"]).arg(&program))?;
    ensure!(
        !shared.contains("(NEEDED)"),
        "{} needs shared libraries",
        program.display()
    );

    let name = format!("portcullis-{}-{architecture}-linux", env!("CARGO_PKG_VERSION"));
    let place = folder()?.join(&name);
    let _ = fs::remove_dir_all(&place);
    fs::create_dir_all(&place).with_context(|| format!("failed to create {}", place.display()))?;
    let mut strip = Command::new("strip");
    process::run(strip.arg("-o").arg(place.join("portcullis")).arg(&program))?;
    for paper in PAPERS {
        let from = paths::root().join(paper);
        let to = place.join(from.file_name().unwrap_or_default());
        fs::copy(&from, &to).with_context(|| format!("failed to copy {paper}"))?;
    }
    let tarball = folder()?.join(format!("{name}.tar.gz"));
    let mut tar = Command::new("tar");
    tar.current_dir(folder()?)
        .args(["--create", "--gzip", "--owner=0", "--group=0", "--sort=name", "--file"])
        .args([tarball.as_os_str(), name.as_ref()]);
    process::run(&mut tar)?;
    fs::remove_dir_all(&place).with_context(|| format!("failed to remove {}", place.display()))?;
    Ok(tarball)
}
