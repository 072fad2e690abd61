//! HTTP/2 that would mean something else in HTTP/1.1: a table of heads and bodies, in front of a real backend. Whatever it
//! understands, the gate has judged.

use anyhow::{Result, ensure};
use portcullis_tests::client::send;
use portcullis_tests::daemon::{Daemon, Wanted};

use super::PROTECT;
use super::heads::HEADS;
use super::raw::{self, DATA, END_HEADERS, END_STREAM, HEADERS, Outcome, Raw};
use super::smuggling::Backend;

const CLEAR: &str = "[[listener]]\naddress = \"127.0.0.1:0\"\nhttp2 = true\n";

pub(super) type Fields = &'static [(&'static str, &'static str)];

const START: Fields = &[
    (":method", "POST"),
    (":scheme", "http"),
    (":authority", "a"),
    (":path", "/p"),
];

/// What follows a good head, and the bytes of the body.
const FIELDS: &[(&str, Fields, &str)] = &[
    ("a second path", &[(":path", "/api/secret")], ""),
    (
        "a pseudo-header after a field",
        &[("x", "y"), (":path", "/api/secret")],
        "",
    ),
    ("an unknown pseudo-header", &[(":x", "y")], ""),
    ("the pseudo-header of answers", &[(":status", "200")], ""),
    ("a protocol without CONNECT", &[(":protocol", "websocket")], ""),
    ("a name in capitals", &[("X-Y", "z")], ""),
    ("an empty name", &[("", "z")], ""),
    ("a name with a colon", &[("x: y\r\nz", "1")], ""),
    ("a name with a space", &[("x y", "1")], ""),
    ("a name with a line break", &[("x\r\ny", "1")], ""),
    (
        "a value with a line break",
        &[("x", "1\r\ntransfer-encoding: chunked")],
        "",
    ),
    (
        "a value with a request",
        &[("x", "1\r\n\r\nGET /api/secret HTTP/1.1\r\nhost: a")],
        "",
    ),
    ("a value with a bare LF", &[("x", "1\ny: 2")], ""),
    ("a value with a bare CR", &[("x", "1\ry: 2")], ""),
    ("a value with NUL", &[("x", "1\0")], ""),
    ("Connection", &[("connection", "close")], ""),
    (
        "Connection that names a field",
        &[("connection", "x-forwarded-for")],
        "",
    ),
    ("Keep-Alive", &[("keep-alive", "5")], ""),
    ("Proxy-Connection", &[("proxy-connection", "close")], ""),
    ("Upgrade", &[("upgrade", "h2c")], ""),
    (
        "Transfer-Encoding",
        &[("transfer-encoding", "chunked")],
        "0\r\n\r\nGET /api/secret HTTP/1.1\r\nhost: a\r\n\r\n",
    ),
    ("TE that is not trailers", &[("te", "gzip")], ""),
    ("a length beyond the body", &[("content-length", "5")], "hi"),
    ("a length short of the body", &[("content-length", "1")], "hi"),
    ("two lengths", &[("content-length", "2"), ("content-length", "3")], "hi"),
    (
        "the same length twice",
        &[("content-length", "2"), ("content-length", "2")],
        "hi",
    ),
    ("a length with a sign", &[("content-length", "+2")], "hi"),
    ("another Host", &[("host", "b")], ""),
    ("two Hosts", &[("host", "a"), ("host", "a")], ""),
    (
        "a method override",
        &[("x-http-method-override", "PUT"), ("x-method-override", "PUT")],
        "",
    ),
    ("a name with an underscore", &[("content_length", "50")], ""),
    ("our name with an underscore", &[("portcullis_session", "x")], ""),
    ("a second method", &[(":method", "GET")], ""),
    ("a second scheme", &[(":scheme", "http")], ""),
    ("a second authority", &[(":authority", "b")], ""),
    ("Host with the port", &[("host", "a:80")], ""),
    ("Host empty", &[("host", "")], ""),
    ("TE of trailers and more", &[("te", "trailers, x")], ""),
    ("a length with a zero in front", &[("content-length", "02")], "hi"),
    ("an empty length", &[("content-length", "")], "hi"),
    ("a length behind a space", &[("content-length", " 2")], "hi"),
    ("a value behind a space", &[("x", " y")], ""),
    ("a value before a tab", &[("x", "y\t")], ""),
    (
        "a form behind a space",
        &[("content-type", " application/x-www-form-urlencoded")],
        "_method=DELETE",
    ),
    (
        "two types of content",
        &[
            ("content-type", "application/json"),
            ("content-type", "application/x-www-form-urlencoded"),
        ],
        "_method=DELETE",
    ),
    ("a value with DEL", &[("x", "\x7f")], ""),
    ("a name that is not ASCII", &[("x\u{e9}", "y")], ""),
    ("a name with NUL", &[("x\0", "y")], ""),
    ("a crumb with a bare CR", &[("cookie", "a=1"), ("cookie", "b=\r2")], ""),
];

/// Sends one request over a connection of its own, and says what became of it.
fn ask(daemon: &Daemon, fields: &[(&str, &str)], body: &str) -> Result<Outcome> {
    let mut raw = Raw::connect(daemon.listener(1)?, &[])?;
    let flags = if body.is_empty() {
        END_HEADERS | END_STREAM
    } else {
        END_HEADERS
    };
    raw.send(&raw::frame(HEADERS, flags, 1, &raw::block(fields)))?;
    if !body.is_empty() {
        raw.send(&raw::frame(DATA, END_STREAM, 1, body.as_bytes()))?;
    }
    raw.outcome(1)
}

