//! `cargo xtask build`: the daemon with the XDP program embedded.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use clap::Args;

use crate::{
    papers, paths, process,
    setup::{self, Purpose, Toolchain},
};

/// The binaries of the eBPF crate.
const OBJECTS: [&str; 2] = ["portcullis-ebpf", "floor"];

#[derive(Args, Default)]
pub(crate) struct Arguments {
    /// Build only the eBPF objects, into target/bpf.
    #[arg(long)]
    ebpf: bool,
}

/// Builds and returns the path of the daemon, or of the folder of the objects.
pub(crate) fn run(arguments: &Arguments) -> Result<PathBuf> {
    let objects = objects()?;
    if arguments.ebpf {
        return Ok(objects);
    }
    program("release")
}

/// Builds the daemon as users get it, and returns its path.
pub(crate) fn for_users() -> Result<PathBuf> {
    objects()?;
    program("dist")
}

fn program(profile: &str) -> Result<PathBuf> {
    process::run(process::cargo().args(["build", "--profile", profile, "--package", "portcullis"]))?;
    let program = paths::target().join(profile).join("portcullis");
    papers::assets(&program)?;
    Ok(program)
}

/// Builds the eBPF objects and returns their folder.
pub(crate) fn objects() -> Result<PathBuf> {
    let toolchain = setup::ready(Purpose::Build)?;
    let target = ebpf_target(&toolchain)?;
    let mut cargo = toolchain.cargo();
    cargo.current_dir(paths::root()).env("CARGO_TARGET_DIR", &target).args([
        "--release",
        "--package",
        "portcullis-ebpf",
    ]);
    process::run(&mut cargo)?;
    let folder = paths::objects();
    fs::create_dir_all(&folder).with_context(|| format!("failed to create {}", folder.display()))?;
    for object in OBJECTS {
        let built = target.join("bpfel-unknown-none/release").join(object);
        copy_if_changed(&built, &folder.join(object))?;
    }
    Ok(folder)
}

/// A target directory of its own, as the other compiler would make Cargo rebuild what it shares.
///
/// Cargo does not notice that a compiler was replaced under the same path, or another linker.
fn ebpf_target(toolchain: &Toolchain) -> Result<PathBuf> {
    let target = paths::target().join("ebpf");
    let note = target.join("toolchain");
    let fingerprint = toolchain.fingerprint();
    if fs::read_to_string(&note).is_ok_and(|noted| noted == fingerprint) {
        return Ok(target);
    }
    let _ = fs::remove_dir_all(&target);
    fs::create_dir_all(&target).with_context(|| format!("failed to create {}", target.display()))?;
    fs::write(&note, fingerprint).with_context(|| format!("failed to write {}", note.display()))?;
    Ok(target)
}

/// The daemon is rebuilt when the object's time changes, so leave it if its content is the same.
fn copy_if_changed(from: &Path, to: &Path) -> Result<()> {
    let built = fs::read(from).with_context(|| format!("failed to read {}", from.display()))?;
    if fs::read(to).is_ok_and(|present| present == built) {
        return Ok(());
    }
    fs::write(to, built).with_context(|| format!("failed to write {}", to.display()))
}
