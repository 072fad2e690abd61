//! Every limit that a client can reach: what it is told, and that it is counted.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use portcullis_tests::backend::Backend;
use portcullis_tests::client::{Client, Wire, send};
use portcullis_tests::daemon::{Daemon, Wanted};
use portcullis_tests::tls::Certificates;

use super::raw::{self, Outcome, Raw};
use super::{PROTECT, refused};

const PATIENCE: Duration = Duration::from_secs(20);
pub(super) const ADMIN: &str = "[admin]\nlisten = \"127.0.0.1:0\"\n";
pub(super) const HTTP2: &str = "[[listener]]\naddress = \"127.0.0.1:0\"\nhttp2 = true\n";
const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

pub(super) fn in_front_of(upstream: SocketAddr, http: &str, extra: &str) -> Result<Daemon> {
    let extra = format!("{PROTECT}{ADMIN}{extra}");
    Daemon::start(&Wanted {
        http,
        ..Wanted::enforcing(upstream, &extra)
    })
}

pub(super) fn gate(http: &str, extra: &str) -> Result<(Backend, Daemon)> {
    let backend = Backend::start()?;
    let daemon = in_front_of(backend.address(), http, extra)?;
    Ok((backend, daemon))
}

/// A counter of the metrics.
pub(super) fn sample(daemon: &Daemon, name: &str) -> Result<u64> {
    let admin = daemon.logged("admin listener", "address");
    let admin: SocketAddr = admin.first().context("no admin listener")?.parse()?;
    let request = format!("GET /metrics HTTP/1.1\r\nhost: {admin}\r\nconnection: close\r\n\r\n");
    let text = Wire::connect(admin)?.exchange(request.as_bytes())?.body;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.with_context(|| format!("no {name}"))?
        .parse()
        .context("not a number")
}

/// Waits until a limit was counted so often. The client may know before the counter does.
pub(super) fn counted(daemon: &Daemon, limit: &str, times: u64) -> Result<()> {
    let name = format!("portcullis_limits_reached_total{{limit=\"{limit}\"}}");
    let deadline = Instant::now() + PATIENCE;
    loop {
        let seen = sample(daemon, &name)?;
        if seen == times {
            return Ok(());
        }
        ensure!(
            seen < times && Instant::now() < deadline,
            "{limit}: {seen}, not {times}"
        );
        thread::sleep(Duration::from_millis(20));
    }
}

fn exchange(daemon: &Daemon, bytes: &[u8]) -> Result<portcullis_tests::client::Answer> {
    Wire::connect(daemon.address())?.exchange(bytes)
}

#[test]
fn one_connection_too_many_is_told() -> Result<()> {
    let (_, daemon) = gate("max_connections = 2", "")?;
    let mut open = [Wire::connect(daemon.address())?, Wire::connect(daemon.address())?];
    for wire in &mut open {
        ensure!(wire.exchange(GET.as_bytes())?.status == 200);
    }
    let answer = exchange(&daemon, GET.as_bytes())?;
    refused(&answer, 503, "overloaded")?;
    ensure!(answer.headers["retry-after"] == "1" && answer.headers["connection"] == "close");
    counted(&daemon, "connections", 1)?;
    drop(open);
    while exchange(&daemon, GET.as_bytes())?.status != 200 {}
    Ok(())
}

#[test]
fn one_too_many_of_a_source_is_told() -> Result<()> {
    let (_, daemon) = gate("max_connections_per_source = 1", "")?;
    let mut open = Wire::connect(daemon.address())?;
    ensure!(open.exchange(GET.as_bytes())?.status == 200);
    refused(&exchange(&daemon, GET.as_bytes())?, 429, "quota-exceeded")?;
    counted(&daemon, "source-connections", 1)
}

#[test]
fn a_head_that_takes_too_long_is_told_and_silence_is_not() -> Result<()> {
    let (backend, daemon) = gate("header_timeout = \"500ms\"", "")?;
    for begun in [&GET[..10], &GET[..GET.len() - 1]] {
        let answer = exchange(&daemon, begun.as_bytes())?;
        refused(&answer, 408, "request-timeout")?;
    }
    counted(&daemon, "head-time", 2)?;
    ensure!(
        Wire::connect(daemon.address())?.rest()?.is_empty(),
        "it was told something"
    );
    counted(&daemon, "idle", 1)?;
    let mut wire = Wire::connect(daemon.address())?;
    ensure!(wire.exchange(GET.as_bytes())?.status == 200);
    ensure!(wire.rest()?.is_empty(), "it was told something");
    counted(&daemon, "idle", 2)?;
    ensure!(backend.requests() == 1);
    Ok(())
}

