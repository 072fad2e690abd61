//! Lines that tell that long work goes on, and what is said when somebody does not wait for its end.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use portcullis_tests::backend::Backend;
use portcullis_tests::daemon::{Daemon, Wanted};
use portcullis_tests::patience::until;
use portcullis_tests::terminal::Terminal;

use super::command;

/// For all that a debug build does to so many bans.
const PATIENCE: Duration = Duration::from_secs(120);
const MANY: u32 = 200_000;
const SOME: u32 = 40_000;

struct World {
    daemon: Daemon,
    _backend: Backend,
}

impl World {
    fn new() -> Result<Self> {
        let backend = Backend::start()?;
        Ok(Self {
            daemon: Daemon::start(&Wanted::enforcing(backend.address(), ""))?,
            _backend: backend,
        })
    }

    /// A list of so many hosts.
    fn list(&self, count: u32) -> Result<PathBuf> {
        let path = self.daemon.home().path().join(format!("{count}.txt"));
        // Each in a network of its own.
        let hosts = (0..count).map(|number| std::net::Ipv4Addr::from(0x2000_0000 + number * 256).to_string() + "\n");
        fs::write(&path, hosts.collect::<String>())?;
        Ok(path)
    }

    fn import(&self, count: u32, further: &[&str], (columns, rows): (u16, u16)) -> Result<Terminal> {
        let list = self.list(count)?;
        let list = list.to_string_lossy();
        let arguments: Vec<&str> = ["ban", "import", &*list]
            .into_iter()
            .chain(further.iter().copied())
            .collect();
        Terminal::run(&command(&self.daemon, &arguments)?, columns, rows)
    }

    fn bans(&self) -> Result<u64> {
        let status: serde_json::Value = serde_json::from_str(&self.daemon.cli(&["--json", "status"])?)?;
        Ok(status["bans"]["intended"].as_u64().unwrap_or_default())
    }
}

#[test]
fn an_import_draws_a_bar_that_fits_and_goes() -> Result<()> {
    let world = World::new()?;
    for (columns, rows) in [(60, 10), (24, 8)] {
        world.daemon.cli(&["ban", "flush", "--yes"])?;
        // However fast the daemon is, it is not before it goes on.
        world.daemon.signal(Signal::SIGSTOP)?;
        let mut terminal = world.import(SOME, &[], (columns, rows))?;
        let shown = terminal.shows("that it waits", |screen| screen.contains("sending the list: "));
        let wraps = terminal.wraps();
        world.daemon.signal(Signal::SIGCONT)?;
        ensure!(!wraps, "{}", shown?);
        let status = terminal.end_within(PATIENCE)?;
        let said = terminal.screen();
        ensure!(
            status.success() && said.starts_with("40000 entries banned"),
            "{status}: {said}"
        );
        ensure!(
            !said.contains('#') && !said.contains("disk"),
            "the line is still there: {said}"
        );
        terminal.is_in_order()?;
    }
    Ok(())
}

#[test]
fn whoever_does_not_wait_is_told_that_the_daemon_goes_on() -> Result<()> {
    let world = World::new()?;
    let mut terminal = world.import(MANY, &["--list", "many"], (100, 12))?;
    terminal.shows("the import in the daemon", |screen| {
        screen.contains("of 200000 entries banned") || screen.contains("writing to the disk")
    })?;
    terminal.press("\x03")?;
    let status = terminal.end()?;
    let said = terminal.screen();
    ensure!(
        status.code() == Some(1) && said.contains("error: SIGINT: the daemon has the whole list, and goes on"),
        "{status}: {said}"
    );
    ensure!(said.contains("portcullis audit") && !said.contains('#'), "{said}");
    terminal.is_in_order()?;
    until(PATIENCE, "the end of the import", || {
        std::thread::sleep(Duration::from_millis(100));
        let said = world.daemon.cli(&["audit"]);
        Ok(said.is_ok_and(|said| said.contains("200000 entries of many")))
    })?;
    ensure!(world.bans()? == u64::from(MANY));
    Ok(())
}

#[test]
fn a_list_that_did_not_arrive_changed_nothing() -> Result<()> {
    let world = World::new()?;
    world.daemon.signal(Signal::SIGSTOP)?;
    let mut terminal = world.import(MANY, &["--list", "many"], (100, 12))?;
    terminal.shows("that it waits", |screen| screen.contains("sending the list"))?;
    terminal.press("\x03")?;
    let status = terminal.end()?;
    world.daemon.signal(Signal::SIGCONT)?;
    let said = terminal.screen();
    ensure!(
        status.code() == Some(1) && said.contains("error: SIGINT: nothing was changed"),
        "{status}: {said}"
    );
    terminal.is_in_order()?;
    ensure!(world.bans()? == 0 && !world.daemon.cli(&["audit"])?.contains("import"));
    Ok(())
}

#[test]
fn programs_and_files_get_no_line() -> Result<()> {
    let world = World::new()?;
    let mut quiet = world.import(SOME, &["--quiet"], (80, 24))?;
    ensure!(
        quiet.end_within(PATIENCE)?.success() && quiet.bytes().is_empty(),
        "{}",
        quiet.screen()
    );
    let mut json = world.import(SOME, &["--json"], (80, 40))?;
    ensure!(json.end_within(PATIENCE)?.success());
    let answer: serde_json::Value = serde_json::from_slice(&json.bytes())?;
    ensure!(answer["kept"] == SOME, "{answer}");
    let list = world.list(SOME)?;
    let mut piped = command(&world.daemon, &["ban", "import", &list.to_string_lossy()])?;
    let output = piped.stdin(Stdio::null()).output()?;
    let said = String::from_utf8(output.stderr)?;
    ensure!(said.lines().count() == 1 && !said.contains(['\r', '\x1b']), "{said:?}");
    Ok(())
}
