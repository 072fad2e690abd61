//! Proxies in front of the gate: whom they speak for, and who only claims to be one.

use std::io::Write;
use std::os::unix::net::UnixStream;

use anyhow::{Result, ensure};
use portcullis_tests::client::{Answer, Client, Wire};

use super::{gate, refused};

const TRUSTED: &str = "trusted_proxies = [\"127.0.0.0/8\"]";
const PROXY: &str = "[[listener]]\naddress = \"127.0.0.1:0\"\nproxy_protocol = true\n";
const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n";

/// Whom the application takes for the client.
fn client_of(answer: &Answer) -> &str {
    let field = answer
        .body
        .lines()
        .find_map(|line| line.strip_prefix("x-forwarded-for: "));
    field.unwrap_or_default()
}

#[test]
fn strangers_are_not_believed() -> Result<()> {
    let (_, daemon) = gate("", "")?;
    let spoofed = "x-forwarded-for: 203.0.113.7\r\nforwarded: for=203.0.113.7\r\nx-real-ip: 203.0.113.7\r\n\
                   client-ip: 203.0.113.7\r\ntrue-client-ip: 203.0.113.7\r\ncf-connecting-ip: 203.0.113.7\r\n\
                   proxy: http://evil\r\nx-sendfile-type: evil\r\nx-accel-mapping: evil\r\n\
                   x-forwarded-proto: https\r\nx-forwarded-host: evil\r\nportcullis-user: root\r\n";
    let answer = Wire::connect(daemon.address())?.exchange(format!("{GET}{spoofed}\r\n").as_bytes())?;
    ensure!(client_of(&answer) == "127.0.0.1", "{}", answer.body);
    ensure!(answer.body.contains("x-forwarded-proto: http\r\n"), "{}", answer.body);
    for left in ["203.0.113.7", "evil", "root"] {
        ensure!(!answer.body.contains(left), "{}", answer.body);
    }
    Ok(())
}

#[test]
fn trusted_proxies_are_believed_from_the_right() -> Result<()> {
    let (_, daemon) = gate(TRUSTED, "")?;
    let fields = "x-forwarded-for: 1.1.1.1, 203.0.113.7, 127.0.0.9\r\nx-forwarded-proto: https\r\n";
    let answer = Wire::connect(daemon.address())?.exchange(format!("{GET}{fields}\r\n").as_bytes())?;
    ensure!(client_of(&answer) == "203.0.113.7", "{}", answer.body);
    ensure!(answer.body.contains("x-forwarded-proto: https\r\n"), "{}", answer.body);
    Ok(())
}

#[test]
fn the_application_learns_host_trace_and_score() -> Result<()> {
    let (_, daemon) = gate("traceparent = true", "")?;
    let mut client = Client::open(daemon.address())?;
    let answer = client.call("GET", "/api/a", "")?;
    for field in [
        "portcullis-score: 0",
        &format!("x-forwarded-host: {}", daemon.address()),
        "traceparent: 00-",
    ] {
        ensure!(answer.body.contains(field), "{field}: {}", answer.body);
    }
    Ok(())
}

