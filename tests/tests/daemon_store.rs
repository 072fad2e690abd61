//! The file of a running daemon: what is gone from it can be given back.

use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, Result, ensure};
use portcullis_tests::backend::Backend;
use portcullis_tests::daemon::{Daemon, Wanted};
use serde_json::Value;

fn bytes(daemon: &Daemon, verb: &str) -> Result<u64> {
    let config = daemon.control().with_file_name("portcullis.toml").display().to_string();
    let report: Value = serde_json::from_str(&daemon.cli(&["store", verb, "--config", &config, "--json"])?)?;
    report["bytes"].as_u64().context("no size")
}

#[test]
fn compacting_gives_back_what_bans_took_that_are_gone() -> Result<()> {
    let backend = Backend::start()?;
    let daemon = Daemon::start(&Wanted::enforcing(backend.address(), ""))?;
    let empty = bytes(&daemon, "compact")?;
    let folder = tempfile::tempdir()?;
    let list = folder.path().join("list.txt");
    let mut text = String::new();
    for number in 0..20_000_u32 {
        let [_, b, c, d] = number.to_be_bytes();
        writeln!(text, "185.{b}.{c}.{d}")?;
    }
    fs::write(&list, text)?;
    daemon.cli(&["ban", "import", &list.display().to_string(), "--list", "l"])?;
    let full = bytes(&daemon, "compact")?;
    daemon.cli(&["ban", "flush", "--yes"])?;
    // Takes the place of the flush in what `undo` needs.
    daemon.cli(&["ban", "add", "192.0.2.7"])?;
    let after = bytes(&daemon, "compact")?;
    ensure!(full > 4 * empty, "{full} bytes with bans, {empty} without");
    ensure!(
        after < 2 * empty,
        "{after} bytes after the bans are gone, {empty} before they came"
    );
    ensure!(bytes(&daemon, "check")? == after, "a look makes it grow");
    Ok(())
}
