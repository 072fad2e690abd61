//! The test programs of the XDP suites.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context as _, Result, bail};

use crate::{build, paths, process};

/// The files of `tests/tests` that begin so.
const PREFIX: &str = "xdp_";

/// A test program.
pub(super) struct Suite {
    pub(super) name: String,
    /// Without its debug information.
    pub(super) program: PathBuf,
}

/// Builds all of them.
pub(super) fn build() -> Result<Vec<Suite>> {
    build::objects()?;
    let mut cargo = process::cargo();
    cargo.args([
        "test",
        "--package",
        "portcullis-tests",
        "--no-run",
        "--message-format=json",
    ]);
    for name in names()? {
        cargo.args(["--test", &name]);
    }
    cargo.stderr(std::process::Stdio::inherit());
    let messages = process::output(&mut cargo)?;
    let programs: Vec<(String, PathBuf)> = messages.lines().filter_map(executable).collect();
    if programs.is_empty() {
        bail!("cargo built no XDP suite");
    }
    programs.into_iter().map(stripped).collect()
}

fn names() -> Result<Vec<String>> {
    let folder = paths::root().join("tests/tests");
    let entries = fs::read_dir(&folder).with_context(|| format!("failed to read {}", folder.display()))?;
    let mut names: Vec<String> = entries
        .flatten()
        .filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".rs")?.to_owned()))
        .filter(|name| name.starts_with(PREFIX))
        .collect();
    names.sort();
    Ok(names)
}

/// Name and path of the program that one of Cargo's messages tells of.
fn executable(message: &str) -> Option<(String, PathBuf)> {
    let message: serde_json::Value = serde_json::from_str(message).ok()?;
    let program = message["executable"].as_str()?;
    // Cargo builds the programs that tests start as well.
    let name = message["target"]["name"]
        .as_str()
        .filter(|name| name.starts_with(PREFIX))?;
    Some((name.to_owned(), program.into()))
}

fn stripped((name, program): (String, PathBuf)) -> Result<Suite> {
    let folder = paths::target().join("kernels");
    fs::create_dir_all(&folder).with_context(|| format!("failed to create {}", folder.display()))?;
    let small = folder.join(&name);
    let mut strip = Command::new("strip");
    process::output(strip.arg("-o").arg(&small).arg(&program))?;
    Ok(Suite { name, program: small })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_tells_the_programs() {
        let message = r#"{"reason":"compiler-artifact","target":{"name":"xdp_veth"},"executable":"/t/xdp_veth-1"}"#;
        assert_eq!(
            executable(message),
            Some(("xdp_veth".to_owned(), "/t/xdp_veth-1".into()))
        );
        assert_eq!(executable(r#"{"target":{"name":"xdp_x"},"executable":null}"#), None);
        assert_eq!(
            executable(r#"{"target":{"name":"helper"},"executable":"/t/helper"}"#),
            None
        );
        assert_eq!(executable("warning: no JSON"), None);
    }

    #[test]
    fn the_suites_are_found() {
        let names = names().unwrap();
        assert!(
            names.contains(&"xdp_verdicts".to_owned()) && names.is_sorted(),
            "{names:?}"
        );
    }
}
