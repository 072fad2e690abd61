//! The operator's side: the control socket, the key file, what refusals tell, what outlives a restart.

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use portcullis_tests::client::{Answer, Client, send};
use portcullis_tests::daemon::{Daemon, Wanted};

use super::{Call, PROTECT, Session, gate};

fn first_session(daemon: &Daemon) -> Result<String> {
    let listed: serde_json::Value = serde_json::from_str(&daemon.cli(&["--json", "session", "list"])?)?;
    listed["sessions"][0]["id"]
        .as_str()
        .map(str::to_owned)
        .context("no session")
}

/// A stolen session that the operator ended waits for the next restart.
#[test]
fn a_revoked_session_after_a_restart() -> Result<()> {
    let (backend, daemon) = gate(PROTECT)?;
    let mut thief = Client::open(daemon.address())?;
    ensure!(thief.call("GET", "/api/a", "")?.status == 200);
    daemon.cli(&["session", "revoke", &first_session(&daemon)?])?;
    ensure!(thief.call("GET", "/api/a", "")?.problem() == "session-invalid");
    let listen = daemon.address();
    let home = daemon.kill()?;
    let _daemon = Daemon::start_in(
        home,
        &Wanted {
            listen,
            ..Wanted::enforcing(backend.address(), PROTECT)
        },
    )?;
    let answer = thief.call("GET", "/api/a", "")?;
    if answer.fresh_nonce().is_some() {
        thief.adopt(&answer)?;
    }
    let answer = thief.call("GET", "/api/a", "")?;
    ensure!(
        answer.problem() == "session-invalid",
        "it lives again: {}",
        answer.status
    );
    Ok(())
}

/// Whether a session exists, was ended, or never was.
#[test]
fn a_revoked_session_looks_like_one_that_never_was() -> Result<()> {
    let (_, daemon) = gate(PROTECT)?;
    let session = Session::open(daemon.address())?;
    let signed = session.sign(&Call::default())?;
    ensure!(send(daemon.address(), &signed)?.status == 200);
    daemon.cli(&["session", "revoke", &first_session(&daemon)?])?;
    let revoked = send(daemon.address(), &signed)?;
    let made_up = String::from_utf8(signed)?.replace(&session.id, &format!("AQ{}", "B".repeat(session.id.len() - 2)));
    let unknown = send(daemon.address(), made_up.as_bytes())?;
    let shape = |answer: &Answer| -> Result<serde_json::Value> {
        let mut document: serde_json::Value = serde_json::from_str(&answer.body)?;
        for varying in ["ref", "server_time"] {
            document[varying] = serde_json::Value::Null;
        }
        Ok(document)
    };
    ensure!(revoked.status == unknown.status && shape(&revoked)? == shape(&unknown)?);
    ensure!(revoked.headers.get("accept-signature") == unknown.headers.get("accept-signature"));
    Ok(())
}

/// The control socket is there for its group and for nobody else.
#[test]
fn the_control_socket_is_closed_to_others() -> Result<()> {
    let (_, daemon) = gate(PROTECT)?;
    let mode = fs::metadata(daemon.control())?.permissions().mode() & 0o777;
    ensure!(mode == 0o660, "{mode:o}");
    let home = daemon.control();
    let home = home.parent().context("no parent")?;
    let key = fs::metadata(home.join("state/master.key"))?.permissions().mode() & 0o777;
    ensure!(key == 0o600, "{key:o}");
    let state = fs::metadata(home.join("state"))?.permissions().mode() & 0o777;
    ensure!(state == 0o700, "{state:o}");
    Ok(())
}

/// Whoever got into the group sends nonsense, endless heads and bodies, or nothing.
#[test]
fn the_control_socket_withstands_nonsense() -> Result<()> {
    let (_, daemon) = gate(PROTECT)?;
    let held = (0..20)
        .map(|_| UnixStream::connect(daemon.control()))
        .collect::<Result<Vec<_>, _>>()?;
    let long = "y".repeat(100_000);
    for request in [
        "\0\0\0".to_owned(),
        format!("GET /v1/{long} HTTP/1.1\r\nhost: x\r\n\r\n"),
        format!("POST /v1/bans HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n{long}"),
        format!(
            "POST /v1/bans HTTP/1.1\r\nhost: x\r\ncontent-length: 10000\r\n\r\n{}",
            "[".repeat(10_000)
        ),
        "GET /v1/../../etc/passwd HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(),
    ] {
        let mut stream = UnixStream::connect(daemon.control())?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        // It may hang up while we still talk.
        let _ = stream.write_all(request.as_bytes());
        let mut answer = [0; 15];
        let read = stream.read(&mut answer).unwrap_or(0);
        let answer = String::from_utf8_lossy(&answer[..read]);
        ensure!(!answer.starts_with("HTTP/1.1 2"), "{answer}");
    }
    ensure!(!daemon.cli(&["status"])?.is_empty());
    drop(held);
    Ok(())
}

/// A key that others can read is no secret.
#[test]
fn a_key_that_others_can_read_is_refused() -> Result<()> {
    let (backend, daemon) = gate(PROTECT)?;
    let key = daemon.control().with_file_name("state").join("master.key");
    let home = daemon.kill()?;
    fs::set_permissions(&key, Permissions::from_mode(0o640))?;
    let wanted = Wanted::enforcing(backend.address(), PROTECT);
    ensure!(Daemon::start_in(home.clone(), &wanted).is_err());
    fs::write(&key, b"short")?;
    fs::set_permissions(&key, Permissions::from_mode(0o600))?;
    ensure!(Daemon::start_in(home, &wanted).is_err());
    Ok(())
}

/// A leftover beside the key gives the new key its permissions.
#[test]
fn a_file_in_the_place_of_the_new_key() -> Result<()> {
    let (backend, daemon) = gate(PROTECT)?;
    let key = daemon.control().with_file_name("state").join("master.key");
    let home = daemon.kill()?;
    fs::remove_file(&key)?;
    let beside = key.with_extension("key.new");
    fs::write(&beside, "")?;
    fs::set_permissions(&beside, Permissions::from_mode(0o644))?;
    let _daemon = Daemon::start_in(home, &Wanted::enforcing(backend.address(), PROTECT));
    let mode = fs::metadata(&key)?.permissions().mode() & 0o777;
    ensure!(mode == 0o600, "the key is written with mode {mode:o}");
    Ok(())
}
