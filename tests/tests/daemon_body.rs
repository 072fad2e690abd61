//! Bodies, from outside: verified, streamed, unsigned and public ones, and where they end. No privilege needed.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use portcullis_tests::backend::Backend;
use portcullis_tests::client::{Answer, Client, Wire, send};
use portcullis_tests::daemon::{Daemon, Wanted};

const ROUTES: &str = r#"
[protect]
paths = ["/api/**"]
[[route]]
paths = ["/api/stream/**"]
body = "stream"
max_body = "4MiB"
[[route]]
paths = ["/api/unsigned/**"]
body = "unsigned"
"#;

fn gate() -> Result<(Backend, Daemon)> {
    let backend = Backend::start()?;
    let daemon = Daemon::start(&Wanted::enforcing(backend.address(), ROUTES))?;
    Ok((backend, daemon))
}

fn refused(answer: &Answer, status: u16, problem: &str) -> Result<()> {
    let is_it = answer.status == status && answer.problem() == problem;
    ensure!(is_it, "{} {}, not {status} {problem}", answer.status, answer.body);
    Ok(())
}

/// A signed request with another body of the same length.
fn changed(client: &mut Client, path: &str, body: &str) -> Result<Vec<u8>> {
    let mut request = client.request("POST", path, body)?;
    *request.last_mut().context("no body")? ^= 1;
    Ok(request)
}

fn score(daemon: &Daemon) -> Result<f64> {
    let sessions: serde_json::Value = serde_json::from_str(&daemon.cli(&["--json", "session", "list"])?)?;
    Ok(sessions["sessions"][0]["score"].as_f64().unwrap_or(0.0))
}

#[test]
fn a_long_body_streams_and_arrives_whole() -> Result<()> {
    let (backend, daemon) = gate()?;
    let mut client = Client::open(daemon.address())?;
    let mut wire = Wire::connect(daemon.address())?;
    for length in [1, 100, 70_000, 3 << 20] {
        let body = "abcdefg".repeat(length / 7 + 1);
        let answer = wire.exchange(&client.request("POST", "/api/stream/x", &body)?)?;
        ensure!(
            answer.status == 200 && answer.body.ends_with(&body),
            "{length}: {}",
            answer.status
        );
    }
    ensure!(backend.requests() == 4);
    ensure!(
        client.call("POST", "/api/stream/x", "")?.status == 200,
        "nor does it need one"
    );
    Ok(())
}

#[test]
fn the_application_never_has_the_whole_of_a_body_that_is_not_what_was_signed() -> Result<()> {
    let (backend, daemon) = gate()?;
    let mut client = Client::open(daemon.address())?;
    for length in [1, 100, 70_000, 1 << 20] {
        let request = changed(&mut client, "/api/stream/x", &"a".repeat(length))?;
        // The gate may hang up before all was sent, so the session pays for one of them at least.
        if let Ok(answer) = send(daemon.address(), &request) {
            refused(&answer, 400, "digest-mismatch")?;
        }
        ensure!(backend.requests() == 0, "{length}");
        if score(&daemon)? > 60.0 {
            client = Client::open(daemon.address())?;
        }
    }
    ensure!(score(&daemon)? > 25.0, "the session pays for it");
    Ok(())
}

#[test]
fn streams_end_at_their_limit() -> Result<()> {
    let (backend, daemon) = gate()?;
    let mut client = Client::open(daemon.address())?;
    let request = client.request("POST", "/api/stream/x", &"a".repeat((4 << 20) + 1))?;
    let mut stream = TcpStream::connect(daemon.address())?;
    let _ = stream.write_all(&request);
    let mut start = [0; 12];
    if stream.read_exact(&mut start).is_ok() {
        ensure!(
            start.starts_with(b"HTTP/1.1 413"),
            "{}",
            String::from_utf8_lossy(&start)
        );
    }
    ensure!(backend.requests() == 0);
    ensure!(client.call("POST", "/api/stream/x", "fine")?.status == 200);
    Ok(())
}

