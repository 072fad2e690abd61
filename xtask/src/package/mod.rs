//! `cargo xtask package`: what is given to users: a Debian package, and a tarball with a static program.

mod deb;
mod tarball;
mod trial;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Args;

pub(crate) use trial::run as trial;

use crate::paths;
use crate::setup::{self, Purpose};

#[derive(Args)]
pub(crate) struct Arguments {
    /// Only the Debian package.
    #[arg(long)]
    deb: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    setup::ready(Purpose::Package)?;
    println!("{}", deb::build(deb::Profile::Release, None)?.display());
    if !arguments.deb {
        println!("{}", tarball::build()?.display());
    }
    Ok(())
}

/// Where packages are put.
fn folder() -> Result<PathBuf> {
    let folder = paths::target().join("package");
    fs::create_dir_all(&folder).with_context(|| format!("failed to create {}", folder.display()))?;
    Ok(folder)
}
