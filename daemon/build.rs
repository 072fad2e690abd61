//! Puts the compiled XDP program where the enforcer embeds it from.
//!
//! It is the file that `PORTCULLIS_EBPF_OBJECT` names, or the one that `cargo xtask build` left in
//! the target directory, or else an empty one: everything but attaching works without it.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

const OBJECT: &str = "PORTCULLIS_EBPF_OBJECT";

fn main() -> Result<(), String> {
    println!("cargo::rerun-if-env-changed={OBJECT}");
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    let target = out.join("portcullis-ebpf");
    match source(&out)? {
        Some(source) => copy(&source, &target),
        None => fs::write(&target, []).map_err(|error| error.to_string()),
    }
}

fn source(out: &Path) -> Result<Option<PathBuf>, String> {
    if let Some(named) = env::var_os(OBJECT) {
        let named = PathBuf::from(named);
        println!("cargo::rerun-if-changed={}", named.display());
        return Ok(Some(named));
    }
    let Some(folder) = target_directory(out).map(|target| target.join("bpf")) else {
        return Ok(None);
    };
    // Cargo would run this script every time if what it watches did not exist.
    fs::create_dir_all(&folder).map_err(|error| format!("failed to create {}: {error}", folder.display()))?;
    println!("cargo::rerun-if-changed={}", folder.display());
    let built = folder.join("portcullis-ebpf");
    Ok(built.exists().then_some(built))
}

/// `out` is `<target>/[<triple>/]<profile>/build/<package>/out`.
fn target_directory(out: &Path) -> Option<&Path> {
    let folder = out.ancestors().nth(4)?;
    let triple = env::var_os("TARGET")?;
    if folder.file_name() == Some(&triple) {
        return folder.parent();
    }
    Some(folder)
}

fn copy(source: &Path, target: &Path) -> Result<(), String> {
    fs::copy(source, target)
        .map(drop)
        .map_err(|error: io::Error| format!("failed to copy {}: {error}", source.display()))
}
