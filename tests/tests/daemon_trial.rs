//! Changes on trial: the mode and the rules go back by themselves unless somebody confirms them.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use portcullis_tests::backend::Backend;
use portcullis_tests::client::{Client, send};
use portcullis_tests::daemon::{Daemon, Wanted};

const PATIENCE: Duration = Duration::from_secs(20);
const EXTRA: &str = "rules = [\"rules-*.toml\"]\n[protect]\npaths = [\"/api/**\"]\n";
const UNSIGNED: &[u8] = b"GET /api/a HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n";
const NEVER: &str = "[op]\npay = \"POST /api/pay\"\n[[rule]]\nid = \"never\"\non = [\"pay\"]\ntrap = true\nscore = 0\n";

fn start(mode: &str) -> Result<(Backend, Daemon)> {
    let backend = Backend::start()?;
    let daemon = Daemon::start(&Wanted {
        mode,
        ..Wanted::enforcing(backend.address(), EXTRA)
    })?;
    Ok((backend, daemon))
}

fn mode(daemon: &Daemon) -> Result<serde_json::Value> {
    Ok(serde_json::from_str(&daemon.cli(&["mode", "--json"])?)?)
}

/// Waits until a change was taken back.
fn await_taken_back(daemon: &Daemon) -> Result<serde_json::Value> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let state = mode(daemon)?;
        if !state["taken_back"].is_null() {
            return Ok(state);
        }
        if Instant::now() > deadline {
            bail!("it was never taken back: {state}");
        }
        thread::sleep(Duration::from_millis(50));
    }
}

fn refused(daemon: &Daemon, arguments: &[&str]) -> Result<String> {
    match daemon.cli(arguments) {
        Ok(told) => bail!("it was done: {told}"),
        Err(error) => Ok(error.to_string()),
    }
}

#[test]
fn a_mode_that_nobody_confirms_goes_back() -> Result<()> {
    let (_backend, daemon) = start("monitor")?;
    let status = || Ok::<_, anyhow::Error>(send(daemon.address(), UNSIGNED)?.status);
    ensure!(status()? == 200);
    daemon.cli(&["mode", "enforce", "--confirm", "2s"])?;
    ensure!(status()? == 401, "at once");
    ensure!(mode(&daemon)?["trial"]["what"] == "mode enforce");
    let no = refused(&daemon, &["mode", "monitor"])?;
    ensure!(
        no.contains("waits to be confirmed") && no.contains("--take-back"),
        "{no}"
    );
    let state = await_taken_back(&daemon)?;
    ensure!(state["mode"] == "monitor" && state["trial"].is_null(), "{state}");
    ensure!(state["taken_back"]["in_files"] == false, "{state}");
    ensure!(status()? == 200);
    daemon.await_logged("a change is taken back: nobody confirmed it", "what", 1)?;
    let audit = daemon.cli(&["audit"])?;
    for deed in [
        "portcullis\ttake-back\tmode enforce",
        "\tmode\tenforce\tunless confirmed, for 2 s",
    ] {
        ensure!(audit.contains(deed), "{deed:?} is not in {audit}");
    }
    let no = refused(&daemon, &["confirm"])?;
    ensure!(no.contains("no change waits to be confirmed"), "{no}");
    Ok(())
}

#[test]
fn a_mode_that_is_confirmed_stays_until_the_next_start() -> Result<()> {
    let (backend, daemon) = start("monitor")?;
    daemon.cli(&["mode", "enforce", "--share", "100%", "--confirm", "1m"])?;
    let told = daemon.cli(&["confirm", "--json"])?;
    ensure!(told.contains("\"stays\": true"), "{told}");
    ensure!(mode(&daemon)?["mode"] == "enforce");
    ensure!(send(daemon.address(), UNSIGNED)?.status == 401);
    let home = daemon.kill()?;
    let daemon = Daemon::start_in(
        home,
        &Wanted {
            mode: "monitor",
            ..Wanted::enforcing(backend.address(), EXTRA)
        },
    )?;
    ensure!(mode(&daemon)?["mode"] == "monitor", "the configuration holds");
    Ok(())
}

#[test]
fn a_share_of_the_sessions_is_enforced() -> Result<()> {
    let (_backend, daemon) = start("monitor")?;
    fs::write(
        daemon.control().with_file_name("rules-never.toml"),
        format!("{NEVER}mode = \"enforce\"\n"),
    )?;
    daemon.cli(&["reload"])?;
    let enforced = || {
        let mut refused = 0;
        for _ in 0..40 {
            refused += u32::from(Client::open(daemon.address())?.call("POST", "/api/pay", "")?.status == 403);
        }
        Ok::<_, anyhow::Error>(refused)
    };
    ensure!(enforced()? == 0);
    daemon.cli(&["mode", "enforce", "--share", "50%"])?;
    let half = enforced()?;
    ensure!((5..=35).contains(&half), "{half} of 40");
    let told = daemon.cli(&["status"])?;
    ensure!(told.contains("for 50% of the sessions"), "{told}");
    for wrong in [
        &["mode", "enforcing"][..],
        &["mode", "enforce", "--share", "0%"],
        &["mode", "enforce", "--share", "a tenth"],
        &["mode", "monitor", "--share", "10%"],
        &["mode", "enforce", "--confirm", "60"],
        &["mode", "enforce", "--confirm", "2d"],
        &["mode", "--confirm", "60s"],
        &["reload", "--confirm", "soon"],
    ] {
        refused(&daemon, wrong)?;
    }
    ensure!(mode(&daemon)?["share_percent"] == 50.0, "nothing was changed");
    Ok(())
}

#[test]
fn rules_that_nobody_confirms_go_back() -> Result<()> {
    let (_backend, daemon) = start("enforce")?;
    let mut client = Client::open(daemon.address())?;
    ensure!(client.call("POST", "/api/pay", "")?.status == 200);
    let file = daemon.control().with_file_name("rules-never.toml");
    fs::write(&file, NEVER)?;
    daemon.cli(&["rules", "reload"])?;
    ensure!(client.call("POST", "/api/pay", "")?.status == 200, "it only watches");
    let file = file.to_string_lossy().into_owned();
    daemon.cli(&["rules", "promote", "--force", "--confirm", "1h", &file, "never"])?;
    ensure!(client.call("POST", "/api/pay", "")?.status == 403, "locked out");
    daemon.cli(&["confirm", "--take-back"])?;
    ensure!(client.call("POST", "/api/pay", "")?.status == 200);

    daemon.cli(&["rules", "reload", "--confirm", "1s"])?;
    let state = await_taken_back(&daemon)?;
    ensure!(state["taken_back"]["in_files"] == true, "{state}");
    ensure!(client.call("POST", "/api/pay", "")?.status == 200);
    let told = daemon.cli(&["audit"])?;
    ensure!(
        told.contains("a reload of the rules (0 added, 1 changed, 0 removed)"),
        "{told}"
    );
    Ok(())
}
