//! What a session did survives a restart, wanted or not. No privilege needed.

use std::fs;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use portcullis_tests::backend::Backend;
use portcullis_tests::client::{Answer, Client, Wire};
use portcullis_tests::daemon::{Daemon, Home, Wanted};
use portcullis_tests::patience;
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(20);

const CONFIG: &str = r#"
rules_version = 1
[admin]
listen = "127.0.0.1:0"
[state]
save_sessions_every = "1s"
[protect]
paths = ["/api/**"]
[op]
login = "POST /api/login"
inside = "GET /api/inside"
gift = "POST /api/gift"
share = "POST /api/share"
[[rule]]
id = "inside-after-login"
mode = "enforce"
on = ["inside"]
require = [{ op = "login", within = "1h", status = "2xx" }]
[[rule]]
id = "one-share"
mode = "enforce"
scope = "ip"
on = ["share"]
max = { count = 1, per = "24h" }
"#;

const ONCE_A_DAY: &str = r#"
[[rule]]
id = "gift-once-a-day"
mode = "enforce"
on = ["gift"]
max = { count = 1, per = "24h" }
score = 30
"#;

/// A gate that can be started again where it was.
struct Place {
    backend: Backend,
    config: String,
}

impl Place {
    fn new() -> Result<Self> {
        Ok(Self {
            backend: Backend::start()?,
            config: format!("{CONFIG}{ONCE_A_DAY}"),
        })
    }

    fn start(&self) -> Result<Daemon> {
        Daemon::start(&Wanted::enforcing(self.backend.address(), &self.config))
    }

    fn start_again(&self, home: Home, listen: SocketAddr) -> Result<Daemon> {
        let wanted = Wanted::enforcing(self.backend.address(), &self.config);
        Daemon::start_in(home, &Wanted { listen, ..wanted })
    }

    fn restart(&self, daemon: Daemon) -> Result<Daemon> {
        let listen = daemon.address();
        self.start_again(daemon.stop()?, listen)
    }
}

/// As the SDK does: signs again when it is asked to.
fn call(client: &mut Client, method: &str, path: &str) -> Result<Answer> {
    let answer = client.call(method, path, "")?;
    if answer.fresh_nonce().is_none() {
        return Ok(answer);
    }
    client.adopt(&answer)?;
    client.call(method, path, "")
}

fn passes(client: &mut Client, method: &str, path: &str) -> Result<()> {
    let answer = call(client, method, path)?;
    ensure!(answer.status == 200, "{path}: {} {}", answer.status, answer.body);
    Ok(())
}

fn refused(client: &mut Client, method: &str, path: &str, problem: &str) -> Result<()> {
    let answer = call(client, method, path)?;
    ensure!(answer.problem() == problem, "{path}: {} {}", answer.status, answer.body);
    Ok(())
}

fn sessions(daemon: &Daemon) -> Result<Vec<Value>> {
    let listed: Value = serde_json::from_str(&daemon.cli(&["--json", "session", "list"])?)?;
    Ok(listed["sessions"].as_array().context("no list")?.clone())
}

/// A number among the metrics.
fn metric(daemon: &Daemon, name: &str) -> Result<f64> {
    let admin = daemon.logged("admin listener", "address");
    let admin: SocketAddr = admin.first().context("no admin listener")?.parse()?;
    let request = format!("GET /metrics HTTP/1.1\r\nhost: {admin}\r\nconnection: close\r\n\r\n");
    let answer = Wire::connect(admin)?.exchange(request.as_bytes())?;
    let line = answer
        .body
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.with_context(|| format!("no {name}"))?.parse().context("no number")
}

fn left_out(daemon: &Daemon, cause: &str) -> Result<f64> {
    metric(
        daemon,
        &format!("portcullis_session_store_left_out_total{{cause=\"{cause}\"}}"),
    )
}

/// Waits until what was done so far is on the disk.
fn await_saved(daemon: &Daemon) -> Result<()> {
    let saves = || metric(daemon, "portcullis_session_store_saves_total");
    let before = saves()?;
    // The first one may have begun before.
    let mut client = Client::open(daemon.address())?;
    patience::until(PATIENCE, "saving", || {
        passes(&mut client, "GET", "/api/other")?;
        Ok(saves()? >= before + 2.0)
    })
}

