//! Having one call done twice.

use std::net::SocketAddr;
use std::thread;

use anyhow::{Context, Result, ensure};
use portcullis_tests::client::{Client, send};
use portcullis_tests::daemon::{Daemon, Wanted};

use super::{Call, PROTECT, Session, gate};

fn sixteen_times(address: SocketAddr, request: &[u8]) {
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| send(address, request));
        }
    });
}

/// Copies over many connections at the same moment, on several workers.
#[test]
fn copies_at_the_same_moment() -> Result<()> {
    let (backend, daemon) = gate("[protect]\npaths = [\"/api/**\"]\n")?;
    let address = daemon.address();
    let mut client = Client::open(address)?;
    for round in 1..=5 {
        let request = client.request("POST", "/api/transfer", "{}")?;
        sixteen_times(address, &request);
        ensure!(
            backend.requests() == round,
            "{} passed in {round} rounds",
            backend.requests()
        );
    }
    Ok(())
}

/// The first call of a session, many times: there is no state of it yet to lock.
#[test]
fn copies_of_the_very_first_call() -> Result<()> {
    let (backend, daemon) = gate(PROTECT)?;
    let address = daemon.address();
    for round in 1..=5 {
        let request = Session::open(address)?.sign(&Call::default())?;
        sixteen_times(address, &request);
        ensure!(
            backend.requests() == round,
            "{} passed in {round} rounds",
            backend.requests()
        );
    }
    Ok(())
}

/// So many sessions that the victim's is forgotten, with its nonces.
#[test]
fn a_copy_after_the_session_was_pushed_out() -> Result<()> {
    let (backend, daemon) = gate(&format!("{PROTECT}[session]\ncapacity = 4\n"))?;
    let mut victim = Client::open(daemon.address())?;
    let copy = victim.request("POST", "/api/transfer", "{}")?;
    ensure!(send(daemon.address(), &copy)?.status == 200);
    for _ in 0..8 {
        ensure!(Client::open(daemon.address())?.call("GET", "/api/a", "")?.status == 200);
    }
    ensure!(send(daemon.address(), &copy)?.problem() == "session-invalid");
    ensure!(backend.requests() == 9);
    Ok(())
}

/// So many streams that the first one is forgotten, with its counters.
#[test]
fn a_copy_after_the_stream_was_pushed_out() -> Result<()> {
    let (backend, daemon) = gate(PROTECT)?;
    let session = Session::open(daemon.address())?;
    let request = |stream: usize| {
        let nonce = format!("stream-{stream}.0");
        session.sign(&Call {
            nonce: &nonce,
            ..Call::default()
        })
    };
    let copy = request(100)?;
    ensure!(send(daemon.address(), &copy)?.status == 200);
    for stream in 101..120 {
        send(daemon.address(), &request(stream)?)?;
    }
    let before = backend.requests();
    let answer = send(daemon.address(), &copy)?;
    ensure!(answer.status == 401, "{}", answer.body);
    ensure!(backend.requests() == before);
    Ok(())
}

/// A jump to the last counter, so that the window moves over what was seen or wraps.
#[test]
fn a_copy_after_the_window_moved() -> Result<()> {
    let (backend, daemon) = gate(PROTECT)?;
    let session = Session::open(daemon.address())?;
    let call = |nonce: &str| {
        let request = session.sign(&Call {
            nonce,
            ..Call::default()
        })?;
        send(daemon.address(), &request)
    };
    ensure!(call("own-stream.5")?.status == 200);
    ensure!(call("own-stream.281474976710655")?.status == 200);
    for nonce in [
        "own-stream.5",
        "own-stream.6",
        "own-stream.281474976710655",
        "own-stream.281474976709631",
    ] {
        let answer = call(nonce)?;
        ensure!(answer.problem() == "nonce-reused", "{nonce}: {}", answer.body);
    }
    for nonce in [
        "own-stream.281474976710656",
        "own-stream.00",
        "own-stream.-1",
        "own-stream.18446744073709551621",
        "own-stream",
        ".0",
        "own-stream.1.",
    ] {
        ensure!(call(nonce)?.problem() == "signature-malformed", "{nonce}");
    }
    ensure!(
        call("own-stream.281474976710654")?.status == 200,
        "never seen, within the window"
    );
    ensure!(backend.requests() == 3);
    Ok(())
}

/// The nonce of one call for another call of the same session.
#[test]
fn one_nonce_for_two_calls() -> Result<()> {
    let (backend, daemon) = gate(PROTECT)?;
    let session = Session::open(daemon.address())?;
    ensure!(send(daemon.address(), &session.sign(&Call::default())?)?.status == 200);
    for (method, target, body) in [("GET", "/api/b", ""), ("POST", "/api/a", "{}"), ("GET", "/api/a?x", "")] {
        let request = session.sign(&Call {
            method,
            target,
            body,
            ..Call::default()
        })?;
        ensure!(send(daemon.address(), &request)?.problem() == "nonce-reused");
    }
    ensure!(backend.requests() == 1);
    Ok(())
}

/// A nonce that the gate chose for somebody else, for another browser, or before it was restarted.
#[test]
fn a_fresh_nonce_of_somebody_else() -> Result<()> {
    let (backend, daemon) = gate(PROTECT)?;
    let (mine, other) = (Session::open(daemon.address())?, Session::open(daemon.address())?);
    let listen = daemon.address();
    let home = daemon.kill()?;
    let wanted = Wanted {
        listen,
        ..Wanted::enforcing(backend.address(), PROTECT)
    };
    let daemon = Daemon::start_in(home, &wanted)?;
    let issue = |session: &Session| -> Result<String> {
        let answer = send(listen, &session.sign(&Call::default())?)?;
        answer.fresh_nonce().context("no fresh nonce")
    };
    let nonce = issue(&mine)?;
    let stolen = Call {
        nonce: &nonce,
        ..Call::default()
    };
    let answer = send(listen, &other.sign(&stolen)?)?;
    ensure!(answer.problem() == "fresh-nonce-required", "{}", answer.body);
    let elsewhere = Call {
        nonce: &nonce,
        fields: &[("user-agent", "Other/2")],
        ..Call::default()
    };
    let answer = send(listen, &mine.sign(&elsewhere)?)?;
    ensure!(answer.status == 401, "{}", answer.body);
    let made_up = format!("~{}.0", "A".repeat(28));
    let forged = Call {
        nonce: &made_up,
        ..Call::default()
    };
    ensure!(send(listen, &mine.sign(&forged)?)?.problem() == "fresh-nonce-required");
    ensure!(backend.requests() == 0);
    ensure!(send(listen, &mine.sign(&stolen)?)?.status == 200);
    let copy = mine.sign(&stolen)?;
    ensure!(send(listen, &copy)?.problem() == "nonce-reused");
    let home = daemon.kill()?;
    let _daemon = Daemon::start_in(home, &wanted)?;
    ensure!(send(listen, &copy)?.problem() == "fresh-nonce-required");
    ensure!(backend.requests() == 1);
    Ok(())
}