/// A body that does not say how long it is ends at the limit all the same, on public paths too.
#[test]
fn chunks_end_at_the_limit() -> Result<()> {
    let application = TcpListener::bind("127.0.0.1:0")?;
    let daemon = Daemon::start(&Wanted::enforcing(application.local_addr()?, ROUTES))?;
    let mut stream = TcpStream::connect(daemon.address())?;
    stream.write_all(b"POST /public HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n")?;
    let sender = thread::spawn(move || {
        let chunk = [b"10000\r\n", &[b'x'; 0x10000][..], b"\r\n"].concat();
        let _ = (0..40).try_for_each(|_| stream.write_all(&chunk));
        let _ = stream.write_all(b"0\r\n\r\n");
        let mut answer = String::new();
        // The gate hangs up on who goes on sending.
        let _ = stream.read_to_string(&mut answer);
        answer
    });
    let mut received = Vec::new();
    let _ = application.accept()?.0.read_to_end(&mut received);
    ensure!(received.len() < (1 << 20) + 10_000, "{} bytes", received.len());
    ensure!(!received.ends_with(b"0\r\n\r\n"), "the application has the whole of it");
    let answer = sender.join().map_err(|_| anyhow::anyhow!("no sender"))?;
    ensure!(answer.is_empty() || answer.starts_with("HTTP/1.1 413"), "{answer}");
    Ok(())
}

#[test]
fn an_unsigned_body_may_be_anything_but_a_form_that_changes_the_method() -> Result<()> {
    let (backend, daemon) = gate()?;
    let mut client = Client::open(daemon.address())?;
    let request = changed(&mut client, "/api/unsigned/x", "anything")?;
    let answer = send(daemon.address(), &request)?;
    ensure!(
        answer.status == 200 && answer.body.ends_with("anythinf"),
        "{}",
        answer.body
    );
    refused(
        &send(daemon.address(), &changed(&mut client, "/api/x", "anything")?)?,
        400,
        "digest-mismatch",
    )?;
    for (kind, form, path) in [
        (
            "multipart/form-data; boundary=x",
            "--x\r\nname=\"_method\"\r\n\r\nDELETE",
            "/api/unsigned/x",
        ),
        (
            "multipart/form-data; boundary=x",
            "--x\r\nname=\"_method\"\r\n\r\nDELETE",
            "/api/stream/x",
        ),
        (
            "application/x-www-form-urlencoded",
            "a=1&_method=DELETE",
            "/api/unsigned/x",
        ),
        (
            "application/x-www-form-urlencoded",
            "a=1&_method=DELETE",
            "/api/stream/x",
        ),
        ("application/x-www-form-urlencoded", "a=1;.method=DELETE", "/api/x"),
        ("application/json", "{\"\\u005fmethod\":\"DELETE\"}", "/api/x"),
    ] {
        client.content_type = kind.into();
        let request = client.request("POST", path, form)?;
        refused(&send(daemon.address(), &request)?, 400, "request-invalid")
            .with_context(|| format!("{kind} {path}"))?;
    }
    ensure!(backend.requests() == 1);
    client.content_type = "application/x-www-form-urlencoded".into();
    ensure!(client.call("POST", "/api/stream/x", "a=1&b=2")?.status == 200);
    Ok(())
}

#[test]
fn a_slow_body_does_not_hold_the_application() -> Result<()> {
    let backend = Backend::start()?;
    let wanted = Wanted {
        http: "body_timeout = \"500ms\"",
        ..Wanted::enforcing(backend.address(), ROUTES)
    };
    let daemon = Daemon::start(&wanted)?;
    for head in [
        "POST /public HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\nsome".to_owned(),
        {
            let mut client = Client::open(daemon.address())?;
            let request = String::from_utf8(client.request("POST", "/api/stream/x", &"a".repeat(1000))?)?;
            request[..request.len() - 900].to_owned()
        },
    ] {
        let mut stream = TcpStream::connect(daemon.address())?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        stream.write_all(head.as_bytes())?;
        let mut start = [0; 12];
        stream.read_exact(&mut start).context("no answer")?;
        ensure!(
            start.starts_with(b"HTTP/1.1 408"),
            "{}",
            String::from_utf8_lossy(&start)
        );
    }
    ensure!(backend.requests() == 0);
    Ok(())
}

#[test]
fn a_gate_that_watches_lets_a_changed_body_pass_and_says_so() -> Result<()> {
    let backend = Backend::start()?;
    let daemon = Daemon::start(&Wanted {
        mode: "monitor",
        ..Wanted::enforcing(backend.address(), ROUTES)
    })?;
    let mut client = Client::open(daemon.address())?;
    let answer = send(daemon.address(), &changed(&mut client, "/api/stream/x", "anything")?)?;
    ensure!(
        answer.status == 200 && answer.body.ends_with("anythinf"),
        "{}",
        answer.body
    );
    ensure!(daemon.await_logged("refused", "cause", 1)? == ["digest-mismatch"]);
    Ok(())
}
