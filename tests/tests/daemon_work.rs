//! Proof of work at the opening of sessions, from outside. No privilege needed.

use anyhow::{Context, Result, ensure};
use portcullis_guard::session::work::solve;
use portcullis_tests::backend::Backend;
use portcullis_tests::client::{Answer, Wire};
use portcullis_tests::daemon::{Daemon, Wanted};
use serde_json::{Value, json};

const BUSY: &str = "[work]\nbits = 4\nmax_bits = 8\nsessions = 5\n";
const ALWAYS: &str = "[work]\nmode = \"always\"\nbits = 6\n";

fn gate(extra: &str) -> Result<(Backend, Daemon)> {
    let backend = Backend::start()?;
    let daemon = Daemon::start(&Wanted::enforcing(backend.address(), extra))?;
    Ok((backend, daemon))
}

fn ask(wire: &mut Wire, work: Option<&Value>) -> Result<Answer> {
    let mut body = json!({"key_agreement": "server-key"});
    if let Some(work) = work {
        body["work"] = work.clone();
    }
    let body = body.to_string();
    wire.exchange(
        format!(
            "POST /.well-known/portcullis/session HTTP/1.1\r\nhost: shop.example\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .as_bytes(),
    )
}

/// What a refusal asks for, done.
fn done(answer: &Answer) -> Result<Value> {
    ensure!(
        (answer.status, answer.problem().as_str()) == (403, "work-required"),
        "{} {}",
        answer.status,
        answer.body
    );
    let document: Value = serde_json::from_str(&answer.body)?;
    let work = &document["work"];
    ensure!(work["algorithm"] == "sha256-counters" && work["count"] == 8, "{work}");
    ensure!(
        work["expires_at"]
            .as_u64()
            .is_some_and(|at| at > portcullis_tests::client::now())
    );
    let challenge = work["challenge"].as_str().context("no challenge")?;
    let bits = work["bits"].as_u64().context("no bits")?;
    Ok(json!({"challenge": challenge, "answers": solve(challenge, u8::try_from(bits)?)}))
}

fn bits(answer: &Answer) -> u64 {
    let document: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    document["work"]["bits"].as_u64().unwrap_or(0)
}

fn count(daemon: &Daemon, cause: &str) -> Result<u64> {
    let status: Value = serde_json::from_str(&daemon.cli(&["--json", "status"])?)?;
    let refused = status["calls"]["refused"].as_object().context("no counts")?;
    Ok(refused.get(cause).and_then(Value::as_u64).unwrap_or(0))
}

#[test]
fn whoever_opens_many_sessions_works_for_the_next() -> Result<()> {
    let (_, daemon) = gate(BUSY)?;
    let mut wire = Wire::connect(daemon.address())?;
    for _ in 0..5 {
        ensure!(ask(&mut wire, None)?.status == 201, "the first ones are free");
    }
    let mut hardest = 0;
    for _ in 0..20 {
        let refused = ask(&mut wire, None)?;
        hardest = hardest.max(bits(&refused));
        let opened = ask(&mut wire, Some(&done(&refused)?))?;
        ensure!(opened.status == 201, "{}", opened.body);
    }
    ensure!((5..=6).contains(&hardest), "{hardest}: one bit more for twice as many");
    ensure!(count(&daemon, "work-required")? == 20);
    Ok(())
}

#[test]
fn work_counts_once_and_only_if_it_was_done() -> Result<()> {
    let (_, daemon) = gate(ALWAYS)?;
    let mut wire = Wire::connect(daemon.address())?;
    let work = done(&ask(&mut wire, None)?)?;
    ensure!(ask(&mut wire, Some(&work))?.status == 201);
    let again = ask(&mut wire, Some(&work))?;
    ensure!(done(&again)?["challenge"] != work["challenge"], "a new challenge");
    let mut lazy = done(&ask(&mut wire, None)?)?;
    lazy["answers"] = json!([0, 0, 0, 0, 0, 0, 0, 0]);
    done(&ask(&mut wire, Some(&lazy))?)?;
    done(&ask(&mut wire, Some(&json!({"challenge": "made-up", "answers": []})))?)?;
    ensure!(
        (
            count(&daemon, "work-required")?,
            count(&daemon, "work-spent")?,
            count(&daemon, "work-wrong")?
        ) == (2, 1, 2)
    );
    let malformed = ask(&mut wire, Some(&json!({"challenge": 1})))?;
    ensure!(malformed.problem() == "session-request-malformed", "{}", malformed.body);
    Ok(())
}

/// Challenges of one run are worth nothing in the next, like everything that is kept nowhere.
#[test]
fn a_restart_asks_anew() -> Result<()> {
    let (backend, daemon) = gate(ALWAYS)?;
    let work = done(&ask(&mut Wire::connect(daemon.address())?, None)?)?;
    let home = daemon.kill()?;
    let daemon = Daemon::start_in(home, &Wanted::enforcing(backend.address(), ALWAYS))?;
    let mut wire = Wire::connect(daemon.address())?;
    let again = done(&ask(&mut wire, Some(&work))?)?;
    ensure!(ask(&mut wire, Some(&again))?.status == 201);
    ensure!(count(&daemon, "work-stale")? == 1);
    Ok(())
}

#[test]
fn the_command_line_works_too() -> Result<()> {
    let (_, daemon) = gate(ALWAYS)?;
    let signed = daemon.cli(&["--json", "sign", "GET", &format!("http://{}/x", daemon.address())])?;
    ensure!(signed.contains("\"session_id\""), "{signed}");
    ensure!(count(&daemon, "work-required")? == 1);
    Ok(())
}

#[test]
fn a_gate_that_watches_asks_nobody() -> Result<()> {
    let backend = Backend::start()?;
    let wanted = Wanted {
        mode: "monitor",
        ..Wanted::enforcing(backend.address(), ALWAYS)
    };
    let daemon = Daemon::start(&wanted)?;
    ensure!(ask(&mut Wire::connect(daemon.address())?, None)?.status == 201);
    ensure!(
        count(&daemon, "work-required")? == 1,
        "but counts whom it would have asked"
    );
    Ok(())
}
