//! `portcullis top`.

use std::net::IpAddr;
use std::os::unix::process::ExitStatusExt;

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use portcullis_tests::backend::Backend;
use portcullis_tests::client::{Client, send};
use portcullis_tests::daemon::{Daemon, Wanted};
use portcullis_tests::netns::{Namespace, veth};
use portcullis_tests::terminal::Terminal;

use super::command;

const SIZES: [(u16, u16); 4] = [(80, 24), (120, 40), (40, 12), (20, 5)];
const SERVER: &str = "10.77.19.1";
const BANNED: &str = "10.77.19.2";
const GOOD: &str = "10.77.19.3";
const UNSIGNED: &[u8] = b"GET /api/orders/7 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
const CONFIG: &str = "[protect]\npaths = [\"/api/**\"]\n[packet]\ninterfaces = [\"pcs\"]\n";

fn gate() -> Result<(Backend, Daemon)> {
    let backend = Backend::start()?;
    let daemon = Daemon::start(&Wanted::enforcing(
        backend.address(),
        "[protect]\npaths = [\"/api/**\"]\n",
    ))?;
    Ok((backend, daemon))
}

fn top(daemon: &Daemon, (columns, rows): (u16, u16)) -> Result<Terminal> {
    Terminal::run(&command(daemon, &["top", "--every", "100ms"])?, columns, rows)
}

/// One that shows something.
fn shown(daemon: &Daemon) -> Result<Terminal> {
    let terminal = top(daemon, (80, 24))?;
    terminal.shows("the first picture", |screen| {
        screen.starts_with("well") && screen.contains("q quits")
    })?;
    Ok(terminal)
}

/// Waits for its end, which is a good one, and for the terminal as it was.
fn left(mut terminal: Terminal) -> Result<String> {
    let status = terminal.end()?;
    ensure!(status.success(), "{status}: {}", terminal.screen());
    terminal.is_in_order()?;
    Ok(terminal.screen())
}

#[test]
fn it_fits_and_shows_calls_and_packets() -> Result<()> {
    let (server, clients) = (Namespace::new("top-server"), Namespace::new("top-clients"));
    veth((&server, "pcs"), (&clients, "pcc"));
    server.address("pcs", &format!("{SERVER}/24"));
    clients.address("pcc", &format!("{BANNED}/24"));
    clients.address("pcc", &format!("{GOOD}/24"));
    let (_backend, daemon) = Daemon::start_within(&server, SERVER.parse()?, CONFIG)?;
    let good: IpAddr = GOOD.parse()?;
    let mut wire = portcullis_tests::client::Wire::over(clients.connect(good, daemon.address())?)?;
    let mut client = Client::open_over(&mut wire, daemon.address())?;
    let call = client.request("GET", "/api/orders/7", "")?;
    ensure!(wire.exchange(&call)?.status == 200 && wire.exchange(&call)?.status == 401);
    let reason = "scraping the price list, as somebody who writes long reasons would say";
    daemon.cli(&["ban", "add", BANNED, "--reason", reason])?;
    ensure!(!clients.pings(BANNED, SERVER), "a banned address gets an answer");
    for size in SIZES {
        let mut terminal = top(&daemon, size)?;
        let whole = size.0 >= 80;
        let screen = terminal.shows("what happened", |screen| {
            let has = |text: &str| screen.contains(text);
            screen.starts_with("well") && has("1 ban") && (!whole || has("banned_host") && has(BANNED) && has("replay"))
        })?;
        ensure!(!terminal.wraps(), "{size:?} is too narrow for\n{screen}");
        ensure!(
            screen.lines().count() == usize::from(size.1)
                && screen.lines().last().is_some_and(|row| row.contains("q quits")),
            "{size:?} is not filled:\n{screen}"
        );
        // The session, the rest of the reason that had no room, and how many packets.
        ensure!(!whole || screen.contains('…') && screen.contains(GOOD), "{screen}");
        terminal.press("q")?;
        left(terminal)?;
    }
    Ok(())
}

#[test]
fn keys_change_the_picture() -> Result<()> {
    let (_backend, daemon) = gate()?;
    send(daemon.address(), UNSIGNED)?;
    let mut terminal = shown(&daemon)?;
    for (keys, text) in [
        ("?", "any key"),
        ("x", "refused for"),
        ("\t", "offenders, most packets first"),
        ("s", "offenders, the last seen first"),
        ("\x1b[C", "GET /api/orders/7"),
        ("\x1b[D", "offenders, the last seen first"),
        ("7", "rules, in the last 200 refusals"),
        ("1", "refused for"),
        ("p", "PAUSED"),
    ] {
        terminal.press(keys)?;
        terminal.shows(text, |screen| screen.contains(text))?;
    }
    terminal.press(" ")?;
    terminal.shows("an end of the pause", |screen| !screen.contains("PAUSED"))?;
    terminal.press("q")?;
    left(terminal).map(drop)
}

#[test]
fn the_charts_move() -> Result<()> {
    let (_backend, daemon) = gate()?;
    let mut terminal = shown(&daemon)?;
    send(daemon.address(), UNSIGNED)?;
    // In the left chart: its right edge first, and further left later.
    let bar = |screen: &str| {
        let bars = screen.lines().skip(4).take(4);
        let places = bars.filter_map(|row| row.chars().take(39).collect::<Vec<_>>().iter().position(|c| *c == '█'));
        places.min()
    };
    terminal.shows("a bar", |screen| bar(screen).is_some())?;
    let first = bar(&terminal.screen());
    terminal.shows("a bar further left", |screen| {
        bar(screen).is_some() && bar(screen) < first
    })?;
    terminal.press("q")?;
    left(terminal).map(drop)
}

