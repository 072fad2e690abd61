//! Debian's packages: unpacked into a private folder, or installed.
//!
//! The compiler that can build for BPF conflicts with Debian's usual one and with its rustup, so
//! it is never installed.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use super::say;
use crate::process;

/// Families of packages: the compiler, its libraries, `core` for BPF. The first that exists is
/// taken; `rustc-web` is the newer compiler that Debian keeps for browsers.
const FAMILIES: [[&str; 3]; 2] = [
    ["rustc-web", "libstd-rust-web-dev", "libstd-rust-web-dev-bpf"],
    ["rustc", "libstd-rust-dev", "libstd-rust-dev-bpf"],
];
/// Of what these depend on, only libraries of these names are not on every machine.
const LIBRARIES: [&str; 2] = ["libstd-rust", "libllvm"];
/// Parts that a build never touches, half of the size.
const SUPERFLUOUS: [&str; 3] = ["usr/share", "usr/bin/rustdoc", "usr/lib/rustlib/bpfeb-unknown-none"];

/// Downloads the compiler and unpacks it below `root`. Takes no privilege if apt knows the packages.
pub(super) fn unpack_compiler(root: &Path) -> Result<()> {
    let packages = compiler_packages()?;
    say(&format!(
        "downloading a compiler for BPF into {} (about 120 MB, unpacked 420 MB): {}",
        root.display(),
        packages.join(" ")
    ));
    unpack(&packages, root)?;
    for part in SUPERFLUOUS {
        let part = root.join(part);
        let removed = if part.is_dir() {
            fs::remove_dir_all(&part)
        } else {
            fs::remove_file(&part)
        };
        // Whatever is not there needs no removal.
        let _ = removed;
    }
    Ok(())
}

/// Installs packages for everybody.
pub(super) fn install(packages: &[&str]) -> Result<()> {
    say(&format!("installing {}", packages.join(" ")));
    let apt = || {
        let mut apt = Command::new("apt-get");
        apt.env("DEBIAN_FRONTEND", "noninteractive");
        apt.args(["install", "--yes", "-qq", "--no-install-recommends"]);
        apt.args(packages);
        apt
    };
    if process::output(&mut apt()).is_ok() {
        return Ok(());
    }
    update()?;
    process::output(&mut apt()).map(drop)
}

/// The folder of shared libraries below a root.
pub(super) fn library_folder(root: &Path) -> PathBuf {
    root.join("usr/lib")
        .join(format!("{}-linux-gnu", std::env::consts::ARCH))
}

fn compiler_packages() -> Result<Vec<String>> {
    if let Some(packages) = known_family() {
        return with_libraries(packages);
    }
    update()?;
    let Some(packages) = known_family() else {
        bail!(
            "apt knows no compiler for BPF (looked for {})\n\
             hint: rustup toolchain install nightly --component rust-src",
            FAMILIES.map(|family| family[2]).join(", ")
        );
    };
    with_libraries(packages)
}

fn known_family() -> Option<[&'static str; 3]> {
    FAMILIES
        .into_iter()
        .find(|family| family.iter().all(|package| is_known(package)))
}

fn is_known(package: &str) -> bool {
    let mut policy = Command::new("apt-cache");
    policy.args(["policy", package]).env("LC_ALL", "C");
    process::output(&mut policy).is_ok_and(|policy| {
        policy
            .lines()
            .find_map(|line| line.trim().strip_prefix("Candidate:"))
            .is_some_and(|candidate| candidate.trim() != "(none)")
    })
}

/// Adds the libraries that these need, and the ones that those need.
fn with_libraries(packages: [&str; 3]) -> Result<Vec<String>> {
    let mut all: BTreeSet<String> = packages.map(str::to_owned).into();
    let mut queue: Vec<String> = all.iter().cloned().collect();
    while let Some(package) = queue.pop() {
        let mut depends = Command::new("apt-cache");
        depends
            .args(["depends", "--no-recommends", "--no-suggests", "--no-conflicts"])
            .args(["--no-breaks", "--no-replaces", "--no-enhances"])
            .arg(&package)
            .env("LC_ALL", "C");
        for library in libraries(&process::output(&mut depends)?) {
            if all.insert(library.clone()) {
                queue.push(library);
            }
        }
    }
    Ok(all.into_iter().collect())
}

fn libraries(depends: &str) -> Vec<String> {
    depends
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Depends: "))
        .filter(|package| LIBRARIES.iter().any(|library| package.starts_with(library)))
        .map(str::to_owned)
        .collect()
}

/// Downloads packages and unpacks them into `root`, which is replaced in one step.
pub(crate) fn unpack(packages: &[String], root: &Path) -> Result<()> {
    let downloads = root.with_extension("download");
    let fresh = root.with_extension("new");
    for folder in [&downloads, &fresh] {
        let _ = fs::remove_dir_all(folder);
        fs::create_dir_all(folder).with_context(|| format!("failed to create {}", folder.display()))?;
    }
    download(packages, &downloads)?;
    for entry in fs::read_dir(&downloads)? {
        let mut dpkg = Command::new("dpkg");
        process::output(dpkg.arg("-x").arg(entry?.path()).arg(&fresh))?;
    }
    fs::remove_dir_all(&downloads)?;
    // In one step, so that nothing half unpacked is ever taken for a compiler.
    let _ = fs::remove_dir_all(root);
    fs::rename(&fresh, root).with_context(|| format!("failed to move to {}", root.display()))
}

fn download(packages: &[String], folder: &Path) -> Result<()> {
    let fetch = || {
        let mut apt = Command::new("apt-get");
        apt.args(["download", "-qq"]).args(packages).current_dir(folder);
        process::output(&mut apt)
    };
    if fetch().is_ok() {
        return Ok(());
    }
    // The list may name versions that are gone.
    update()?;
    fetch().map(drop)
}

/// Brings apt's lists up to date.
pub(crate) fn update() -> Result<()> {
    if !process::is_root() {
        bail!("apt's lists are out of date\nhint: sudo apt-get update");
    }
    say("apt-get update");
    process::output(Command::new("apt-get").args(["update", "-qq"])).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_libraries_that_no_machine_has_are_taken() {
        let depends = "rustc-web\n  Depends: libc6\n  Depends: libstd-rust-web-1.96\n \
                       |Depends: <libx>\n  Depends: libllvm22\n";
        assert_eq!(libraries(depends), ["libstd-rust-web-1.96", "libllvm22"]);
    }
}