/// Buffers go when a connection is silent, and come back.
#[test]
fn a_connection_that_rested_goes_on_where_it_was() -> Result<()> {
    let (backend, daemon) = gate("header_timeout = \"2s\"", "")?;
    let mut client = Client::open(daemon.address())?;
    let mut wire = Wire::connect(daemon.address())?;
    let rest = || thread::sleep(Duration::from_millis(1300));
    for _ in 0..2 {
        ensure!(wire.exchange(&client.request("POST", "/api/a", "{}")?)?.status == 200);
        ensure!(wire.exchange(&client.request("GET", "/api/a", "")?)?.status == 200);
        rest();
    }
    // Half a head before and half after, and two at once.
    let request = client.request("GET", "/api/a", "")?;
    wire.stream().write_all(&request[..20])?;
    rest();
    ensure!(wire.exchange(&request[20..])?.status == 200);
    rest();
    wire.stream().write_all(&[GET, GET].concat().into_bytes())?;
    ensure!(wire.answer()?.status == 200 && wire.answer()?.status == 200);
    rest();
    wire.stream().write_all(&GET.as_bytes()[..20])?;
    refused(&wire.answer()?, 408, "request-timeout")?;
    ensure!(backend.requests() == 7, "{}", backend.requests());
    Ok(())
}

/// A body of which nobody has read the rest must not become the next request.
#[test]
fn a_connection_does_not_rest_over_a_body() -> Result<()> {
    let (backend, daemon) = gate("header_timeout = \"5s\"", "")?;
    let mut wire = Wire::connect(daemon.address())?;
    let head = "POST /api/a HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\n";
    ensure!(wire.exchange(head.as_bytes())?.status == 401);
    thread::sleep(Duration::from_millis(1500));
    // It may be closed by now.
    let _ = wire.stream().write_all(GET.as_bytes());
    let seen = wire.rest().unwrap_or_default();
    ensure!(seen.is_empty(), "{}", String::from_utf8_lossy(&seen));
    ensure!(backend.requests() == 0);
    Ok(())
}

#[test]
fn heads_that_are_too_large_or_make_no_sense_are_told() -> Result<()> {
    let (backend, daemon) = gate("max_header_bytes = \"1MiB\"", "")?;
    let many: String = (0..101).map(|n| format!("x-{n}: y\r\n")).collect();
    let with = |target: &str, fields: &str| format!("GET {target} HTTP/1.1\r\nhost: a\r\n{fields}\r\n");
    for (request, status) in [
        (with("/", &format!("x: {}\r\n", "y".repeat(2 << 20))), 431),
        (with("/", &many), 431),
        (with(&format!("/{}", "y".repeat(70_000)), ""), 414),
    ] {
        let mut wire = Wire::connect(daemon.address())?;
        // The gate may have enough before all was sent.
        let _ = wire.stream().write_all(request.as_bytes());
        ensure!(wire.answer()?.status == status, "{}", &request[..40]);
    }
    counted(&daemon, "head-size", 3)?;
    ensure!(exchange(&daemon, with("/", "x y: z\r\n").as_bytes())?.status == 400);
    counted(&daemon, "malformed", 1)?;
    ensure!(backend.requests() == 0);
    Ok(())
}

#[test]
fn bodies_that_are_too_large_or_too_slow_are_told() -> Result<()> {
    let (backend, daemon) = gate("max_body = \"1KiB\"\nbody_timeout = \"500ms\"", "")?;
    let refusals = |cause: &str| sample(&daemon, &format!("portcullis_refusals_total{{cause=\"{cause}\"}}"));
    let post = |length: usize| format!("POST /p HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n");
    refused(&exchange(&daemon, post(1025).as_bytes())?, 413, "body-too-large")?;
    ensure!(refusals("body-too-large")? == 1);
    refused(&exchange(&daemon, post(1000).as_bytes())?, 408, "request-timeout")?;
    let mut client = Client::open(daemon.address())?;
    let signed = client.request("POST", "/api/a", "{\"a\":1}")?;
    refused(&exchange(&daemon, &signed[..signed.len() - 1])?, 408, "request-timeout")?;
    ensure!(refusals("body-late")? == 2);
    ensure!(backend.requests() == 0);
    Ok(())
}