#[test]
fn the_gate_is_a_span_of_the_traces_of_those_whom_it_believes() -> Result<()> {
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    let fields = format!("traceparent: 00-{TRACE}-00f067aa0ba902b7-01\r\ntracestate: vendor=1\r\n");
    let told = |answer: &Answer, name: &str| {
        let line = answer
            .body
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.unwrap_or_default().to_owned()
    };
    let (_, strict) = gate("traceparent = true", "")?;
    let stranger = Wire::connect(strict.address())?.exchange(format!("{GET}{fields}\r\n").as_bytes())?;
    ensure!(!told(&stranger, "traceparent").contains(TRACE), "{}", stranger.body);
    ensure!(told(&stranger, "tracestate").is_empty(), "{}", stranger.body);
    let mut client = Client::open(strict.address())?;
    let call = String::from_utf8(client.request("GET", "/api/a", "")?)?;
    let call = call.replacen("\r\n", &format!("\r\n{fields}"), 1);
    let signed = Wire::connect(strict.address())?.exchange(call.as_bytes())?;
    let (_, proxied) = gate(&format!("{TRUSTED}\ntraceparent = true"), "")?;
    let by_proxy = Wire::connect(proxied.address())?.exchange(format!("{GET}{fields}\r\n").as_bytes())?;
    for answer in [&signed, &by_proxy] {
        let traceparent = told(answer, "traceparent");
        ensure!(traceparent.starts_with(&format!("00-{TRACE}-")), "{}", answer.body);
        ensure!(
            traceparent.ends_with("-01") && !traceparent.contains("00f067aa0ba902b7"),
            "{traceparent}"
        );
        ensure!(told(answer, "tracestate") == "vendor=1", "{}", answer.body);
    }
    let (_, off) = gate("", "")?;
    let as_it_comes = Wire::connect(off.address())?.exchange(format!("{GET}{fields}\r\n").as_bytes())?;
    ensure!(as_it_comes.body.contains(&fields), "{}", as_it_comes.body);
    Ok(())
}

#[test]
fn the_field_can_be_chosen() -> Result<()> {
    let other = "trusted_proxies = [\"127.0.0.1\"]\nclient_address = \"CF-Connecting-IP\"";
    let (_, daemon) = gate(other, "")?;
    let fields = "x-forwarded-for: 1.1.1.1\r\ncf-connecting-ip: 203.0.113.7\r\n";
    let answer = Wire::connect(daemon.address())?.exchange(format!("{GET}{fields}\r\n").as_bytes())?;
    ensure!(client_of(&answer) == "203.0.113.7", "{}", answer.body);
    // Any name; the application gets what the gate makes of it.
    let other = "trusted_proxies = [\"127.0.0.1\"]\nclient_address = \"X-Edge-Saw\"";
    let (_, daemon) = gate(other, "")?;
    let answer =
        Wire::connect(daemon.address())?.exchange(format!("{GET}x-edge-saw: 203.0.113.7\r\n\r\n").as_bytes())?;
    ensure!(client_of(&answer) == "203.0.113.7", "{}", answer.body);
    ensure!(!answer.body.contains("x-edge-saw"), "{}", answer.body);
    Ok(())
}

#[test]
fn a_client_behind_a_proxy_is_banned_and_its_neighbours_go_on() -> Result<()> {
    let (_, daemon) = gate(TRUSTED, "")?;
    let mut wire = Wire::connect(daemon.address())?;
    let mut from = |client: &str| wire.exchange(format!("{GET}x-forwarded-for: {client}\r\n\r\n").as_bytes());
    daemon.cli(&["ban", "add", "203.0.113.7", "--for", "1h"])?;
    refused(&from("203.0.113.7")?, 403, "banned")?;
    ensure!(
        from("203.0.113.8")?.status == 200,
        "the proxy's connection carries others"
    );
    ensure!(
        daemon.cli(&["ban", "add", "127.0.0.1", "--for", "1h"]).is_err(),
        "the proxy itself"
    );
    Ok(())
}

#[test]
fn a_banned_session_does_not_cost_others_the_proxys_connection() -> Result<()> {
    let (_, daemon) = gate(TRUSTED, "[score]\nsession_threshold = 50\n")?;
    let mut wire = Wire::connect(daemon.address())?;
    let mut client = Client::open_over(&mut wire, daemon.address())?;
    let mut last = None;
    for _ in 0..3 {
        // The same call with other bytes behind a digest that no longer fits costs the session points.
        let call = String::from_utf8(client.request("POST", "/api/a", "{}")?)?;
        last = Some(wire.exchange(call.replace("\r\n\r\n{}", "\r\n\r\n[]").as_bytes())?);
    }
    ensure!(
        last.is_some_and(|answer| answer.problem() == "banned"),
        "the session is not banned"
    );
    ensure!(
        wire.exchange(format!("{GET}\r\n").as_bytes())?.status == 200,
        "its connection ended"
    );
    Ok(())
}

