//! A gate that only watches: it must let through what is only forbidden, and never what has two readings.

use anyhow::{Result, ensure};
use portcullis_tests::backend::Backend;
use portcullis_tests::client::{Client, send};
use portcullis_tests::daemon::{Daemon, Wanted};

use super::{Call, PROTECT, Session, plain, with_fields};

fn watching() -> Result<(Backend, Daemon)> {
    let backend = Backend::start()?;
    let daemon = Daemon::start(&Wanted {
        mode: "monitor",
        ..Wanted::enforcing(backend.address(), PROTECT)
    })?;
    Ok((backend, daemon))
}

/// An evaluation that cuts customers off would be the last.
#[test]
fn whatever_clients_do_nobody_is_refused_or_banned() -> Result<()> {
    let (backend, daemon) = watching()?;
    let session = Session::open(daemon.address())?;
    let good = session.sign(&Call::default())?;
    let mut sent = 0;
    for _ in 0..20 {
        let tampered = String::from_utf8(good.clone())?.replacen("/api/a", "/api/b", 1);
        let mut post = session.sign(&Call {
            method: "POST",
            body: "{}",
            ..Call::default()
        })?;
        post.truncate(post.len() - 2);
        post.extend(b"[]");
        for request in [
            good.clone(),
            tampered.into_bytes(),
            post,
            plain("GET", "/api/a", ""),
            plain("GET", "/api/a", "sec-fetch-mode: navigate\r\n"),
            plain("GET", "/api/a", "signature-input: ((\r\n"),
            with_fields(&good, "user-agent: Other/9\r\n"),
        ] {
            let answer = send(daemon.address(), &request)?;
            ensure!(answer.status == 200, "{}: {}", answer.status, answer.body);
            sent += 1;
        }
    }
    ensure!(backend.requests() == sent);
    let sessions = daemon.cli(&["session", "list"])?;
    ensure!(!sessions.contains("banned"), "{sessions}");
    Ok(())
}

/// A gate that waves a lie through would teach the application to believe it.
#[test]
fn a_waived_call_has_no_identity() -> Result<()> {
    let (_, daemon) = watching()?;
    let lie = "portcullis-session: root-session\r\n";
    let session = Session::open(daemon.address())?;
    let signed = session.sign(&Call::default())?;
    let first = send(daemon.address(), &with_fields(&signed, lie))?;
    ensure!(!first.body.contains("root-session") && first.body.contains("portcullis-session: "));
    for request in [
        plain("GET", "/api/a", lie),
        with_fields(&signed, lie),
        with_fields(
            String::from_utf8(signed.clone())?
                .replace("/api/a", "/api/b")
                .as_bytes(),
            lie,
        ),
    ] {
        let answer = send(daemon.address(), &request)?;
        ensure!(
            answer.status == 200 && !answer.body.contains("portcullis-session"),
            "{}",
            answer.body
        );
    }
    Ok(())
}

/// Two readings are dangerous for the application, whoever watches.
#[test]
fn two_readings_do_not_pass_here_either() -> Result<()> {
    let (backend, daemon) = watching()?;
    for request in [
        plain("GET", "/api%2fa", ""),
        plain("GET", "/a", "host: b\r\n"),
        plain("POST", "/a", "transfer-encoding: gzip, chunked\r\n"),
        plain("TRACE", "/a", ""),
        plain("GET", "/a", "x-http-method-override: DELETE\r\n"),
        plain("GET", "/.well-known/portcullis/x", ""),
    ] {
        let answer = send(daemon.address(), &request)?;
        ensure!((400..500).contains(&answer.status), "{}", answer.status);
    }
    ensure!(backend.requests() == 0);
    Ok(())
}

/// A signed call with a large body must not fare worse than an unsigned one.
#[test]
fn signing_is_no_disadvantage() -> Result<()> {
    let (_, daemon) = watching()?;
    let body = "x".repeat((1 << 20) + 1);
    let head = format!("content-length: {}\r\n", body.len());
    let unsigned = [plain("POST", "/api/a", &head), body.clone().into_bytes()].concat();
    let signed = Client::open(daemon.address())?.request("POST", "/api/a", &body)?;
    let (unsigned, signed) = (send(daemon.address(), &unsigned)?, send(daemon.address(), &signed)?);
    ensure!(
        unsigned.status == signed.status,
        "{} and {}",
        unsigned.status,
        signed.status
    );
    Ok(())
}
