//! WebSockets: judged like a request, unread after that, ended by a verdict.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::ext::Protocol;
use hyper_util::rt::TokioIo;
use portcullis_tests::client::{Answer, Client, Wire};
use portcullis_tests::daemon::{Daemon, Wanted};

use sha1::{Digest, Sha1};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::http2::{connect, signed, text};
use super::limits::{ADMIN, counted};
use super::streaming::by_hand;
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
    let key = head.lines().find_map(|line| line.strip_prefix("sec-websocket-key: "));
    let key = key.context("no key")?.to_owned() + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    let accept = STANDARD.encode(Sha1::digest(key));
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-accept: {accept}\r\n\r\n"
    );
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

/// Ends the session that called most.
fn revoke_busiest(daemon: &Daemon) -> Result<()> {
    let sessions: serde_json::Value = serde_json::from_str(&daemon.cli(&["--json", "session", "list"])?)?;
    let sessions = sessions["sessions"].as_array().context("no sessions")?;
    let busiest = sessions.iter().max_by_key(|session| session["calls"].as_u64());
    let id = busiest
        .and_then(|session| session["id"].as_str())
        .context("no session")?;
    daemon.cli(&["session", "revoke", id])?;
    Ok(())
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
    revoke_busiest(&daemon)?;
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
    let daemon = gate("websocket_lifetime = \"1s\"", ADMIN)?;
    let mut client = Client::open(daemon.address())?;
    let close = open(&daemon, &mut client)?.rest()?;
    ensure!(
        close.starts_with(&[0x88]) && close[2..4] == 4401u16.to_be_bytes(),
        "{close:?}"
    );
    counted(&daemon, "websocket-lifetime", 1)?;
    let daemon = gate("websocket_idle = \"1s\"", ADMIN)?;
    let mut client = Client::open(daemon.address())?;
    let close = open(&daemon, &mut client)?.rest()?;
    ensure!(
        close.starts_with(&[0x88]) && close[2..4] == 1001u16.to_be_bytes(),
        "{close:?}"
    );
    counted(&daemon, "websocket-idle", 1)
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

const HTTP2: &str = "[[listener]]\naddress = \"127.0.0.1:0\"\nhttp2 = true\n";

/// A signed upgrade of HTTP/2: an extended CONNECT (RFC 8441). It is signed as the GET that it stands for.
fn ask_over_stream(client: &mut Client, target: &str) -> Result<http::Request<http_body_util::Empty<bytes::Bytes>>> {
    let mut request = signed(client, "GET", target)?;
    *request.method_mut() = http::Method::CONNECT;
    request.extensions_mut().insert(Protocol::from_static("websocket"));
    request
        .headers_mut()
        .insert("sec-websocket-version", http::HeaderValue::from_static("13"));
    Ok(request)
}

/// Over a proxy's connection, which a verdict on one of its clients does not end.
#[tokio::test]
async fn a_stream_of_http2_is_a_socket_beside_calls() -> Result<()> {
    let daemon = gate("trusted_proxies = [\"127.0.0.1/32\"]", HTTP2)?;
    let [mut client, mut other] = [Client::open(daemon.address())?, Client::open(daemon.address())?];
    let mut sender = connect(daemon.listener(1)?).await?;
    let mut sockets = Vec::new();
    for client in [&mut client, &mut other] {
        sender.ready().await?;
        let answer = sender.send_request(ask_over_stream(client, "/api/live")?).await?;
        ensure!(answer.status() == 200, "{answer:?}");
        ensure!(
            answer.headers().keys().all(|name| !name.as_str().starts_with("sec-")),
            "{answer:?}"
        );
        sockets.push(TokioIo::new(hyper::upgrade::on(answer).await?));
    }
    for socket in &mut sockets {
        let mut seen = [0; HELLO.len()];
        socket.read_exact(&mut seen).await?;
        ensure!(seen == HELLO);
    }
    for length in [1, 1000, 100_000] {
        // A frame: what tells the client of its end comes between two.
        let sent = [
            &[0x82, 127][..],
            &u64::to_be_bytes(length),
            &vec![7; usize::try_from(length)?],
        ]
        .concat();
        let (mut from, mut to) = tokio::io::split(&mut sockets[0]);
        let mut seen = vec![0; sent.len()];
        tokio::try_join!(to.write_all(&sent), from.read_exact(&mut seen))?;
        ensure!(seen == sent, "{length}");
    }
    // Calls go on beside, and a session that is revoked ends its own socket only.
    for _ in 0..3 {
        let answer = sender.send_request(signed(&mut client, "GET", "/api/a")?).await?;
        ensure!(answer.status() == 400);
    }
    revoke_busiest(&daemon)?;
    let mut close = [0; 4];
    sockets[0].read_exact(&mut close).await?;
    ensure!(close[0] == 0x88 && close[2..] == 4403u16.to_be_bytes(), "{close:?}");
    sockets[1].write_all(b"\x81\x01x").await?;
    sockets[1].read_exact(&mut close[..3]).await?;
    ensure!(&close[..3] == b"\x81\x01x", "another session's");
    daemon.signal(nix::sys::signal::Signal::SIGTERM)?;
    sockets[1].read_exact(&mut close).await?;
    ensure!(close[0] == 0x88 && close[2..] == 1001u16.to_be_bytes(), "{close:?}");
    Ok(())
}

#[tokio::test]
async fn a_socket_over_http2_is_judged_and_the_application_must_know_sockets() -> Result<()> {
    let (upstream, calls) = by_hand()?;
    let extra = format!("{PROTECT}{HTTP2}");
    let daemon = Daemon::start(&Wanted::enforcing(upstream, &extra))?;
    let mut client = Client::open(daemon.address())?;
    let mut sender = connect(daemon.listener(1)?).await?;
    let mut unsigned = ask_over_stream(&mut client, "/api/live")?;
    unsigned.headers_mut().remove("signature");
    let answer = sender.send_request(unsigned).await?;
    ensure!(answer.status() == 400, "{answer:?}");
    ensure!(text(answer).await?.contains("signature-malformed"));
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi",
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
    ] {
        sender.ready().await?;
        let asked = tokio::spawn(sender.send_request(ask_over_stream(&mut client, "/api/live")?));
        let (mut application, head) = loop {
            match calls.try_recv() {
                Ok(call) => break call,
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
            }
        };
        ensure!(head.starts_with("GET /api/live HTTP/1.1\r\n"), "{head}");
        ensure!(
            head.contains("upgrade: websocket\r\n") && head.contains("sec-websocket-key: "),
            "{head}"
        );
        application.write_all(answer.as_bytes())?;
        ensure!(asked.await??.status() == 502, "{answer}");
    }
    Ok(())
}