#[test]
fn the_proxy_protocol_names_the_client() -> Result<()> {
    let (_, daemon) = gate(TRUSTED, PROXY)?;
    let v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xcb\0\x71\x09\x0a\0\0\x01\x13\x88\x01\xbb";
    for (header, client) in [
        (&b"PROXY TCP4 203.0.113.7 10.0.0.1 5000 443\r\n"[..], "203.0.113.7"),
        (b"PROXY TCP6 2001:db8::7 2001:db8::1 5000 443\r\n", "2001:db8::7"),
        (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
        (v2, "203.0.113.9"),
    ] {
        let mut wire = Wire::connect(daemon.listener(1)?)?;
        // In two pieces, the second with the request.
        let (first, second) = header.split_at(header.len() / 2);
        wire.stream().write_all(first)?;
        let answer = wire.exchange(&[second, GET.as_bytes(), b"\r\n"].concat())?;
        ensure!(client_of(&answer) == client, "{}", answer.body);
    }
    Ok(())
}

#[test]
fn the_proxy_protocol_is_mandatory_and_for_trusted_proxies_only() -> Result<()> {
    let short = format!("{TRUSTED}\nheader_timeout = \"500ms\"");
    let (backend, daemon) = gate(&short, PROXY)?;
    let header = "PROXY TCP4 203.0.113.7 10.0.0.1 5000 443\r\n";
    for bytes in [
        format!("{GET}\r\n"),
        "PROXY TCP4 203.0.113.7".into(),
        "PROXY NONSENSE\r\n".into(),
    ] {
        ensure!(
            Wire::connect(daemon.listener(1)?)?.exchange(bytes.as_bytes()).is_err(),
            "{bytes}"
        );
    }
    let (_, stranger) = gate("", PROXY)?;
    let request = format!("{header}{GET}\r\n");
    ensure!(
        Wire::connect(stranger.listener(1)?)?
            .exchange(request.as_bytes())
            .is_err()
    );
    ensure!(backend.requests() == 0);
    for (daemon, limit, times) in [
        (&daemon, "proxy-header", 2),
        (&daemon, "handshake", 1),
        (&stranger, "untrusted", 1),
    ] {
        let status: serde_json::Value = serde_json::from_str(&daemon.cli(&["--json", "status"])?)?;
        ensure!(status["connections"]["limits"][limit] == times, "{limit}: {status}");
    }
    ensure!(stranger.cli(&["status"])?.contains("untrusted"));
    Ok(())
}

#[test]
fn who_connects_to_a_unix_socket_is_a_trusted_proxy() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("http.sock");
    let (_, daemon) = gate("", &format!("[[listener]]\naddress = \"unix:{}\"\n", path.display()))?;
    let mut wire = Wire::of(UnixStream::connect(&path)?);
    let answer = wire.exchange(format!("{GET}x-forwarded-for: 203.0.113.7\r\n\r\n").as_bytes())?;
    ensure!(client_of(&answer) == "203.0.113.7", "{}", answer.body);
    let mut client = Client::open(daemon.address())?;
    ensure!(wire.exchange(&client.request("GET", "/api/a", "")?)?.status == 200);
    Ok(())
}

#[test]
fn one_source_has_so_many_connections() -> Result<()> {
    let (_, daemon) = gate("max_connections_per_source = 3", "")?;
    let get = format!("{GET}\r\n");
    let mut open = Vec::new();
    for _ in 0..3 {
        let mut wire = Wire::connect(daemon.address())?;
        ensure!(wire.exchange(get.as_bytes())?.status == 200);
        open.push(wire);
    }
    let fourth = Wire::connect(daemon.address())?.exchange(get.as_bytes())?;
    refused(&fourth, 429, "quota-exceeded")?;
    ensure!(fourth.headers["retry-after"] == "1");
    open.pop();
    // The daemon learns of the end in its own time.
    while Wire::connect(daemon.address())?.exchange(get.as_bytes())?.status != 200 {}
    Ok(())
}
