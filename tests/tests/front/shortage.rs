//! Limits of what a call costs behind its head: the application, memory, places to wait at. What the client is told, and
//! that it is counted.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, bind, getsockname, listen, socket};
use portcullis_tests::backend::Backend;
use portcullis_tests::client::{Client, Wire, send};
use portcullis_tests::daemon::{Daemon, Wanted};

use super::limits::{ADMIN, HTTP2, counted, gate, in_front_of, sample};
use super::raw::{self, Raw};
use super::{PROTECT, http2, refused};

const HEAD: [(&str, &str); 4] = [
    (":method", "POST"),
    (":scheme", "http"),
    (":authority", "a"),
    (":path", "/"),
];
const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";

fn refusals(daemon: &Daemon, cause: &str) -> Result<u64> {
    sample(daemon, &format!("portcullis_refusals_total{{cause=\"{cause}\"}}"))
}

#[tokio::test]
async fn heads_of_http2_that_are_too_large_are_told_and_the_next_one_is_served() -> Result<()> {
    let (backend, daemon) = gate("", HTTP2)?;
    let mut sender = http2::connect(daemon.listener(1)?).await?;
    let request = || http::Request::get("http://a.example/");
    let many = (0..101).fold(request(), |request, n| request.header(format!("x-{n}"), "y"));
    for (large, counts) in [
        (request().header("cookie", "y".repeat(16 << 10)), true),
        (request().header("x", "y".repeat(60_000)), true),
        (many, true),
        // The library has read enough, and answers without a word.
        (request().header("x", "y".repeat(70_000)), false),
    ] {
        let answer = sender.send_request(large.body(http_body_util::Empty::new())?).await?;
        ensure!(answer.status() == 431);
        let body = http2::text(answer).await?;
        ensure!(
            body.contains("/.well-known/portcullis/problems/head-too-large") == counts,
            "{body}"
        );
    }
    let crumbs = (0..150).fold(request(), |request, n| request.header("cookie", format!("c{n}=d")));
    let answer = sender.send_request(crumbs.body(http_body_util::Empty::new())?).await?;
    ensure!(answer.status() == 200, "{}", answer.status());
    ensure!(backend.requests() == 1);
    tokio::task::spawn_blocking(move || counted(&daemon, "head-size", 3)).await?
}

/// A listener whose queue is full: connections to it are not answered.
fn full() -> Result<(OwnedFd, SocketAddr)> {
    let listening = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    bind(listening.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0))?;
    listen(&listening, Backlog::new(0)?)?;
    let port = getsockname::<SockaddrIn>(listening.as_raw_fd())?.port();
    Ok((listening, ([127, 0, 0, 1], port).into()))
}

#[test]
fn an_application_that_does_not_answer_in_time_is_told_and_counted() -> Result<()> {
    let hangs = TcpListener::bind("127.0.0.1:0")?;
    let daemon = in_front_of(
        hangs.local_addr()?,
        "upstream_timeout = \"300ms\"",
        "[http.pool]\nmax_calls = 1\n",
    )?;
    let first = Wire::connect(daemon.address())?;
    first.stream().write_all(GET)?;
    let _held = hangs.accept()?;
    refused(&send(daemon.address(), GET)?, 503, "overloaded")?;
    ensure!(refusals(&daemon, "upstream-full")? == 1);
    let mut first = first;
    refused(&first.answer()?, 504, "upstream-timeout")?;
    ensure!(refusals(&daemon, "upstream-timeout")? == 1);
    let (_queue, address) = full()?;
    let daemon = in_front_of(address, "", "[http.pool]\nconnect_timeout = \"300ms\"\n")?;
    // The kernel takes one more than it was told.
    let _taken = std::net::TcpStream::connect(address)?;
    refused(&send(daemon.address(), GET)?, 502, "upstream-unavailable")?;
    ensure!(refusals(&daemon, "upstream-unavailable")? == 1);
    Ok(())
}

