//! cargo-deb, which makes Debian packages.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};

use super::{may_install, say};
use crate::{paths, process};

const VERSION: &str = "3.8.0";

/// The program, of the version that is known to do.
pub(crate) fn find_or_install() -> Result<PathBuf> {
    let own = paths::toolchain().join(format!("cargo-deb-{VERSION}"));
    let program = own.join("bin/cargo-deb");
    if program.is_file() {
        return Ok(program);
    }
    if !may_install() {
        bail!(
            "no cargo-deb\nhint: cargo install cargo-deb --version {VERSION} --locked --root {}",
            own.display()
        );
    }
    say(&format!("building cargo-deb {VERSION} (about two minutes)"));
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()));
    cargo.args([
        "install",
        "cargo-deb",
        "--version",
        VERSION,
        "--locked",
        "--quiet",
        "--root",
    ]);
    process::run(cargo.arg(&own))?;
    Ok(program)
}
