//! `cargo xtask package`: what is given to users: a Debian package, a tarball with a static program, and their checksums.

mod deb;
mod tarball;
mod trial;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};
use clap::Args;

pub(crate) use trial::run as trial;

use crate::setup::{self, Purpose};
use crate::{paths, process};

/// The checksums, for `sha256sum --check`.
const SUMS: &str = "SHA256SUMS";

#[derive(Args)]
pub(crate) struct Arguments {
    /// Only the Debian package.
    #[arg(long)]
    deb: bool,
}

/// Which build of the program is packaged.
#[derive(Clone, Copy)]
enum Profile {
    /// The one for users.
    Release,
    /// The one that tests have built anyway.
    Dev,
}

impl Profile {
    /// What Cargo calls it.
    fn name(self) -> &'static str {
        match self {
            Self::Release => "dist",
            Self::Dev => "dev",
        }
    }

    /// Where Cargo puts the program.
    fn program(self) -> PathBuf {
        let folder = match self {
            Self::Release => "dist",
            Self::Dev => "debug",
        };
        paths::target().join(folder).join("portcullis")
    }

    /// Where packages are put.
    fn folder(self) -> Result<PathBuf> {
        let folder = match self {
            Self::Release => paths::target().join("package"),
            Self::Dev => paths::target().join("package/test"),
        };
        fs::create_dir_all(&folder).with_context(|| format!("failed to create {}", folder.display()))?;
        Ok(folder)
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    setup::ready(Purpose::Package)?;
    let profile = Profile::Release;
    let mut made = Vec::new();
    // First, as the other program is what stays in Cargo's place.
    if !arguments.deb {
        made.push(tarball::build(profile)?);
    }
    made.push(deb::build(profile, None)?);
    made.push(sum(profile, &made)?);
    for path in made {
        println!("{}", path.display());
    }
    Ok(())
}

/// Writes the checksums of packages beside them.
fn sum(profile: Profile, packages: &[PathBuf]) -> Result<PathBuf> {
    let (folder, names) = (profile.folder()?, packages.iter().filter_map(|path| path.file_name()));
    let mut sha256sum = Command::new("sha256sum");
    let sums = process::output(sha256sum.current_dir(&folder).args(names))?;
    let path = folder.join(SUMS);
    fs::write(&path, sums).with_context(|| format!("failed to write {}", path.display()))?;
    Ok(path)
}

/// The time of what is packaged, in seconds since 1970: that of the last commit, unless `SOURCE_DATE_EPOCH` says another
/// (as in Debian's reproducible builds); without either 0.
fn time() -> Result<u64> {
    if let Some(said) = std::env::var_os("SOURCE_DATE_EPOCH") {
        let said = said.to_str().map(str::parse);
        return said
            .and_then(Result::ok)
            .context("SOURCE_DATE_EPOCH is no number of seconds");
    }
    let mut git = Command::new("git");
    git.current_dir(paths::root()).args(["log", "-1", "--format=%ct"]);
    let committed = process::output(&mut git).unwrap_or_default();
    Ok(committed.trim().parse().unwrap_or_default())
}
