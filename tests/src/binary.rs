//! Finding the `portcullis` that is to be tested.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// Names another binary than the one beside the tests.
const VARIABLE: &str = "PORTCULLIS_BIN";

/// The binary named by `PORTCULLIS_BIN`, or the one that was built beside this test.
///
/// # Errors
/// Says how to build it.
pub fn portcullis() -> Result<PathBuf> {
    let path = match env::var_os(VARIABLE) {
        Some(path) => PathBuf::from(path),
        None => beside_the_test()?,
    };
    ensure!(
        path.is_file(),
        "{} is missing: build it with `cargo build -p portcullis`, or name another one in {VARIABLE}",
        path.display()
    );
    Ok(path)
}

/// Tests are `<target>/<profile>/deps/<name>`.
fn beside_the_test() -> Result<PathBuf> {
    let test = env::current_exe().context("failed to find the test itself")?;
    let profile = test
        .parent()
        .and_then(Path::parent)
        .context("the test lies in no target directory")?;
    Ok(profile.join("portcullis"))
}
