//! Requests that two servers could read differently, in front of three real backends with parsers of their own: a table of
//! bytes, and what the backend may have understood of them. Whatever it understands, the gate has judged.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use portcullis_tests::client::send;
use portcullis_tests::daemon::{Daemon, Wanted};

use super::cases;
use super::nginx::Nginx;

/// A call that is hidden behind another, to a path that must be signed.
const HIDDEN: &str = "GET /api/secret HTTP/1.1\r\nhost: a\r\n\r\n";

/// What the gate makes of a case.
pub(super) enum Verdict {
    /// The backend sees nothing.
    Refused,
    /// The backend sees this call, with this many bytes of body, and nothing else.
    Passes(&'static str),
    /// Either of the two: what counts is that nothing else is seen.
    Either(&'static str),
}

use Verdict::{Either, Passes, Refused};

/// Name, bytes, verdict. `{H}` is the hidden call.
const CASES: &[(&str, &str, Verdict)] = &[
    (
        "plain",
        "POST /p HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhi",
        Passes("POST /p 2"),
    ),
    (
        "chunked",
        "POST /p HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        Passes("POST /p 2"),
    ),
    (
        "CL.TE",
        "POST /p HTTP/1.1\r\nhost: a\r\ncontent-length: 6\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{H}",
        Either("POST /p 0"),
    ),
    (
        "TE.CL",
        "POST /p HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n25\r\n{H}\r\n0\r\n\r\n",
        Either("POST /p 37"),
    ),
    (
        "TE.TE",
        "POST /p HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ntransfer-encoding: x\r\n\r\n0\r\n\r\n{H}",
        Refused,
    ),
    (
        "TE twice",
        "POST /p HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        Refused,
    ),
    (
        "TE list",
        "POST /p HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n{H}",
        Refused,
    ),
    (
        "TE gzip",
        "POST /p HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        Refused,
    ),
    (
        "TE unknown",
        "POST /p HTTP/1.1\r\nhost: a\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n{H}",
        Refused,
    ),
    (
        "TE with a quote",
        "POST /p HTTP/1.1\r\nhost: a\r\ntransfer-encoding: \"chunked\"\r\n\r\n0\r\n\r\n{H}",
        Refused,
    ),
    (
        "TE with a tab",
        "POST /p HTTP/1.1\r\nhost: a\r\ntransfer-encoding:\tchunked\r\n\r\n0\r\n\r\n",
        Either("POST /p 0"),
    ),
    (
        "TE with a vertical tab",
        "POST /p HTTP/1.1\r\nhost: a\r\ntransfer-encoding: \x0bchunked\r\n\r\n0\r\n\r\n{H}",
        Refused,
    ),
    (
        "TE with a space before the colon",
        "POST /p HTTP/1.1\r\nhost: a\r\ntransfer-encoding : chunked\r\n\r\n0\r\n\r\n{H}",
        Refused,
    ),
    (
        "TE folded",
        "POST /p HTTP/1.1\r\nhost: a\r\ntransfer-encoding:\r\n chunked\r\n\r\n0\r\n\r\n{H}",
        Refused,
    ),
    (
        "TE under another name",
        "POST /p HTTP/1.1\r\nhost: a\r\ntransfer_encoding: chunked\r\ncontent-length: 2\r\n\r\nhi",
        Refused,
    ),
    (
        "TE in HTTP/1.0",
        "POST /p HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{H}",
        Refused,
    ),
    (
        "CL twice, different",
        "POST /p HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nhi!{H}",
        Refused,
    ),
    (
        "CL twice, the same",
        "POST /p HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nhi",
        Passes("POST /p 2"),
    ),
    (
        "CL list",
        "POST /p HTTP/1.1\r\nhost: a\r\ncontent-length: 2, 2\r\n\r\nhi",
        Refused,
    ),
    (
        "CL with a sign",
        "POST /p HTTP/1.1\r\nhost: a\r\ncontent-length: +2\r\n\r\nhi{H}",
        Refused,
    ),
    (
        "CL negative",
        "POST /p HTTP/1.1\r\nhost: a\r\ncontent-length: -2\r\n\r\nhi{H}",
        Refused,
    ),
    (
        "CL hexadecimal",
        "POST /p HTTP/1.1\r\nhost: a\r\ncontent-length: 0x2\r\n\r\nhi{H}",
        Refused,
    ),
    (
        "CL with a letter",
        "POST /p HTTP/1.1\r\nhost: a\r\ncontent-length: 2a\r\n\r\nhi{H}",
        Refused,
    ),
    (
        "CL empty",
        "POST /p HTTP/1.1\r\nhost: a\r\ncontent-length:\r\n\r\n{H}",
        Refused,
    ),
    (
        "CL beyond 64 bits",
        "POST /p HTTP/1.1\r\nhost: a\r\ncontent-length: 18446744073709551618\r\n\r\nhi{H}",
        Refused,
    ),
    (
        "CL under another name",
        "POST /p HTTP/1.1\r\nhost: a\r\ncontent_length: 50\r\ncontent-length: 2\r\n\r\nhi",
        Refused,
    ),
    (
        "a body of GET",
        "GET /p HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhi",
        Passes("GET /p 2"),
    ),
    (
        "chunk size with a sign",
        "POST /p HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n+2\r\nhi\r\n0\r\n\r\n{H}",
        Refused,
    ),
    (
        "chunk size with 0x",
        "POST /p HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0x2\r\nhi\r\n0\r\n\r\n{H}",
        Refused,
    ),
    (
        "chunk size that overflows",
        "POST /p HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n10000000000000002\r\nhi\r\n0\r\n\r\n{H}",
        Refused,
    ),
    (
        "chunk extension",
        "POST /p HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2;a=b\r\nhi\r\n0\r\n\r\n",
        Either("POST /p 2"),
    ),
    (
        "chunk extension with a bare LF",
        "POST /p HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2;\n{H}\r\n0\r\n\r\n",
        Refused,
    ),
    (
        "chunk without its end",
        "POST /p HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhiXX0\r\n\r\n{H}",
        Refused,
    ),
    (
        "chunk ended by a bare LF",
        "POST /p HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\nhi\n0\n\n{H}",
        Refused,
    ),
    (
        "trailer with a length",
        "POST /p HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\ncontent-length: 9\r\n\r\n",
        Either("POST /p 2"),
    ),
    (
        "field folded",
        "GET /p HTTP/1.1\r\nhost: a\r\nx: 1\r\n y: 2\r\n\r\n",
        Refused,
    ),
    (
        "bare CR in a field",
        "GET /p HTTP/1.1\r\nhost: a\r\nx: 1\ry: 2\r\n\r\n",
        Refused,
    ),
    (
        "NUL in a field",
        "GET /p HTTP/1.1\r\nhost: a\r\nx: 1\0\r\n\r\n",
        Refused,
    ),
    ("no colon", "GET /p HTTP/1.1\r\nhost: a\r\nxyz\r\n\r\n", Refused),
    ("empty name", "GET /p HTTP/1.1\r\nhost: a\r\n: x\r\n\r\n", Refused),
    (
        "space in a name",
        "GET /p HTTP/1.1\r\nhost: a\r\nx y: 1\r\n\r\n",
        Refused,
    ),
    (
        "space before the first field",
        "GET /p HTTP/1.1\r\n host: a\r\nhost: a\r\n\r\n",
        Refused,
    ),
    ("host twice", "GET /p HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", Refused),
    (
        "host and another target",
        "GET http://b/p HTTP/1.1\r\nhost: a\r\n\r\n",
        Refused,
    ),
    ("no host", "GET /p HTTP/1.1\r\n\r\n", Refused),
    ("host with a path", "GET /p HTTP/1.1\r\nhost: a/api\r\n\r\n", Refused),
    ("space in the target", "GET /p /q HTTP/1.1\r\nhost: a\r\n\r\n", Refused),
    (
        "tab in the request line",
        "GET\t/p\tHTTP/1.1\r\nhost: a\r\n\r\n",
        Refused,
    ),
    (
        "fragment in the target",
        "GET /p#/api HTTP/1.1\r\nhost: a\r\n\r\n",
        Either("GET /p 0"),
    ),
    ("another version", "GET /p HTTP/1.2\r\nhost: a\r\n\r\n", Refused),
    ("the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Refused),
    ("target without a slash", "GET p HTTP/1.1\r\nhost: a\r\n\r\n", Refused),
    (
        "dot segments to what is protected",
        "GET /p/../api/secret HTTP/1.1\r\nhost: a\r\n\r\n",
        Refused,
    ),
    (
        "escaped letters of what is protected",
        "GET /%61pi/secret HTTP/1.1\r\nhost: a\r\n\r\n",
        Refused,
    ),
    (
        "escaped slash",
        "GET /p%2f..%2fapi/secret HTTP/1.1\r\nhost: a\r\n\r\n",
        Refused,
    ),
    (
        "backslash",
        "GET /p\\..\\api\\secret HTTP/1.1\r\nhost: a\r\n\r\n",
        Refused,
    ),
    ("double slash", "GET //api/secret HTTP/1.1\r\nhost: a\r\n\r\n", Refused),
    (
        "Connection takes a field away",
        "GET /p HTTP/1.1\r\nhost: a\r\nconnection: x-forwarded-for, close\r\n\r\n",
        Refused,
    ),
    (
        "Connection takes the length away",
        "POST /p HTTP/1.1\r\nhost: a\r\nconnection: content-length\r\ncontent-length: 2\r\n\r\nhi",
        Refused,
    ),
    (
        "an upgrade that hides",
        "GET /p HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n{H}",
        Passes("GET /p 0"),
    ),
    (
        "Expect that hides",
        "POST /p HTTP/1.1\r\nhost: a\r\nexpect: x\r\ncontent-length: 2\r\n\r\nhi",
        Either("POST /p 2"),
    ),
    ("CONNECT", "CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\n\r\n{H}", Refused),
    ("TRACE", "TRACE /p HTTP/1.1\r\nhost: a\r\n\r\n", Refused),
    (
        "a method that is overridden twice",
        "POST /p HTTP/1.1\r\nhost: a\r\nx-http-method-override: PUT\r\nx-http-method-override: DELETE\r\ncontent-length: 0\r\n\r\n",
        Refused,
    ),
];

/// The bytes of all cases.
pub(super) fn all() -> impl Iterator<Item = String> {
    let all = CASES.iter().chain(cases::CASES);
    all.map(|(_, bytes, _)| bytes.replace("{H}", HIDDEN))
}

/// A real application, which says what it understood.
pub(super) struct Backend {
    child: Child,
    pub(super) address: SocketAddr,
}

impl Backend {
    pub(super) fn start(program: &str, file: &str) -> Result<Self> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("smuggling").join(file);
        let mut child = Command::new(program)
            .arg(path)
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{program} is needed"))?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("no stdout")?).read_line(&mut line)?;
        let port: u16 = line
            .trim()
            .parse()
            .with_context(|| format!("{program} did not start"))?;
        let address = ([127, 0, 0, 1], port).into();
        Ok(Self { child, address })
    }

    /// What it understood since the last time.
    pub(super) fn seen(&self) -> Result<Vec<String>> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.write_all(b"GET /seen HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (_, body) = answer.split_once("\r\n\r\n").context("no answer")?;
        let is_call = |line: &&str| line.starts_with(|letter: char| letter.is_ascii_uppercase());
        Ok(body.lines().filter(is_call).map(str::to_owned).collect())
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends everything and reads answers, the first of which comes in time or the connection ends, until no other has come for
/// a moment.
fn converse(address: SocketAddr, bytes: &[u8]) -> Result<String> {
    const MOMENT: Duration = Duration::from_millis(200);
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    // The gate may close before it has read everything.
    let _ = stream.write_all(bytes);
    let mut answer = vec![0; 1];
    if stream.read_exact(&mut answer).is_err() {
        return Ok(String::new());
    }
    stream.set_read_timeout(Some(MOMENT))?;
    let _ = stream.read_to_end(&mut answer);
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// `seen` tells what the backend understood.
fn no_backend_sees_what_was_not_judged(
    (program, address): (&str, SocketAddr),
    seen: impl Fn() -> Result<Vec<String>>,
) -> Result<()> {
    let daemon = Daemon::start(&Wanted {
        http: "header_timeout = \"1s\"\nbody_timeout = \"1s\"",
        ..Wanted::enforcing(address, super::PROTECT)
    })?;
    let mut wrong = Vec::new();
    for (name, bytes, verdict) in CASES.iter().chain(cases::CASES) {
        let answer = converse(daemon.address(), bytes.replace("{H}", HIDDEN).as_bytes())?;
        let seen_of_it = seen()?;
        let is_right = match verdict {
            Refused => seen_of_it.is_empty() && !answer.starts_with("HTTP/1.1 2"),
            Passes(call) => seen_of_it == [*call],
            Either(call) => seen_of_it.is_empty() || seen_of_it == [*call],
        };
        if !is_right {
            wrong.push(format!("{name}: {program} saw {seen_of_it:?}; the client {answer:?}"));
        }
        // A pooled connection that a request has poisoned would show it to the next one.
        let next = send(daemon.address(), b"GET /next HTTP/1.1\r\nhost: a\r\n\r\n")?;
        ensure!(
            next.status == 200 && next.body == "ok",
            "{name}: then {} {}",
            next.status,
            next.body
        );
        ensure!(seen()? == ["GET /next 0"], "{name}: the next request was another");
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn node_sees_nothing_that_was_not_judged() -> Result<()> {
    let backend = Backend::start("node", "backend.mjs")?;
    no_backend_sees_what_was_not_judged(("node", backend.address), || backend.seen())
}

#[test]
fn python_sees_nothing_that_was_not_judged() -> Result<()> {
    let backend = Backend::start("python3", "backend.py")?;
    no_backend_sees_what_was_not_judged(("python3", backend.address), || backend.seen())
}

#[test]
fn nginx_sees_nothing_that_was_not_judged() -> Result<()> {
    let nginx = Nginx::start()?;
    no_backend_sees_what_was_not_judged(("nginx", nginx.address), || nginx.seen())
}

/// Somebody in between may see the next request begin elsewhere.
#[test]
fn a_request_that_is_framed_in_two_ways_is_the_last_of_its_connection() -> Result<()> {
    let backend = portcullis_tests::backend::Backend::start()?;
    let daemon = Daemon::start(&Wanted::enforcing(backend.address(), super::PROTECT))?;
    for framing in [
        "content-length: 6\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ncontent-length: 4",
        "transfer-encoding: ,chunked",
    ] {
        let next = "GET /q HTTP/1.1\r\nhost: a\r\n\r\n";
        let bytes = format!("POST /p HTTP/1.1\r\nhost: a\r\n{framing}\r\n\r\n0\r\n\r\n{next}");
        let mut wire = portcullis_tests::client::Wire::connect(daemon.address())?;
        wire.stream().write_all(bytes.as_bytes())?;
        wire.answer()?;
        ensure!(wire.rest()?.is_empty(), "{framing}: another answer");
    }
    Ok(())
}
