//! The units of systemd. What they do is proved in a booted one by `cargo xtask test --packages`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use portcullis_tests::binary;

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

#[test]
fn systemd_finds_nothing_wrong_with_the_units() -> Result<()> {
    let units = tempfile::tempdir()?;
    let folder = unit().with_file_name("");
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|kind| kind == "service" || kind == "socket" || kind == "mount")
        {
            // What it starts must be there.
            let program = binary::portcullis()?;
            let text = std::fs::read_to_string(&path)?.replace("/usr/bin/portcullis", &program.display().to_string());
            let copy = units.path().join(path.file_name().context("a unit without a name")?);
            std::fs::write(&copy, text)?;
            paths.push(copy);
        }
    }
    ensure!(paths.len() == 4, "{paths:?}");
    let output = Command::new("systemd-analyze")
        .args(["--man=no", "verify"])
        .args(paths)
        .output()
        .context("systemd-analyze is missing")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success() && said.trim().is_empty(), "{said}");
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
