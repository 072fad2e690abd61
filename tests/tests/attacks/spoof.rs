//! Telling the application something that only the gate may tell, or something else than what was judged.

use anyhow::{Result, ensure};
use portcullis_tests::client::{Client, send};

use super::{Call, PROTECT, Session, gate, plain, with_fields};

/// The client names itself another session or another address.
#[test]
fn fields_that_only_the_gate_may_set() -> Result<()> {
    let (_, daemon) = gate(PROTECT)?;
    let mut client = Client::open(daemon.address())?;
    let lies = "Portcullis-Session: root-session\r\nX-Forwarded-For: 6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\n\
                Forwarded: for=6.6.6.6\r\nX-Forwarded-Host: evil.example\r\nX-Forwarded-Proto: gopher\r\n";
    let named = "Connection: x-forwarded-for, x-forwarded-proto, portcullis-session\r\n";
    let answer = send(daemon.address(), &plain("GET", "/public", &format!("{named}{lies}")))?;
    ensure!(answer.status == 400, "{}", answer.body);
    for request in [
        plain("GET", "/public", lies),
        with_fields(&client.request("GET", "/api/a", "")?, lies),
    ] {
        let answer = send(daemon.address(), &request)?;
        ensure!(answer.status == 200, "{}", answer.body);
        for lie in ["root-session", "6.6.6.6", "evil.example", "gopher"] {
            ensure!(!answer.body.contains(lie), "{lie}: {}", answer.body);
        }
        ensure!(answer.body.contains("x-forwarded-for: 127.0.0.1"), "{}", answer.body);
    }
    Ok(())
}

/// Many frameworks (CGI, WSGI, Rack, PHP) read `Portcullis_Session` and `Portcullis-Session` as one field.
#[test]
fn underscores_for_hyphens() -> Result<()> {
    let (_, daemon) = gate(PROTECT)?;
    let mut client = Client::open(daemon.address())?;
    let lies = "Portcullis_Session: root-session\r\nX_Forwarded_For: 6.6.6.6\r\nX-Real_IP: 6.6.6.6\r\n\
                X_HTTP_Method_Override: DELETE\r\n";
    for request in [
        plain("GET", "/public", lies),
        with_fields(&client.request("GET", "/api/a", "")?, lies),
    ] {
        let answer = send(daemon.address(), &request)?;
        for lie in ["root-session", "6.6.6.6", "DELETE"] {
            ensure!(!answer.body.contains(lie), "{lie}: {}", answer.body);
        }
    }
    Ok(())
}

/// Symfony, Zend, IIS and others take the path from `X-Original-URL` or `X-Rewrite-URL` if it is there.
#[test]
fn a_path_in_a_field() -> Result<()> {
    let (_, daemon) = gate(PROTECT)?;
    for name in [
        "X-Original-URL",
        "X-Rewrite-URL",
        "X-Original-URI",
        "X-Forwarded-Uri",
        "X-Forwarded-Prefix",
    ] {
        let answer = send(
            daemon.address(),
            &plain("GET", "/public", &format!("{name}: /api/secret\r\n")),
        )?;
        ensure!(!answer.body.contains("/api/secret"), "{name}: {}", answer.body);
    }
    Ok(())
}

/// Somebody on the way names a covered field as hop-by-hop: verified with it, forwarded without.
#[test]
fn connection_takes_a_covered_field_away() -> Result<()> {
    let (_, daemon) = gate(PROTECT)?;
    let session = Session::open(daemon.address())?;
    let signed = session.sign(&Call {
        fields: &[("x-limit", "100")],
        covered: &["x-limit"],
        ..Call::default()
    })?;
    let answer = send(daemon.address(), &with_fields(&signed, "connection: x-limit\r\n"))?;
    let whole = answer.status == 200 && answer.body.contains("x-limit: 100");
    ensure!(whole || answer.status >= 400, "{}", answer.body);
    Ok(())
}

/// Covered fields that change, double or vanish on the way.
#[test]
fn a_covered_field_that_changes() -> Result<()> {
    let (backend, daemon) = gate(PROTECT)?;
    let session = Session::open(daemon.address())?;
    let signed = String::from_utf8(session.sign(&Call {
        fields: &[("x-limit", "100")],
        covered: &["x-limit"],
        ..Call::default()
    })?)?;
    for changed in [
        signed.replace("x-limit: 100", "x-limit: 1000"),
        signed.replace("x-limit: 100", "x-limit: 100\r\nx-limit: 5"),
        signed.replace("x-limit: 100\r\n", ""),
    ] {
        let answer = send(daemon.address(), changed.as_bytes())?;
        ensure!(answer.status >= 400, "{}", answer.body);
    }
    ensure!(backend.requests() == 0);
    Ok(())
}
