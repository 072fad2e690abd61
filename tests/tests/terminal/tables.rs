//! Tables and colors where there is little room.

use anyhow::{Context, Result, ensure};
use portcullis_tests::backend::Backend;
use portcullis_tests::client::{Client, send};
use portcullis_tests::daemon::{Daemon, Wanted};
use portcullis_tests::terminal::Terminal;

use super::command;

const ADDRESS: &str = "2001:db8:77:aaaa:bbbb:cccc:dddd:eeee";
const REASON: &str = "scraping the price list again and again, as three operators have seen in the log";

fn printed(daemon: &Daemon, arguments: &[&str], columns: u16) -> Result<String> {
    let mut terminal = Terminal::run(&command(daemon, arguments)?, columns, 40)?;
    let status = terminal.end()?;
    let screen = terminal.screen();
    ensure!(status.success(), "{arguments:?}: {status}: {screen}");
    ensure!(!terminal.wraps(), "{arguments:?} is wider than {columns}:\n{screen}");
    let bytes = String::from_utf8_lossy(&terminal.bytes()).into_owned();
    ensure!(bytes.contains("\u{1b}[1m"), "no heading is bold: {bytes:?}");
    Ok(screen)
}

#[test]
fn tables_fit_and_keep_what_matters() -> Result<()> {
    let backend = Backend::start()?;
    let daemon = Daemon::start(&Wanted::enforcing(
        backend.address(),
        "[protect]\npaths = [\"/api/**\"]\n",
    ))?;
    daemon.cli(&["ban", "add", ADDRESS, "--for", "1h", "--reason", REASON])?;
    daemon.cli(&["ban", "add", "198.51.100.7", "--for", "1h", "--reason", "short"])?;
    daemon.cli(&["allow", "add", "198.51.100.9", "--reason", REASON])?;
    let mut client = Client::open(daemon.address())?;
    client.call("GET", "/api/orders/7", "")?;
    let list: serde_json::Value = serde_json::from_str(&daemon.cli(&["--json", "session", "list"])?)?;
    let session = list["sessions"][0]["id"].as_str().context("no session")?;
    send(
        daemon.address(),
        b"GET /api/orders/7/with/a/path/that/has/no/room/in/any/terminal HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    )?;
    for columns in [80, 50] {
        let bans = printed(&daemon, &["ban", "list"], columns)?;
        let v6 = bans
            .lines()
            .find(|row| row.starts_with("2001:db8:"))
            .unwrap_or_default();
        ensure!(
            v6.contains("/128") && v6.contains("scraping") && v6.ends_with('…'),
            "{bans}"
        );
        ensure!(bans.contains("198.51.100.7/32") && bans.contains("short"), "{bans}");
        let sessions = printed(&daemon, &["session", "list"], columns)?;
        ensure!(
            sessions.contains(session) && sessions.contains("127.0.0.1") && sessions.contains("active"),
            "{sessions}"
        );
        let refusals = printed(&daemon, &["why"], columns)?;
        ensure!(refusals.contains("/api/") && refusals.contains('…'), "{refusals}");
        for arguments in [
            &["allow", "list"][..],
            &["audit"],
            &["events"],
            &["session", "timeline", session],
        ] {
            printed(&daemon, arguments, columns)?;
        }
        let config = daemon.home().path().join("portcullis.toml").display().to_string();
        let mut shown = Terminal::run(
            &command(&daemon, &["config", "show", "--config", &config])?,
            columns,
            40,
        )?;
        ensure!(shown.end()?.success() && !shown.wraps(), "{}", shown.screen());
    }
    printed(&daemon, &["status", "--quiet"], 80)?;
    Ok(())
}

#[test]
fn pipes_get_everything_and_no_color_is_none() -> Result<()> {
    let backend = Backend::start()?;
    let daemon = Daemon::start(&Wanted::enforcing(backend.address(), ""))?;
    daemon.cli(&["ban", "add", ADDRESS, "--for", "1h", "--reason", REASON])?;
    let piped = daemon.cli(&["ban", "list"])?;
    ensure!(piped.contains(ADDRESS) && piped.contains(REASON), "{piped}");
    let mut plain = command(&daemon, &["ban", "list"])?;
    plain.env("NO_COLOR", "1");
    let mut terminal = Terminal::run(&plain, 50, 10)?;
    ensure!(terminal.end()?.success() && !terminal.bytes().contains(&0x1b) && !terminal.wraps());
    Ok(())
}
