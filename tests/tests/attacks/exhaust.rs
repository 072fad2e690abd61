//! Using up what the gate has: memory, connections, time, disk.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use portcullis_tests::client::{Client, Wire, send};
use portcullis_tests::daemon::{Daemon, Wanted};

use super::{Call, Moody, PROTECT, Session, converse_raw, gate, plain, resident};

fn sessions(daemon: &Daemon) -> Result<usize> {
    let listed: serde_json::Value = serde_json::from_str(&daemon.cli(&["--json", "session", "list"])?)?;
    Ok(listed["sessions"].as_array().map_or(0, Vec::len))
}

/// Thousands of sessions that nobody uses.
#[test]
fn sessions_that_are_opened_and_left() -> Result<()> {
    let (_, daemon) = gate(PROTECT)?;
    let mut wire = Wire::connect(daemon.address())?;
    let before = resident(daemon.id())?;
    for _ in 0..2000 {
        Client::open_over(&mut wire, daemon.address())?;
    }
    ensure!(sessions(&daemon)? == 0);
    let grown = resident(daemon.id())?.saturating_sub(before);
    ensure!(grown < 8 << 10, "{grown} KiB for sessions that are not in use");
    Ok(())
}

/// More sessions in use than fit.
#[test]
fn more_sessions_than_fit() -> Result<()> {
    let (_, daemon) = gate(&format!("{PROTECT}[session]\ncapacity = 16\nsource_capacity = 16\n"))?;
    let mut wire = Wire::connect(daemon.address())?;
    for _ in 0..100 {
        let mut client = Client::open_over(&mut wire, daemon.address())?;
        let request = client.request("GET", "/api/a", "")?;
        ensure!(wire.exchange(&request)?.status == 200);
    }
    let held = sessions(&daemon)?;
    ensure!(held <= 16, "{held} sessions");
    Ok(())
}

/// Each refusal is remembered with its method, which may be as long as a head may be.
#[test]
fn refusals_that_are_long() -> Result<()> {
    let (_, daemon) = gate(PROTECT)?;
    let mut wire = Wire::connect(daemon.address())?;
    let request = plain(&"A".repeat(12_000), "/.well-known/portcullis/x", "");
    wire.exchange(&request)?;
    let before = resident(daemon.id())?;
    for _ in 0..2000 {
        ensure!(wire.exchange(&request)?.status == 404);
    }
    let grown = resident(daemon.id())?.saturating_sub(before);
    let longest = daemon
        .logged("refused", "method")
        .iter()
        .map(String::len)
        .max()
        .unwrap_or(0);
    ensure!(
        grown < 8 << 10 && longest < 200,
        "2000 refusals: {grown} KiB more, log lines with methods of {longest} bytes"
    );
    Ok(())
}

/// A body in chunks of one byte: each is kept as a piece of its own until the body is whole.
#[test]
fn a_body_of_crumbs() -> Result<()> {
    const CONNECTIONS: usize = 8;
    const CRUMBS: usize = 1_000_000;
    let (_, daemon) = gate(PROTECT)?;
    let before = resident(daemon.id())?;
    let crumbs = b"1\r\nx\r\n".repeat(CRUMBS);
    let held = (0..CONNECTIONS)
        .map(|_| -> Result<TcpStream> {
            let signed = Session::open(daemon.address())?.sign(&Call {
                method: "POST",
                body: "{}",
                ..Call::default()
            })?;
            let head = String::from_utf8(signed)?.replace("content-length: 2\r\n", "transfer-encoding: chunked\r\n");
            let mut stream = TcpStream::connect(daemon.address())?;
            stream.write_all(head.trim_end_matches("{}").as_bytes())?;
            stream.write_all(&crumbs)?;
            Ok(stream)
        })
        .collect::<Result<Vec<_>>>()?;
    let mut grown = 0;
    for _ in 0..30 {
        thread::sleep(Duration::from_millis(100));
        grown = grown.max(resident(daemon.id())?.saturating_sub(before) / 1024);
    }
    drop(held);
    let sent = CONNECTIONS * CRUMBS / (1 << 20);
    ensure!(grown < 4 * (sent as u64 + 1), "{grown} MiB for bodies of {sent} MiB");
    Ok(())
}

