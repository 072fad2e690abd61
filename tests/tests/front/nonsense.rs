//! Answers that two clients could read differently, or nobody: what the client gets in their place, and what the call after
//! it gets.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Result, ensure};
use portcullis_tests::client::{Wire, send};
use portcullis_tests::daemon::{Daemon, Wanted};

use super::limits::endless;
use super::{PROTECT, refused};

const OK: &str = "HTTP/1.1 200 OK\r\n";

/// Name, bytes behind `HTTP/1.1 200 OK`, unless they begin with a version.
const NONSENSE: &[(&str, &str)] = &[
    (
        "chunks and a length",
        "transfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    ),
    (
        "a longer length and chunks",
        "content-length: 99\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    ),
    ("two lengths", "content-length: 2\r\ncontent-length: 3\r\n\r\nhi!"),
    (
        "the same length twice",
        "content-length: 2\r\ncontent-length: 2\r\n\r\nhi",
    ),
    ("a list of lengths", "content-length: 2, 2\r\n\r\nhi"),
    ("a length with a sign", "content-length: +2\r\n\r\nhi"),
    ("a length that is octal to some", "content-length: 02\r\n\r\nhi"),
    (
        "a coding that is not taken off",
        "transfer-encoding: gzip, chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    ),
    (
        "chunks within something",
        "transfer-encoding: chunked, identity\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    ),
    (
        "no coding, spelled out",
        "transfer-encoding: identity\r\ncontent-length: 2\r\n\r\nhi",
    ),
    (
        "chunks twice",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    ),
    (
        "chunks in HTTP/1.0",
        "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    ),
    ("a bare CR", "x: a\rb\r\ncontent-length: 2\r\n\r\nhi"),
    ("NUL", "x: a\0b\r\ncontent-length: 2\r\n\r\nhi"),
    ("a fold", "x: a\r\n b\r\ncontent-length: 2\r\n\r\nhi"),
    ("a space before a colon", "x : a\r\ncontent-length: 2\r\n\r\nhi"),
    ("a small status", "HTTP/1.1 099 X\r\ncontent-length: 2\r\n\r\nhi"),
    ("a large status", "HTTP/1.1 1000 X\r\ncontent-length: 2\r\n\r\nhi"),
    ("another version", "HTTP/2 200 OK\r\ncontent-length: 2\r\n\r\nhi"),
    ("another protocol", "ICY 200 OK\r\ncontent-length: 2\r\n\r\nhi"),
    (
        "a body of 100",
        "HTTP/1.1 100 Go on\r\ncontent-length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\n\r\n",
    ),
    ("no HTTP", "<html>hi</html>\r\n\r\n"),
];

/// What is strange and has one reading: name, bytes, status and body.
const STRANGE: &[(&str, &str, u16, &str)] = &[
    ("HTTP/1.0", "HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nhi", 200, "hi"),
    (
        "answers before the answer",
        "HTTP/1.1 103 Early\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi",
        200,
        "hi",
    ),
    (
        "204 with a length",
        "HTTP/1.1 204 No\r\ncontent-length: 2\r\n\r\nhi",
        204,
        "",
    ),
    (
        "304 with a length",
        "HTTP/1.1 304 No\r\ncontent-length: 200\r\n\r\n",
        304,
        "",
    ),
    (
        "another answer behind the answer",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison",
        200,
        "hi",
    ),
    (
        "fields that belong to the hop",
        "HTTP/1.1 200 OK\r\nconnection: x-hidden\r\nx-hidden: 1\r\nupgrade: h2c\r\nkeep-alive: 5\r\ncontent-length: 2\r\n\r\nhi",
        200,
        "hi",
    ),
];

/// An application that answers everything but `/next` by these bytes.
fn application() -> Result<(SocketAddr, Arc<Mutex<String>>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let answer = Arc::new(Mutex::new(String::new()));
    let told = Arc::clone(&answer);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let told = Arc::clone(&told);
            thread::spawn(move || serve(stream, &told));
        }
    });
    Ok((address, answer))
}

fn serve(mut stream: TcpStream, told: &Mutex<String>) -> Result<()> {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        let answer = if head.starts_with(b"GET /next ") {
            format!("{OK}content-length: 4\r\n\r\nnext")
        } else {
            told.lock().unwrap_or_else(PoisonError::into_inner).clone()
        };
        stream.write_all(answer.as_bytes())?;
    }
}

fn call(daemon: &Daemon, told: &Mutex<String>, bytes: &str) -> Result<portcullis_tests::client::Answer> {
    bytes.clone_into(&mut told.lock().unwrap_or_else(PoisonError::into_inner));
    let answer = send(daemon.address(), b"GET /x HTTP/1.1\r\nhost: a\r\n\r\n")?;
    // Over every connection that may be kept.
    for _ in 0..4 {
        let next = send(daemon.address(), b"GET /next HTTP/1.1\r\nhost: a\r\n\r\n")?;
        ensure!(
            (next.status, next.body.as_str()) == (200, "next"),
            "{} {}",
            next.status,
            next.body
        );
    }
    Ok(answer)
}

#[test]
fn an_answer_that_has_two_readings_is_a_problem() -> Result<()> {
    let (upstream, told) = application()?;
    let daemon = Daemon::start(&Wanted::enforcing(upstream, PROTECT))?;
    let mut wrong = Vec::new();
    for (name, bytes) in NONSENSE {
        let whole = if ["HTTP", "ICY", "<"].iter().any(|start| bytes.starts_with(start)) {
            (*bytes).to_owned()
        } else {
            format!("{OK}{bytes}")
        };
        let answer = call(&daemon, &told, &whole)?;
        if let Err(error) = refused(&answer, 502, "upstream-unavailable") {
            wrong.push(format!("{name}: {error}"));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn an_answer_that_is_strange_passes_in_plain_words() -> Result<()> {
    let (upstream, told) = application()?;
    let daemon = Daemon::start(&Wanted::enforcing(upstream, PROTECT))?;
    for (name, bytes, status, body) in STRANGE {
        let answer = call(&daemon, &told, bytes)?;
        let seen = (answer.status, answer.body.as_str());
        ensure!(seen == (*status, *body), "{name}: {seen:?}");
        for field in ["connection", "keep-alive", "upgrade", "x-hidden"] {
            ensure!(!answer.headers.contains_key(field), "{name}: {field}");
        }
    }
    let mut wire = Wire::connect(daemon.address())?;
    let (_, bytes, ..) = STRANGE[0];
    bytes.clone_into(&mut told.lock().unwrap_or_else(PoisonError::into_inner));
    wire.stream()
        .write_all(b"GET /x HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")?;
    let said = String::from_utf8(wire.rest()?)?;
    ensure!(
        said.starts_with("HTTP/1.1 200 "),
        "the version is the gate's own: {said}"
    );
    Ok(())
}

/// Answers before the answer, without end: that call fails, and others over the same worker are served.
#[test]
fn an_application_that_never_comes_to_its_answer_is_a_problem() -> Result<()> {
    let before = b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n".repeat(1000);
    let address = endless(b"", &before)?;
    let daemon = Daemon::start(&Wanted {
        http: "workers = 1",
        ..Wanted::enforcing(address, PROTECT)
    })?;
    let mut calls = Vec::new();
    for _ in 0..4 {
        let wire = Wire::connect(daemon.address())?;
        wire.stream().write_all(b"GET /x HTTP/1.1\r\nhost: a\r\n\r\n")?;
        calls.push(wire);
    }
    let other = send(daemon.address(), b"GET /api/x HTTP/1.1\r\nhost: a\r\n\r\n")?;
    refused(&other, 401, "signature-required")?;
    for mut call in calls {
        refused(&call.answer()?, 502, "upstream-unavailable")?;
    }
    Ok(())
}
