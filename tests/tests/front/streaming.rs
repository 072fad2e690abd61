//! What comes in pieces: events, trailers, ranges, expectations.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use portcullis_tests::client::{Client, Wire};
use portcullis_tests::daemon::{Daemon, Wanted};

use super::PROTECT;

const PATIENCE: Duration = Duration::from_secs(10);

/// An application that the test plays by hand: each connection, and what came over it up to the end of the head.
pub(super) fn by_hand() -> Result<(SocketAddr, Receiver<(TcpStream, String)>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let sender = sender.clone();
            thread::spawn(move || hand_over(stream, &sender));
        }
    });
    Ok((address, receiver))
}

fn hand_over(mut stream: TcpStream, sender: &Sender<(TcpStream, String)>) -> Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    sender
        .send((stream, String::from_utf8(head)?))
        .ok()
        .context("the test is over")
}

fn gate(upstream: SocketAddr) -> Result<Daemon> {
    Daemon::start(&Wanted::enforcing(upstream, PROTECT))
}

#[test]
fn events_arrive_when_they_are_sent_and_end_with_the_session() -> Result<()> {
    let (upstream, calls) = by_hand()?;
    let daemon = gate(upstream)?;
    let mut client = Client::open(daemon.address())?;
    let mut wire = Wire::connect(daemon.address())?;
    wire.stream().write_all(&client.request("GET", "/api/events", "")?)?;
    let (mut application, _) = calls.recv_timeout(PATIENCE)?;
    application
        .write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")?;
    ensure!(wire.answer()?.status == 200, "the head waits for an event");
    for n in 0..3 {
        let event = format!("9\r\ndata: {n}..\r\n");
        application.write_all(event.as_bytes())?;
        ensure!(wire.bytes(event.len())? == event.as_bytes(), "event {n}");
    }
    let sessions: serde_json::Value = serde_json::from_str(&daemon.cli(&["--json", "session", "list"])?)?;
    let id = sessions["sessions"][0]["id"].as_str().context("no session")?;
    daemon.cli(&["session", "revoke", id])?;
    ensure!(wire.rest().is_err() || wire.rest()?.is_empty(), "the stream goes on");
    Ok(())
}

#[test]
fn a_stream_behind_a_proxy_ends_with_its_session_and_its_neighbours_go_on() -> Result<()> {
    let (upstream, calls) = by_hand()?;
    let daemon = Daemon::start(&Wanted {
        http: "trusted_proxies = [\"127.0.0.1\"]",
        ..Wanted::enforcing(upstream, PROTECT)
    })?;
    let head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    let open = || -> Result<_> {
        let mut client = Client::open(daemon.address())?;
        let mut wire = Wire::connect(daemon.address())?;
        wire.stream().write_all(&client.request("GET", "/api/events", "")?)?;
        let (mut application, _) = calls.recv_timeout(PATIENCE)?;
        application.write_all(head)?;
        ensure!(wire.answer()?.status == 200);
        Ok((wire, application))
    };
    let (mut first, mut its_application) = open()?;
    let sessions: serde_json::Value = serde_json::from_str(&daemon.cli(&["--json", "session", "list"])?)?;
    let id = sessions["sessions"][0]["id"].as_str().context("no session")?.to_owned();
    let (mut second, mut other_application) = open()?;
    daemon.cli(&["session", "revoke", &id])?;
    ensure!(first.bytes(5)? == b"0\r\n\r\n", "it ends as answers end");
    let mut rest = Vec::new();
    its_application.read_to_end(&mut rest)?;
    let event = b"9\r\ndata: ...\r\n";
    other_application.write_all(event)?;
    ensure!(second.bytes(event.len())? == event, "another session's goes on");
    Ok(())
}

#[test]
fn trailers_of_answers_pass_to_those_who_want_them() -> Result<()> {
    let (upstream, calls) = by_hand()?;
    let daemon = gate(upstream)?;
    let mut wire = Wire::connect(daemon.address())?;
    wire.stream()
        .write_all(b"GET / HTTP/1.1\r\nhost: a\r\nte: trailers\r\n\r\n")?;
    let (mut application, _) = calls.recv_timeout(PATIENCE)?;
    application.write_all(
        b"HTTP/1.1 200 OK\r\ntrailer: x-sum\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-sum: 7\r\n\r\n",
    )?;
    ensure!(wire.answer()?.headers["trailer"] == "x-sum");
    let expected = b"2\r\nok\r\n0\r\nx-sum: 7\r\n\r\n";
    let seen = wire.bytes(expected.len())?;
    ensure!(seen == expected, "{}", String::from_utf8_lossy(&seen));
    Ok(())
}