/// The client asks for much and reads nothing.
#[test]
fn an_answer_that_nobody_reads() -> Result<()> {
    const PATIENCE: Duration = Duration::from_secs(20);
    let moody = Moody::start(|stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 33554432\r\n\r\n");
        let _ = stream.write_all(&vec![b'x'; 33_554_432]);
    })?;
    let wanted = Wanted {
        http: "body_timeout = \"1s\"",
        ..Wanted::enforcing(moody.address, PROTECT)
    };
    let daemon = Daemon::start(&wanted)?;
    let held = (0..8)
        .map(|_| -> Result<TcpStream> {
            let mut stream = TcpStream::connect(daemon.address())?;
            stream.write_all(&plain("GET", "/public", ""))?;
            Ok(stream)
        })
        .collect::<Result<Vec<_>>>()?;
    let sockets = || Ok::<_, std::io::Error>(std::fs::read_dir(format!("/proc/{}/fd", daemon.id()))?.count());
    thread::sleep(Duration::from_millis(300));
    let (with_clients, deadline) = (sockets()?, Instant::now() + PATIENCE);
    while sockets()? > with_clients - 8 && Instant::now() < deadline {
        thread::sleep(Duration::from_secs(1));
    }
    let left = sockets()?;
    drop(held);
    ensure!(
        left <= with_clients - 8,
        "{left} of {with_clients} descriptors are still in use after {PATIENCE:?}"
    );
    Ok(())
}

/// A head that comes a byte at a time, and one that never comes.
#[test]
fn heads_that_do_not_come() -> Result<()> {
    let (backend, daemon) = gate(PROTECT)?;
    let start = Instant::now();
    let silent = (0..200)
        .map(|_| TcpStream::connect(daemon.address()))
        .collect::<Result<Vec<_>, _>>()?;
    let mut slow = TcpStream::connect(daemon.address())?;
    let mut cut = false;
    for byte in b"GET /public HTTP/1.1\r\nhost: shop.example\r\nx: "
        .iter()
        .chain(&[b'y'; 60])
    {
        cut = slow.write_all(&[*byte]).is_err();
        if cut {
            break;
        }
        thread::sleep(Duration::from_millis(200));
    }
    ensure!(cut, "a head may take more than {:?}", start.elapsed());
    for mut stream in silent {
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        let mut byte = [0; 64];
        let ended = match stream.read(&mut byte) {
            Ok(_) => true,
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        };
        ensure!(ended, "a silent connection is still open after {:?}", start.elapsed());
    }
    ensure!(backend.requests() == 0);
    ensure!(send(daemon.address(), &plain("GET", "/public", ""))?.status == 200);
    Ok(())
}

/// Heads with too many fields, too long fields, too long targets.
#[test]
fn heads_that_are_too_large() -> Result<()> {
    let (backend, daemon) = gate(PROTECT)?;
    let many: String = (0..500).map(|n| format!("x-{n}: y\r\n")).collect();
    let long = "y".repeat(100_000);
    for request in [
        plain("GET", "/public", &many),
        plain("GET", "/public", &format!("x: {long}\r\n")),
        plain("GET", &format!("/{long}"), ""),
        plain("GET", &format!("/public?{long}"), ""),
        plain(&long, "/public", ""),
        plain(
            "GET",
            "/api/a",
            &format!("signature-input: p=({})\r\n", "\"a\" ".repeat(3000)),
        ),
    ] {
        let raw = converse_raw(daemon.address(), &request, Duration::from_secs(2)).unwrap_or_default();
        ensure!(raw.is_empty() || raw.starts_with("HTTP/1.1 4"), "{raw}");
    }
    ensure!(backend.requests() == 0);
    ensure!(send(daemon.address(), &plain("GET", "/public", ""))?.status == 200);
    Ok(())
}