/// The head of an answer that takes long.
const HUGE: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n";

/// An application that says `first`, and then `piece` without end.
pub(super) fn endless(first: &'static [u8], piece: &[u8]) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let piece: Arc<[u8]> = piece.into();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let piece = Arc::clone(&piece);
            thread::spawn(move || {
                let _ = stream.read(&mut [0; 1000]);
                let _ = stream.write_all(first);
                while stream.write_all(&piece).is_ok() {}
            });
        }
    });
    Ok(address)
}

#[test]
fn who_does_not_read_is_left() -> Result<()> {
    let daemon = in_front_of(
        endless(HUGE, &[b'x'; 65536])?,
        "body_timeout = \"500ms\"\nheader_timeout = \"500ms\"",
        HTTP2,
    )?;
    let mut slow = TcpStream::connect(daemon.address())?;
    slow.write_all(GET.as_bytes())?;
    counted(&daemon, "slow-read", 1)?;
    // A window of nothing for its answers.
    let mut raw = Raw::connect(daemon.listener(1)?, &[(4, 0)])?;
    raw.send(&raw::get(1, "/"))?;
    ensure!(raw.farewell()? == Some(0));
    counted(&daemon, "slow-read", 2)
}

#[test]
fn handshakes_that_do_not_come_are_counted() -> Result<()> {
    let certificates = Certificates::new()?;
    let pair = certificates.write("a", &["shop.example"], 2090)?;
    let tls = format!("[[listener]]\naddress = \"127.0.0.1:0\"\ntls = {{ certificates = [{pair}] }}\n");
    let (_, daemon) = gate("header_timeout = \"500ms\"", &tls)?;
    ensure!(Wire::connect(daemon.listener(1)?)?.rest()?.is_empty());
    counted(&daemon, "handshake", 1)
}

/// Rapid reset: streams that are opened to be given up, all at once and one after the other.
#[test]
fn resets_end_the_connection() -> Result<()> {
    let hangs = TcpListener::bind("127.0.0.1:0")?;
    let daemon = in_front_of(hangs.local_addr()?, "", HTTP2)?;
    let reset = |stream| raw::frame(raw::RST_STREAM, 0, stream, &[0, 0, 0, 8]);
    let both = |stream| [raw::get(stream, "/"), reset(stream)].concat();
    let mut raw = Raw::connect(daemon.listener(1)?, &[])?;
    raw.send(&(0..200).flat_map(|n| both(2 * n + 1)).collect::<Vec<_>>())?;
    ensure!(raw.farewell()? == Some(raw::ENHANCE_YOUR_CALM));
    counted(&daemon, "flood", 1)?;
    // Each served before it is given up: the application would be asked every time.
    let mut raw = Raw::connect(daemon.listener(1)?, &[])?;
    let slowly = (0..2000).try_for_each(|n| {
        raw.send(&raw::get(2 * n + 1, "/"))?;
        thread::sleep(Duration::from_millis(2));
        raw.send(&reset(2 * n + 1))
    });
    ensure!(slowly.is_err(), "2000 resets were taken");
    counted(&daemon, "flood", 2)
}

#[test]
fn continuations_without_end_end_the_connection() -> Result<()> {
    let (backend, daemon) = gate("", HTTP2)?;
    let mut raw = Raw::connect(daemon.listener(1)?, &[])?;
    let fields = raw::block(&[(":method", "GET"), (":scheme", "http"), (":path", "/")]);
    raw.send(&raw::frame(raw::HEADERS, raw::END_STREAM, 1, &fields))?;
    let piece = raw::frame(raw::CONTINUATION, 0, 1, &raw::block(&[("x", &"y".repeat(1000))]));
    for _ in 0..10_000 {
        if raw.send(&piece).is_err() {
            break;
        }
    }
    // It may be cut off by a reset before it has read the goodbye.
    if let Ok(Some(code)) = raw.farewell() {
        ensure!(code == raw::ENHANCE_YOUR_CALM, "{code}");
    }
    counted(&daemon, "flood", 1)?;
    ensure!(backend.requests() == 0);
    Ok(())
}

