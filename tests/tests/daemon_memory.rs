//! What the gate remembers of whom it banned, over a restart; and whom a trusted proxy excepts from rules.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use portcullis_tests::backend::Backend;
use portcullis_tests::client::{Client, send};
use portcullis_tests::daemon::{Daemon, Wanted};

const PATIENCE: Duration = Duration::from_secs(20);
/// Every malformed signature bans its address, the first time for a second.
const EXTRA: &str = "[protect]\npaths = [\"/api/**\"]\n[score]\naddress_ban = \"1s\"\nban_growth = 100\nban_jitter = 0\n\
    prefix_sources = 0\n[score.weights]\nmalformed = 1000\n";
const PROXY: &str = "trusted_proxies = [\"127.0.0.1\"]\nclient_address = \"X-Forwarded-For\"\n";
const OFFENDER: &str = "198.51.100.7";

fn start<'a>(backend: &Backend, extra: &'a str) -> Wanted<'a> {
    Wanted {
        http: PROXY,
        ..Wanted::enforcing(backend.address(), extra)
    }
}

fn offend(daemon: &Daemon) -> Result<()> {
    let offence = format!(
        "GET /api/a HTTP/1.1\r\nhost: test\r\nconnection: close\r\nx-forwarded-for: {OFFENDER}\r\n\
         signature-input: p=(\"@method\");tag=\"portcullis-1\"\r\nsignature: p=:AA==:\r\n\r\n"
    );
    send(daemon.address(), offence.as_bytes())?;
    Ok(())
}

fn bans(daemon: &Daemon) -> Result<Vec<serde_json::Value>> {
    let listed: serde_json::Value = serde_json::from_str(&daemon.cli(&["ban", "list", "--json"])?)?;
    Ok(listed["bans"].as_array().cloned().unwrap_or_default())
}

#[test]
fn a_ban_grows_over_a_restart() -> Result<()> {
    let backend = Backend::start()?;
    let daemon = Daemon::start(&start(&backend, EXTRA))?;
    offend(&daemon)?;
    ensure!(daemon.await_logged("ban", "ttl", 1)? == ["1"]);
    let deadline = Instant::now() + PATIENCE;
    while !bans(&daemon)?.is_empty() {
        if Instant::now() > deadline {
            bail!("the ban does not end");
        }
        thread::sleep(Duration::from_millis(50));
    }
    let daemon = Daemon::start_in(daemon.kill()?, &start(&backend, EXTRA))?;
    offend(&daemon)?;
    let ttl: u64 = daemon.await_logged("ban", "ttl", 1)?[0].parse()?;
    ensure!((90..=100).contains(&ttl), "it was the second time: {ttl} s");
    Ok(())
}

#[test]
fn a_header_excepts_only_where_a_trusted_proxy_sends_it() -> Result<()> {
    let rules = "[protect]\npaths = [\"/api/**\"]\n[op]\npay = \"POST /api/pay\"\n[[rule]]\nid = \"once\"\non = [\"pay\"]\n\
        once = {}\nmode = \"enforce\"\nscore = 0\nexcept = { headers = { \"X-Role\" = [\"support\"] } }\n";
    let backend = Backend::start()?;
    for (wanted, expected) in [
        (start(&backend, rules), [200, 200, 403]),
        (Wanted::enforcing(backend.address(), rules), [200, 403, 403]),
    ] {
        let daemon = Daemon::start(&wanted)?;
        let mut client = Client::open(daemon.address())?;
        let mut statuses = Vec::new();
        for fields in ["", "x-role: support\r\n", "x-role: support\r\nx-role: support\r\n"] {
            let request = client.request("POST", "/api/pay", "")?;
            let request = String::from_utf8(request)?.replacen("\r\n", &format!("\r\n{fields}"), 1);
            statuses.push(send(daemon.address(), request.as_bytes())?.status);
        }
        ensure!(statuses == expected, "{statuses:?}");
    }
    Ok(())
}