#[test]
fn no_backend_sees_what_only_http2_can_say() -> Result<()> {
    let backend = Backend::start("node", "backend.mjs")?;
    let extra = format!("{PROTECT}{CLEAR}");
    let daemon = Daemon::start(&Wanted::enforcing(backend.address, &extra))?;
    ensure!(ask(&daemon, START, "hi")? == Outcome::Status(200));
    ensure!(backend.seen()? == ["POST /p 2"]);
    let with_start = FIELDS
        .iter()
        .map(|(name, fields, body)| (*name, [START, fields].concat(), *body));
    let whole = HEADS.iter().map(|(name, fields)| (*name, fields.to_vec(), ""));
    let mut wrong = Vec::new();
    for (name, fields, body) in with_start.chain(whole) {
        let outcome = ask(&daemon, &fields, body)?;
        let is_refused = match outcome {
            Outcome::Status(status) => (400..500).contains(&status) || status == 502,
            Outcome::Reset(_) | Outcome::Ended(_) => true,
            Outcome::Closed => false,
        };
        let seen = backend.seen()?;
        if !is_refused || !seen.is_empty() {
            wrong.push(format!("{name}: {outcome:?}, and the backend saw {seen:?}"));
        }
        let next = send(daemon.address(), b"GET /next HTTP/1.1\r\nhost: a\r\n\r\n")?;
        ensure!(
            next.status == 200 && backend.seen()? == ["GET /next 0"],
            "{name}: {next:?}"
        );
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// What HTTP/2 may say, and how HTTP/1.1 says it.
#[test]
fn what_passes_is_what_was_judged() -> Result<()> {
    let backend = Backend::start("node", "backend.mjs")?;
    let extra = format!("{PROTECT}{CLEAR}");
    let daemon = Daemon::start(&Wanted::enforcing(backend.address, &extra))?;
    let to = |path: &'static str| [&START[..3], &[(":path", path)]].concat();
    let with = |more: Fields| [START, more].concat();
    for (fields, body, call) in [
        (to("/p#/api/secret"), "", "POST /p 0"),
        (to("/p?a#/api/secret"), "", "POST /p?a 0"),
        (to("//b/api/secret"), "", "POST /b/api/secret 0"),
        (with(&[("host", "a")]), "hi", "POST /p 2"),
        (with(&[("te", "trailers")]), "hi", "POST /p 2"),
        (
            with(&[("expect", "100-continue"), ("content-length", "2")]),
            "hi",
            "POST /p 2",
        ),
        (
            with(&[("portcullis-session", "x"), ("client-ip", "192.0.2.1")]),
            "",
            "POST /p 0",
        ),
    ] {
        ensure!(ask(&daemon, &fields, body)? == Outcome::Status(200), "{fields:?}");
        let seen = backend.seen()?;
        ensure!(seen == [call], "{fields:?}: {seen:?}");
    }
    Ok(())
}

/// What is wrong behind a good head: the call may have gone out by then, as it was judged.
#[test]
fn what_follows_a_good_head_goes_nowhere() -> Result<()> {
    let backend = Backend::start("node", "backend.mjs")?;
    let extra = format!("{PROTECT}{CLEAR}");
    let daemon = Daemon::start(&Wanted::enforcing(backend.address, &extra))?;
    let hidden = b"GET /api/secret HTTP/1.1\r\nhost: a\r\n\r\n";
    let trailers = |fields| raw::frame(HEADERS, END_HEADERS | END_STREAM, 1, &raw::block(fields));
    let empty = raw::block(&[START, &[("content-length", "0")]].concat());
    for (frames, call) in [
        (
            [
                raw::frame(HEADERS, END_HEADERS, 1, &raw::block(START)),
                raw::frame(DATA, 0, 1, b"hi"),
                trailers(&[(":path", "/api/secret")]),
            ],
            "POST /p 2",
        ),
        (
            [
                raw::frame(HEADERS, END_HEADERS, 1, &raw::block(START)),
                raw::frame(DATA, 0, 1, b"hi"),
                trailers(&[("content-length", "9"), ("host", "b"), ("portcullis-session", "x")]),
            ],
            "POST /p 2",
        ),
        (
            [
                raw::frame(HEADERS, END_HEADERS, 1, &raw::block(START)),
                raw::frame(DATA, 0, 1, b"hi"),
                trailers(&[("transfer-encoding", "chunked")]),
            ],
            "POST /p 2",
        ),
        (
            [
                raw::frame(HEADERS, END_HEADERS, 1, &empty),
                raw::frame(DATA, 0, 1, hidden),
                raw::frame(DATA, END_STREAM, 1, b""),
            ],
            "POST /p 0",
        ),
    ] {
        let mut raw = Raw::connect(daemon.listener(1)?, &[])?;
        raw.send(&frames.concat())?;
        let outcome = raw.outcome(1)?;
        // Whatever came of it has come before this.
        ensure!(send(daemon.address(), b"GET /next HTTP/1.1\r\nhost: a\r\n\r\n")?.status == 200);
        let mut seen = backend.seen()?;
        seen.retain(|seen| seen != "GET /next 0");
        ensure!(seen.is_empty() || seen == [call], "{outcome:?}, {seen:?}");
    }
    Ok(())
}