#[test]
fn streams_beyond_the_limit_are_refused_and_many_end_the_connection() -> Result<()> {
    let hangs = TcpListener::bind("127.0.0.1:0")?;
    let daemon = in_front_of(hangs.local_addr()?, "max_streams = 2", HTTP2)?;
    let mut raw = Raw::connect(daemon.listener(1)?, &[])?;
    // The limit holds from when the client knows of it.
    raw.await_kind(raw::SETTINGS)?;
    raw.send(&raw::frame(raw::SETTINGS, 1, 0, &[]))?;
    for stream in [1, 3, 5] {
        raw.send(&raw::get(stream, "/"))?;
    }
    ensure!(raw.outcome(5)? == Outcome::Reset(raw::REFUSED_STREAM));
    for stream in (7..100).step_by(2) {
        if raw.send(&raw::get(stream, "/")).is_err() {
            break;
        }
    }
    if let Ok(Some(code)) = raw.farewell() {
        ensure!(code == raw::ENHANCE_YOUR_CALM, "{code}");
    }
    counted(&daemon, "flood", 1)
}

#[test]
fn heads_of_http2_have_the_same_limit() -> Result<()> {
    let (backend, daemon) = gate("", HTTP2)?;
    let mut raw = Raw::connect(daemon.listener(1)?, &[])?;
    let start = [
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "a"),
        (":path", "/"),
    ];
    let large = "y".repeat(16 << 10);
    let fields = raw::block(&[&start[..], &[("x", large.as_str())]].concat());
    let (first, rest) = fields.split_at(16_000);
    raw.send(&raw::frame(raw::HEADERS, raw::END_STREAM, 1, first))?;
    raw.send(&raw::frame(raw::CONTINUATION, raw::END_HEADERS, 1, rest))?;
    ensure!(raw.outcome(1)? == Outcome::Status(431));
    counted(&daemon, "head-size", 1)?;
    // A long field that is remembered, and meant again by one byte each time.
    let mut bomb = raw::block(&start);
    bomb.extend_from_slice(&[0x40, 1, b'x', 127, 0xa1, 0x1e]);
    bomb.extend_from_slice(&[b'y'; 4000]);
    bomb.extend_from_slice(&[0xbe; 8000]);
    raw.send(&raw::frame(raw::HEADERS, raw::END_STREAM | raw::END_HEADERS, 3, &bomb))?;
    ensure!(raw.outcome(3)? == Outcome::Ended(raw::ENHANCE_YOUR_CALM));
    counted(&daemon, "flood", 1)?;
    let mut raw = Raw::connect(daemon.listener(1)?, &[])?;
    raw.send(&raw::get(1, "/"))?;
    ensure!(raw.outcome(1)? == Outcome::Status(200));
    ensure!(backend.requests() == 1);
    Ok(())
}

#[test]
fn frames_that_make_no_sense_end_the_connection() -> Result<()> {
    let (backend, daemon) = gate("", HTTP2)?;
    let huge_window = 0x7fff_ffff_u32.to_be_bytes();
    let frames = [
        raw::frame(raw::HEADERS, raw::END_STREAM | raw::END_HEADERS, 0, &[0x82]),
        raw::frame(raw::HEADERS, raw::END_STREAM | raw::END_HEADERS, 2, &[0x82]),
        raw::frame(raw::HEADERS, raw::END_STREAM | raw::END_HEADERS, 1, &[0xff, 0xff, 0xff]),
        raw::frame(raw::CONTINUATION, raw::END_HEADERS, 1, &[0x82]),
        raw::frame(raw::DATA, 0, 1, b"x"),
        raw::frame(raw::SETTINGS, 0, 0, &[0]),
        raw::frame(raw::WINDOW_UPDATE, 0, 0, &huge_window),
        vec![0xff; 100],
    ];
    for (n, bytes) in (1..).zip(&frames) {
        let mut raw = Raw::connect(daemon.listener(1)?, &[])?;
        raw.send(bytes)?;
        let code = raw.farewell()?;
        ensure!(code.is_some_and(|code| code != 0), "{bytes:?}: {code:?}");
        counted(&daemon, "malformed", n).with_context(|| format!("{bytes:?}"))?;
    }
    ensure!(backend.requests() == 0);
    if send(daemon.address(), GET.as_bytes())?.status != 200 {
        bail!("it does not answer any more");
    }
    Ok(())
}