#[test]
fn another_size_is_drawn_at_once() -> Result<()> {
    let (_backend, daemon) = gate()?;
    let mut terminal = Terminal::run(&command(&daemon, &["top", "--every", "1h"])?, 120, 40)?;
    terminal.shows("the first picture", |screen| screen.lines().count() == 40)?;
    for (columns, rows) in SIZES {
        terminal.resize(columns, rows)?;
        terminal.shows("a picture of that size", |screen| {
            screen.starts_with("well")
                && screen.lines().count() == usize::from(rows)
                && screen.lines().last().is_some_and(|row| row.starts_with("q quits"))
        })?;
        ensure!(!terminal.wraps());
    }
    terminal.press("q")?;
    left(terminal).map(drop)
}

#[test]
fn whatever_ends_it_leaves_the_terminal_in_order() -> Result<()> {
    let (_backend, daemon) = gate()?;
    for keys in ["q", "\x03"] {
        let mut terminal = shown(&daemon)?;
        terminal.press(keys)?;
        ensure!(left(terminal)?.trim().is_empty(), "there is nothing to say");
    }
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let terminal = shown(&daemon)?;
        terminal.signal(signal)?;
        let said = left(terminal)?;
        ensure!(said.trim() == format!("ended by {signal}"), "{said}");
    }
    Ok(())
}

#[test]
fn a_terminal_that_is_gone_ends_it() -> Result<()> {
    let (_backend, daemon) = gate()?;
    let mut terminal = shown(&daemon)?;
    terminal.hang_up();
    let status = terminal.end()?;
    ensure!(status.signal().is_none(), "{status}");
    Ok(())
}

#[test]
fn a_daemon_that_goes_and_returns_is_told() -> Result<()> {
    let (backend, daemon) = gate()?;
    // So that the counters fall, even if the next one starts within the same second.
    send(daemon.address(), UNSIGNED)?;
    let mut terminal = shown(&daemon)?;
    let home = daemon.kill()?;
    terminal.shows("that it is gone", |screen| {
        screen.starts_with("portcullis is not running")
    })?;
    let daemon = Daemon::start_in(home, &Wanted::enforcing(backend.address(), ""))?;
    terminal.shows("that it is back", |screen| {
        screen.starts_with("well") && screen.contains("started anew")
    })?;
    daemon.signal(Signal::SIGSTOP)?;
    terminal.shows("that it is silent", |screen| {
        screen.starts_with("portcullis has not answered for")
    })?;
    // A key works all the same.
    terminal.press("q")?;
    let said = left(terminal)?;
    daemon.signal(Signal::SIGCONT)?;
    ensure!(
        said.contains("note: at the end, portcullis has not answered for"),
        "{said}"
    );
    drop(daemon.kill()?);
    Ok(())
}

#[test]
fn terminals_without_color_or_cursor_get_what_they_can_show() -> Result<()> {
    let (_backend, daemon) = gate()?;
    let mut plain = command(&daemon, &["top", "--every", "100ms"])?;
    plain.env("NO_COLOR", "1");
    let mut terminal = Terminal::run(&plain, 80, 24)?;
    terminal.shows("a picture", |screen| screen.starts_with("well"))?;
    terminal.press("q")?;
    terminal.end()?;
    let bytes = String::from_utf8_lossy(&terminal.bytes()).into_owned();
    let looks = bytes.split("\x1b[").filter_map(|part| part.split_once('m'));
    let is_look = |look: &&str| look.bytes().all(|byte| byte.is_ascii_digit() || byte == b';');
    let mut looks = looks.map(|(look, _)| look).filter(is_look);
    // Nothing, bold, dim, neither of them.
    ensure!(
        looks.all(|look| ["", "0", "1", "2", "22"].contains(&look)),
        "there is a color in {bytes:?}"
    );

    let mut dumb = command(&daemon, &["top"])?;
    dumb.env("TERM", "dumb");
    let mut terminal = Terminal::run(&dumb, 80, 24)?;
    ensure!(terminal.end()?.code() == Some(2));
    let said = terminal.screen();
    ensure!(
        said.contains("TERM=dumb") && said.contains("top --once") && !said.contains('\x1b'),
        "{said}"
    );
    Ok(())
}

#[test]
fn without_a_terminal_it_prints_once() -> Result<()> {
    let (_backend, daemon) = gate()?;
    let printed = daemon.cli(&["top", "--once", "--every", "100ms"])?;
    ensure!(
        printed.starts_with("well  enforcing") && printed.contains("refused for"),
        "{printed}"
    );
    ensure!(
        !printed.contains('\x1b') && printed.lines().all(|line| line.chars().count() <= 100),
        "{printed}"
    );
    let stats: serde_json::Value = serde_json::from_str(&daemon.cli(&["--json", "top"])?)?;
    ensure!(
        stats["enforcing"] == true && stats["worst_sessions"].is_array(),
        "{stats}"
    );
    Ok(())
}