#[test]
fn a_restart_forgets_neither_what_is_used_up_nor_what_was_earned() -> Result<()> {
    let place = Place::new()?;
    let daemon = place.start()?;
    let mut client = Client::open(daemon.address())?;
    for path in ["/api/login", "/api/gift", "/api/share"] {
        passes(&mut client, "POST", path)?;
    }
    refused(&mut client, "POST", "/api/gift", "quota-exceeded")?;
    let last = Instant::now();
    let score = sessions(&daemon)?[0]["score"].as_f64().context("no score")?;
    ensure!(score > 25.0, "{score}");

    let listen = daemon.address();
    let home = daemon.stop()?;
    // It is off for a while, in which the session is idle.
    thread::sleep(Duration::from_secs(2).saturating_sub(last.elapsed()));
    let daemon = place.start_again(home, listen)?;
    let session = &sessions(&daemon)?[0];
    ensure!(
        session["idle_seconds"].as_u64().is_some_and(|idle| idle >= 2),
        "{session}"
    );
    let kept = session["score"].as_f64().context("no score")?;
    ensure!(kept > score * 0.8 && kept <= score, "{kept} of {score}");

    passes(&mut client, "GET", "/api/inside")?;
    refused(&mut client, "POST", "/api/gift", "quota-exceeded")?;
    let mut other = Client::open(daemon.address())?;
    refused(&mut other, "GET", "/api/inside", "sequence-violation")?;
    refused(&mut other, "POST", "/api/share", "quota-exceeded")?;

    let daemon = place.restart(daemon)?;
    refused(&mut client, "POST", "/api/gift", "quota-exceeded")?;
    refused(&mut other, "POST", "/api/share", "quota-exceeded")?;
    for cause in ["damaged", "room", "clock", "key", "unasked"] {
        ensure!(left_out(&daemon, cause)? == 0.0, "{cause}");
    }
    Ok(())
}

#[test]
fn a_crash_forgets_no_more_than_the_last_moment() -> Result<()> {
    let place = Place::new()?;
    let daemon = place.start()?;
    let mut client = Client::open(daemon.address())?;
    for path in ["/api/login", "/api/gift", "/api/share"] {
        passes(&mut client, "POST", path)?;
    }
    await_saved(&daemon)?;
    let listen = daemon.address();
    let _daemon = place.start_again(daemon.kill()?, listen)?;
    refused(&mut client, "POST", "/api/gift", "quota-exceeded")?;
    refused(&mut client, "POST", "/api/share", "quota-exceeded")?;
    passes(&mut client, "GET", "/api/inside")
}

#[test]
fn what_rules_remember_that_are_gone_is_dropped() -> Result<()> {
    let mut place = Place::new()?;
    let daemon = place.start()?;
    let mut client = Client::open(daemon.address())?;
    for path in ["/api/login", "/api/gift"] {
        passes(&mut client, "POST", path)?;
    }
    let whole = std::mem::replace(&mut place.config, CONFIG.to_owned());
    let daemon = place.restart(daemon)?;
    ensure!(left_out(&daemon, "unasked")? == 1.0);
    passes(&mut client, "POST", "/api/gift")?;
    passes(&mut client, "GET", "/api/inside")?;
    place.config = whole;
    let daemon = place.restart(daemon)?;
    ensure!(left_out(&daemon, "unasked")? == 0.0);
    passes(&mut client, "POST", "/api/gift")?;
    refused(&mut client, "POST", "/api/gift", "quota-exceeded")
}

#[test]
fn a_damaged_memory_keeps_nobody_from_starting_and_lets_nobody_in() -> Result<()> {
    let place = Place::new()?;
    let daemon = place.start()?;
    let mut client = Client::open(daemon.address())?;
    passes(&mut client, "POST", "/api/gift")?;
    daemon.cli(&["ban", "add", "192.0.2.7"])?;
    let listen = daemon.address();
    let home = daemon.stop()?;
    let file = home.path().join("state/sessions.redb");
    let mut bytes = fs::read(&file)?;
    bytes.iter_mut().skip(4096).for_each(|byte| *byte ^= 0x5a);
    fs::write(&file, &bytes)?;

    let daemon = place.start_again(home, listen)?;
    let told = daemon.logged(
        "the memory of sessions cannot be read: they have to be opened anew",
        "reason",
    );
    ensure!(told.len() == 1 && told[0].contains("damaged"), "{told:?}");
    ensure!(left_out(&daemon, "damaged")? == 1.0);
    ensure!(fs::read(file.with_extension("damaged"))? == bytes, "it is kept aside");
    ensure!(
        daemon.cli(&["ban", "list"])?.contains("192.0.2.7"),
        "bans are elsewhere"
    );
    refused(&mut client, "POST", "/api/gift", "session-invalid")?;
    passes(&mut Client::open(listen)?, "POST", "/api/gift")
}

/// Killed while it writes, or before, or after: what it had written before is there, and whole.
#[test]
fn a_crash_at_any_moment_damages_nothing() -> Result<()> {
    let place = Place::new()?;
    let mut daemon = place.start()?;
    let listen = daemon.address();
    for case in 0..8 {
        let mut client = Client::open(listen)?;
        passes(&mut client, "POST", "/api/gift")?;
        await_saved(&daemon)?;
        // It is written each second, and there is something to write until the end.
        let moment = Instant::now() + Duration::from_millis(150 * case);
        while Instant::now() < moment {
            passes(&mut Client::open(listen)?, "GET", "/api/other")?;
        }
        daemon = place.start_again(daemon.kill()?, listen)?;
        ensure!(left_out(&daemon, "damaged")? == 0.0, "case {case}");
        refused(&mut client, "POST", "/api/gift", "quota-exceeded").with_context(|| format!("case {case}"))?;
    }
    Ok(())
}