#[test]
fn a_client_that_waits_is_told_to_go_on_once_its_head_was_good() -> Result<()> {
    let (upstream, calls) = by_hand()?;
    let daemon = gate(upstream)?;
    let mut client = Client::open(daemon.address())?;
    let request = String::from_utf8(client.request("POST", "/api/a", "{}")?)?;
    let (head, body) = request.split_once("\r\n\r\n").context("no body")?;
    let mut wire = Wire::connect(daemon.address())?;
    let go_on = wire.exchange(format!("{head}\r\nexpect: 100-continue\r\n\r\n").as_bytes())?;
    ensure!(go_on.status == 100, "{}", go_on.status);
    wire.stream().write_all(body.as_bytes())?;
    let (mut application, seen) = calls.recv_timeout(PATIENCE)?;
    ensure!(!seen.contains("expect"), "{seen}");
    application.write_all(b"HTTP/1.1 204 No Content\r\n\r\n")?;
    ensure!(wire.answer()?.status == 204);
    let unsigned = b"POST /api/a HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n";
    ensure!(
        Wire::connect(daemon.address())?.exchange(unsigned)?.status == 401,
        "it was told to go on"
    );
    Ok(())
}

#[test]
fn ranges_heads_and_codings_pass_untouched() -> Result<()> {
    let (upstream, calls) = by_hand()?;
    let daemon = gate(upstream)?;
    let ask = |request: &str, answer: &[u8]| -> Result<(portcullis_tests::client::Answer, String)> {
        let mut wire = Wire::connect(daemon.address())?;
        wire.stream().write_all(request.as_bytes())?;
        let (mut application, seen) = calls.recv_timeout(PATIENCE)?;
        application.write_all(answer)?;
        let is_head = request.starts_with("HEAD");
        Ok((if is_head { wire.head()? } else { wire.answer()? }, seen))
    };
    let (answer, seen) = ask(
        "GET /f HTTP/1.1\r\nhost: a\r\nrange: bytes=2-3\r\naccept-encoding: br\r\n\r\n",
        b"HTTP/1.1 206 Partial Content\r\ncontent-range: bytes 2-3/9\r\ncontent-encoding: br\r\ncontent-length: 2\r\n\r\nxy",
    )?;
    ensure!(
        seen.contains("range: bytes=2-3\r\n") && seen.contains("accept-encoding: br\r\n"),
        "{seen}"
    );
    ensure!((answer.status, answer.body.as_str()) == (206, "xy"));
    ensure!(answer.headers["content-range"] == "bytes 2-3/9" && answer.headers["content-encoding"] == "br");
    let head = "HEAD /f HTTP/1.1\r\nhost: a\r\n\r\n";
    let (answer, _) = ask(head, b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")?;
    ensure!(answer.headers["content-length"] == "1000");
    Ok(())
}

#[test]
fn an_application_that_switches_unasked_or_breaks_off_is_a_problem() -> Result<()> {
    let (upstream, calls) = by_hand()?;
    let daemon = gate(upstream)?;
    for (answer, status) in [
        (
            &b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n"[..],
            502,
        ),
        (b"nonsense\r\n\r\n", 502),
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
            502,
        ),
        (b"", 502),
    ] {
        let mut wire = Wire::connect(daemon.address())?;
        wire.stream().write_all(b"GET /f HTTP/1.1\r\nhost: a\r\n\r\n")?;
        let (mut application, _) = calls.recv_timeout(PATIENCE)?;
        application.write_all(answer)?;
        drop(application);
        let seen = wire.answer()?;
        ensure!(
            seen.status == status,
            "{}: {}",
            String::from_utf8_lossy(answer),
            seen.status
        );
        ensure!(seen.problem() == "upstream-unavailable", "{}", seen.body);
    }
    Ok(())
}

/// Waits until the other side of a connection has closed it.
fn awaits_end(mut stream: TcpStream) -> Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(()),
        Err(error) => Err(error).context("the gate still holds the connection"),
    }
}

#[test]
fn an_application_that_dies_within_its_answer_is_not_taken_for_one_that_ended_it() -> Result<()> {
    let (upstream, calls) = by_hand()?;
    let daemon = gate(upstream)?;
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\nx\r\n",
    ] {
        let mut wire = Wire::connect(daemon.address())?;
        wire.stream().write_all(b"GET /f HTTP/1.1\r\nhost: a\r\n\r\n")?;
        let (mut application, _) = calls.recv_timeout(PATIENCE)?;
        application.write_all(answer.as_bytes())?;
        drop(application);
        // Nothing, or a part that cannot be taken for the whole.
        let rest = wire.rest().unwrap_or_default();
        let rest = String::from_utf8_lossy(&rest);
        ensure!(!rest.ends_with("0\r\n\r\n") && !rest.contains("halfhalf"), "{rest}");
        let is_begun = rest.starts_with("HTTP/1.1 200 OK\r\n");
        ensure!(rest.is_empty() || is_begun, "{rest}");
    }
    Ok(())
}

