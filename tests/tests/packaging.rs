//! The units of systemd. What they do is proved in a booted one by `packaging/systemd/test.sh`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

fn unit() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/systemd/portcullis.service")
}

#[test]
fn the_service_is_exposed_as_little_as_it_is_said_to_be() -> Result<()> {
    let output = Command::new("systemd-analyze")
        .args(["--offline=true", "security", "--threshold=20"])
        .arg(unit())
        .output()
        .context("systemd-analyze is missing")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    Ok(())
}

/// The filter that takes `@privileged` away takes bpf(2) away as well.
#[test]
fn bpf_is_allowed_after_what_takes_it_away() -> Result<()> {
    let unit = std::fs::read_to_string(unit())?;
    let filters: Vec<_> = unit
        .lines()
        .filter_map(|line| line.strip_prefix("SystemCallFilter="))
        .collect();
    ensure!(filters.last() == Some(&"bpf"), "{filters:?}");
    Ok(())
}