/// Bodies of signed calls are read whole, but not more than 256 MiB of all of them at a time.
#[test]
fn bodies_that_fill_the_memory_are_told() -> Result<()> {
    let (backend, daemon) = gate("max_body = \"300MiB\"", "")?;
    let mut client = Client::open(daemon.address())?;
    let signed = String::from_utf8(client.request("POST", "/api/a", "x")?)?;
    // The length is not signed, and the digest is compared at the end.
    let head = signed.replace("content-length: 1\r\n", &format!("content-length: {}\r\n", 300 << 20));
    let mut wire = Wire::connect(daemon.address())?;
    wire.stream().write_all(head.trim_end_matches('x').as_bytes())?;
    let piece = vec![b'x'; 1 << 20];
    // The gate has enough before all was sent.
    while wire.stream().write_all(&piece).is_ok() {}
    let answer = wire.answer()?;
    refused(&answer, 503, "overloaded")?;
    ensure!(answer.headers["retry-after"] == "1");
    ensure!(refusals(&daemon, "overloaded")? == 1 && backend.requests() == 0);
    ensure!(client.call("POST", "/api/a", "x")?.status == 200);
    Ok(())
}

/// A rule may make calls wait, but not more than eight of one session.
#[test]
fn calls_that_find_no_place_to_wait_are_judged_at_once() -> Result<()> {
    let rules = "[op]\npay = \"POST /api/pay\"\n[[rule]]\nid = \"slow\"\nmode = \"enforce\"\non = [\"pay\"]\n\
        min_gap = { since = \"pay\", at_least = \"10s\" }\naction = \"delay\"\nscore = 0\n";
    let backend = Backend::start()?;
    let extra = format!("{PROTECT}{ADMIN}{rules}");
    let daemon = Daemon::start(&Wanted::enforcing(backend.address(), &extra))?;
    let mut client = Client::open(daemon.address())?;
    ensure!(client.call("POST", "/api/pay", "")?.status == 200);
    let mut waiting = Vec::new();
    for _ in 0..8 {
        let wire = Wire::connect(daemon.address())?;
        wire.stream().write_all(&client.request("POST", "/api/pay", "")?)?;
        waiting.push(wire);
    }
    // They are on their way; the one that finds no place any more is answered.
    let answer = loop {
        let mut wire = Wire::connect(daemon.address())?;
        wire.stream().set_read_timeout(Some(Duration::from_millis(300)))?;
        wire.stream().write_all(&client.request("POST", "/api/pay", "")?)?;
        match wire.answer() {
            Ok(answer) => break answer,
            Err(_) => waiting.push(wire),
        }
        ensure!(waiting.len() < 20, "all of them wait");
        thread::yield_now();
    };
    refused(&answer, 429, "quota-exceeded")?;
    // Whoever came later than it may have found no place either.
    ensure!(sample(&daemon, "portcullis_limits_reached_total{limit=\"held\"}")? >= 1);
    ensure!(backend.requests() == 1);
    Ok(())
}

/// Frames that ask for nothing do not keep a connection, and those that only cost end it.
#[test]
fn frames_that_ask_for_nothing_end_the_connection() -> Result<()> {
    let (backend, daemon) = gate("header_timeout = \"500ms\"", HTTP2)?;
    let open = raw::frame(raw::HEADERS, raw::END_HEADERS, 1, &raw::block(&HEAD));
    let half = raw::frame(raw::HEADERS, 0, 1, &raw::block(&HEAD));
    let ping = raw::frame(6, 0, 0, b"12345678");
    let settings = raw::frame(raw::SETTINGS, 0, 0, &[]);
    let window = raw::frame(raw::WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]);
    let priority = raw::frame(2, 0, 5, &[0, 0, 0, 0, 16]);
    let unknown = raw::frame(0x77, 0, 0, b"x");
    let nothing = raw::frame(raw::DATA, 0, 1, &[]);
    let more = raw::frame(raw::CONTINUATION, 0, 1, &[]);
    let none = Vec::new();
    let (mut idle, mut flood) = (0, 0);
    for (first, again, is_flood) in [
        (&none, &ping, false),
        (&none, &settings, false),
        (&none, &window, false),
        (&none, &priority, false),
        (&none, &unknown, false),
        (&half, &none, false),
        (&open, &nothing, true),
        (&half, &more, true),
    ] {
        let mut raw = Raw::connect(daemon.listener(1)?, &[])?;
        raw.send(first)?;
        let deadline = Instant::now() + Duration::from_secs(10);
        while raw.send(again).is_ok() {
            ensure!(Instant::now() < deadline, "{again:?} without end");
            if again.is_empty() {
                raw.farewell()?;
                break;
            }
            thread::sleep(Duration::from_millis(1));
        }
        if is_flood {
            flood += 1;
        } else {
            idle += 1;
        }
        counted(&daemon, "idle", idle)?;
        counted(&daemon, "flood", flood)?;
    }
    // The one that was begun in earnest.
    ensure!(backend.requests() <= 1);
    Ok(())
}