#[test]
fn an_application_that_hangs_is_a_problem_and_holds_nothing() -> Result<()> {
    let (upstream, calls) = by_hand()?;
    let daemon = Daemon::start(&Wanted {
        http: "upstream_timeout = \"500ms\"",
        ..Wanted::enforcing(upstream, PROTECT)
    })?;
    let mut wire = Wire::connect(daemon.address())?;
    wire.stream().write_all(b"GET /f HTTP/1.1\r\nhost: a\r\n\r\n")?;
    let (application, _) = calls.recv_timeout(PATIENCE)?;
    let answer = wire.answer()?;
    ensure!(
        answer.status == 504 && answer.problem() == "upstream-timeout",
        "{}",
        answer.body
    );
    awaits_end(application)?;
    // Within its answer it may take its time, but not beyond its client.
    wire.stream().write_all(b"GET /f HTTP/1.1\r\nhost: a\r\n\r\n")?;
    let (mut application, _) = calls.recv_timeout(PATIENCE)?;
    application.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf")?;
    ensure!(wire.head()?.status == 200);
    drop(wire);
    awaits_end(application)
}

#[test]
fn an_application_that_says_too_much_before_its_answer_is_a_problem() -> Result<()> {
    let (upstream, calls) = by_hand()?;
    let daemon = gate(upstream)?;
    let many: String = (0..200).map(|n| format!("x-{n}: y\r\n")).collect();
    let endless = format!("x: {}\r\n", "y".repeat(1 << 20));
    for fields in [many, endless] {
        let mut wire = Wire::connect(daemon.address())?;
        wire.stream().write_all(b"GET /f HTTP/1.1\r\nhost: a\r\n\r\n")?;
        let (mut application, _) = calls.recv_timeout(PATIENCE)?;
        // The gate may hang up within.
        let _ = application.write_all(format!("HTTP/1.1 200 OK\r\n{fields}\r\n").as_bytes());
        let answer = wire.answer()?;
        ensure!(
            answer.status == 502 && answer.problem() == "upstream-unavailable",
            "{}",
            answer.body
        );
    }
    Ok(())
}

/// The rest of such a body is no request to anybody.
#[test]
fn a_body_that_is_answered_before_it_came_spoils_its_connections() -> Result<()> {
    let (upstream, calls) = by_hand()?;
    let daemon = Daemon::start(&Wanted {
        http: "header_timeout = \"500ms\"",
        ..Wanted::enforcing(upstream, PROTECT)
    })?;
    let hidden = "GET /api/secret HTTP/1.1\r\nhost: a\r\n\r\n";
    for head in ["content-length: 99\r\n\r\n", "transfer-encoding: chunked\r\n\r\n63\r\n"] {
        let mut wire = Wire::connect(daemon.address())?;
        let begun = format!("POST /f HTTP/1.1\r\nhost: a\r\n{head}{}", "x".repeat(50));
        wire.stream().write_all(begun.as_bytes())?;
        let (mut application, _) = calls.recv_timeout(PATIENCE)?;
        application.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi")?;
        ensure!(wire.answer()?.body == "hi");
        // Nobody waits for the rest.
        application.set_read_timeout(Some(PATIENCE))?;
        if let Err(error) = application.read_to_end(&mut Vec::new()) {
            ensure!(error.kind() == ErrorKind::ConnectionReset, "{error}");
        }
        // It may be closed by now.
        let _ = wire.stream().write_all(hidden.as_bytes());
        wire.stream().set_read_timeout(Some(Duration::from_millis(300)))?;
        let rest = wire.rest().unwrap_or_default();
        ensure!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
        // The next call has another connection, whatever became of that one.
        let mut next = Wire::connect(daemon.address())?;
        next.stream().write_all(b"GET /next HTTP/1.1\r\nhost: a\r\n\r\n")?;
        let (mut other, head) = calls.recv_timeout(PATIENCE)?;
        ensure!(head.starts_with("GET /next "), "{head}");
        other.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nhi")?;
        ensure!(next.answer()?.body == "hi");
    }
    Ok(())
}