/// Extensions of chunks that are longer than the body.
#[test]
fn chunk_extensions_without_end() -> Result<()> {
    let (backend, daemon) = gate(PROTECT)?;
    let session = Session::open(daemon.address())?;
    let signed = String::from_utf8(session.sign(&Call {
        method: "POST",
        body: "{}",
        ..Call::default()
    })?)?;
    let head = signed.replace("content-length: 2\r\n", "transfer-encoding: chunked\r\n");
    let before = resident(daemon.id())?;
    let mut stream = TcpStream::connect(daemon.address())?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(head.trim_end_matches("{}").as_bytes())?;
    let mut sent = 0;
    while sent < 32 << 20
        && stream
            .write_all(&[b"1;a=", &[b'b'; 4000][..], b"\r\nx\r\n"].concat())
            .is_ok()
    {
        sent += 4000;
    }
    ensure!(sent < 32 << 20, "{sent} bytes of extensions were taken");
    let grown = resident(daemon.id())?.saturating_sub(before);
    ensure!(grown < 16 << 10, "{grown} KiB");
    ensure!(backend.requests() == 0);
    Ok(())
}

/// Bytes that make no sense, thousands of times: no panic, no leak of connections.
#[test]
fn garbage() -> Result<()> {
    let (_, daemon) = gate(PROTECT)?;
    let mut client = Client::open(daemon.address())?;
    // The session is bound to this browser before one of the copies can name another.
    ensure!(client.call("GET", "/api/a", "")?.status == 200);
    let good = client.request("POST", "/api/orders/1?x=1", "{\"a\":1}")?;
    // Some copies differ in nothing that is signed, like User-Agent. Whoever can be first with a call that was stopped on
    // its way can have its session suspended by that (docs/threat-model.md), so the call itself comes first.
    ensure!(send(daemon.address(), &good)?.status == 200);
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap_or(0)
    };
    for _ in 0..1500 {
        let mut bytes = good.clone();
        for _ in 0..=random(4) {
            let at = random(bytes.len());
            match random(4) {
                0 => bytes[at] = u8::try_from(random(256)).unwrap_or(0),
                1 => drop(bytes.remove(at)),
                2 => bytes.truncate(at + 1),
                _ => {
                    let piece = bytes[at..(at + random(40)).min(bytes.len())].to_vec();
                    bytes.splice(at..at, piece);
                }
            }
        }
        let mut stream = TcpStream::connect(daemon.address())?;
        // The gate may hang up at once.
        let _ = stream.write_all(&bytes);
    }
    ensure!(client.call("GET", "/api/a", "")?.status == 200);
    let status = daemon.cli(&["--json", "status"])?;
    ensure!(!status.is_empty());
    Ok(())
}

/// Refusals by the thousand, to fill the disk with their log.
#[test]
fn a_flood_of_refusals_writes_little() -> Result<()> {
    let (_, daemon) = gate(PROTECT)?;
    let mut wire = Wire::connect(daemon.address())?;
    let start = Instant::now();
    let request = plain("GET", "/.well-known/portcullis/nothing", "");
    for _ in 0..3000 {
        wire.exchange(&request)?;
    }
    let seconds = start.elapsed().as_secs() as usize + 2;
    let lines = daemon.logged("refused", "cause").len();
    ensure!(lines <= 50 * seconds, "{lines} lines in {seconds} s");
    Ok(())
}

/// A public path that takes bodies of any size would hold a connection to the application for each.
#[test]
fn a_public_body_without_end() -> Result<()> {
    let (backend, daemon) = gate(PROTECT)?;
    let length = 8 << 20;
    let head = plain("POST", "/public", &format!("content-length: {length}\r\n"));
    let mut stream = TcpStream::connect(daemon.address())?;
    stream.write_all(&head)?;
    // The gate may refuse before all of it came.
    let _ = stream.write_all(&vec![b'x'; length]);
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut start = [0; 12];
    let answered = stream.read_exact(&mut start).is_ok();
    ensure!(
        !answered || start.starts_with(b"HTTP/1.1 413"),
        "{}",
        String::from_utf8_lossy(&start)
    );
    ensure!(backend.requests() == 0);
    Ok(())
}
