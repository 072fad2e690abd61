//! WebSockets: judged like a request, unread after that, ended by a verdict.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use anyhow::{Context, Result, ensure};
use portcullis_tests::client::{Answer, Client, Wire};
use portcullis_tests::daemon::{Daemon, Wanted};

use super::{PROTECT, refused};

const ASK: &str = "connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                   sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
/// What the application says first: a text frame.
const HELLO: &[u8] = b"\x81\x05hello";

/// An application that agrees to every upgrade, says hello, and sends everything back. It answers 400 to the rest.
fn application() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || echo(stream));
        }
    });
    Ok(address)
}

fn echo(mut stream: TcpStream) -> Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head)?;
    if !head.contains("upgrade: websocket") {
        return Ok(stream.write_all(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")?);
    }
    let answer = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                  sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    stream.write_all(&[answer.as_bytes(), HELLO].concat())?;
    let mut buffer = [0; 4096];
    loop {
        let read = stream.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..read])?;
    }
}

fn gate(http: &str, extra: &str) -> Result<Daemon> {
    let extra = format!("{PROTECT}{extra}");
    let wanted = Wanted {
        http,
        ..Wanted::enforcing(application()?, &extra)
    };
    Daemon::start(&wanted)
}

/// A signed upgrade.
fn ask(client: &mut Client, target: &str) -> Result<Vec<u8>> {
    let request = String::from_utf8(client.request("GET", target, "")?)?;
    Ok(request.replacen("\r\n\r\n", &format!("\r\n{ASK}\r\n"), 1).into_bytes())
}

fn agreed(answer: &Answer) -> Result<()> {
    ensure!(answer.status == 101, "{} {}", answer.status, answer.body);
    ensure!(answer.headers["upgrade"] == "websocket" && answer.headers["connection"] == "upgrade");
    ensure!(answer.headers["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    Ok(())
}

fn open(daemon: &Daemon, client: &mut Client) -> Result<Wire> {
    let mut wire = Wire::connect(daemon.address())?;
    agreed(&wire.exchange(&ask(client, "/api/live")?)?)?;
    ensure!(wire.bytes(HELLO.len())? == HELLO);
    Ok(wire)
}

#[test]
fn bytes_go_both_ways() -> Result<()> {
    let daemon = gate("", "")?;
    let mut client = Client::open(daemon.address())?;
    let mut wire = open(&daemon, &mut client)?;
    for length in [1, 1000, 100_000] {
        let sent = vec![7; length];
        let mut writer = wire.stream().try_clone()?;
        let to_send = sent.clone();
        let writing = thread::spawn(move || writer.write_all(&to_send));
        ensure!(wire.bytes(length)? == sent);
        writing.join().ok().context("the writer panicked")??;
    }
    Ok(())
}

#[test]
fn an_upgrade_is_judged_like_a_request() -> Result<()> {
    let daemon = gate("", "")?;
    let mut client = Client::open(daemon.address())?;
    let unsigned = format!("GET /api/live HTTP/1.1\r\nhost: a\r\n{ASK}\r\n");
    refused(
        &Wire::connect(daemon.address())?.exchange(unsigned.as_bytes())?,
        401,
        "signature-required",
    )?;
    let request = ask(&mut client, "/api/live")?;
    agreed(&Wire::connect(daemon.address())?.exchange(&request)?)?;
    refused(
        &Wire::connect(daemon.address())?.exchange(&request)?,
        401,
        "nonce-reused",
    )?;
    let public = format!("GET /live HTTP/1.1\r\nhost: a\r\n{ASK}\r\n");
    agreed(&Wire::connect(daemon.address())?.exchange(public.as_bytes())?)
}

#[test]
fn other_upgrades_are_not_passed_on() -> Result<()> {
    let daemon = gate("", "")?;
    for ask in [
        "connection: Upgrade\r\nupgrade: h2c\r\n",
        "connection: Upgrade\r\nupgrade: websocket\r\n",
        "upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: x\r\n",
    ] {
        let request = format!("GET / HTTP/1.1\r\nhost: a\r\n{ask}\r\n");
        ensure!(
            Wire::connect(daemon.address())?.exchange(request.as_bytes())?.status == 400,
            "{ask}"
        );
    }
    Ok(())
}

#[test]
fn a_revoked_session_closes_its_sockets_with_a_code() -> Result<()> {
    let daemon = gate("", "")?;
    let mut client = Client::open(daemon.address())?;
    let mut other = Client::open(daemon.address())?;
    let mut wire = open(&daemon, &mut client)?;
    let mut neighbour = open(&daemon, &mut other)?;
    // More connections than a session remembers.
    for _ in 0..10 {
        ensure!(client.call("GET", "/api/a", "")?.status == 400);
    }
    let sessions: serde_json::Value = serde_json::from_str(&daemon.cli(&["--json", "session", "list"])?)?;
    let sessions = sessions["sessions"].as_array().context("no sessions")?;
    let busiest = sessions.iter().max_by_key(|session| session["calls"].as_u64());
    let id = busiest
        .and_then(|session| session["id"].as_str())
        .context("no session")?;
    daemon.cli(&["session", "revoke", id])?;
    let close = wire.bytes(4)?;
    ensure!(
        close.starts_with(&[0x88]) && close[2..4] == 4403u16.to_be_bytes(),
        "{close:?}"
    );
    neighbour.stream().write_all(b"\x81\x01x")?;
    ensure!(neighbour.bytes(3)? == b"\x81\x01x", "another session's");
    Ok(())
}

#[test]
fn a_socket_lives_so_long() -> Result<()> {
    let daemon = gate("websocket_lifetime = \"1s\"", "")?;
    let mut client = Client::open(daemon.address())?;
    let close = open(&daemon, &mut client)?.rest()?;
    ensure!(
        close.starts_with(&[0x88]) && close[2..4] == 4401u16.to_be_bytes(),
        "{close:?}"
    );
    let daemon = gate("websocket_idle = \"1s\"", "")?;
    let mut client = Client::open(daemon.address())?;
    let close = open(&daemon, &mut client)?.rest()?;
    ensure!(
        close.starts_with(&[0x88]) && close[2..4] == 1001u16.to_be_bytes(),
        "{close:?}"
    );
    Ok(())
}

#[test]
fn a_daemon_that_stops_says_goodbye() -> Result<()> {
    let daemon = gate("", "")?;
    let mut client = Client::open(daemon.address())?;
    let mut wire = open(&daemon, &mut client)?;
    daemon.signal(nix::sys::signal::Signal::SIGTERM)?;
    let close = wire.rest()?;
    ensure!(
        close.starts_with(&[0x88]) && close[2..4] == 1001u16.to_be_bytes(),
        "{close:?}"
    );
    Ok(())
}
