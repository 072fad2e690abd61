//! TLS: versions, certificates by name, resumption, renewal, and what the handshake says of a client.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use portcullis_tests::client::{Client, Wire};
use portcullis_tests::daemon::Daemon;
use portcullis_tests::tls::{self, Certificates, TlsLine};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, HandshakeKind, ProtocolVersion};

use super::limits::{ADMIN, counted};
use super::{gate, refused};

fn listener(certificates: &str, more: &str) -> String {
    format!("[[listener]]\naddress = \"127.0.0.1:0\"\ntls = {{ certificates = [{certificates}]{more} }}\n")
}

/// The certificate that a client gets which asks for a host.
fn presented(daemon: &Daemon, host: &str, config: &Arc<ClientConfig>) -> Result<Vec<u8>> {
    let line = tls::connect(daemon.listener(1)?, host, config)?;
    let certificates = line.conn.peer_certificates().unwrap_or_default();
    Ok(certificates.first().map(|first| first.to_vec()).unwrap_or_default())
}

#[test]
fn a_signed_call_passes_over_both_versions() -> Result<()> {
    let certificates = Certificates::new()?;
    let pair = certificates.write("a", &["shop.example"], 2090)?;
    let (_, daemon) = gate("", &listener(&pair, ""))?;
    for (version, name) in [(&TLS12, ProtocolVersion::TLSv1_2), (&TLS13, ProtocolVersion::TLSv1_3)] {
        let mut client = Client::open(daemon.address())?;
        let config = tls::client(&[version], &[b"http/1.1"])?;
        let line = tls::connect(daemon.listener(1)?, "shop.example", &config)?;
        ensure!(line.conn.protocol_version() == Some(name));
        ensure!(line.conn.alpn_protocol() == Some(&b"http/1.1"[..]));
        // The client would rather have AES-256.
        let suite = line.conn.negotiated_cipher_suite().map(|suite| suite.suite());
        let suite = suite.and_then(|suite| suite.as_str()).unwrap_or_default();
        ensure!(suite.ends_with("AES_128_GCM_SHA256"), "{suite}");
        let mut wire = Wire::of(line);
        for _ in 0..3 {
            let answer = wire.exchange(&client.request("POST", "/api/orders", "{}")?)?;
            ensure!(answer.status == 200, "{}", answer.body);
            ensure!(answer.body.contains("x-forwarded-proto: https"), "{}", answer.body);
        }
    }
    Ok(())
}

#[test]
fn old_versions_are_refused() -> Result<()> {
    let certificates = Certificates::new()?;
    let pair = certificates.write("a", &["shop.example"], 2090)?;
    let (_, daemon) = gate("", &listener(&pair, ", min_version = \"1.3\""))?;
    let old = tls::client(&[&TLS12], &[])?;
    ensure!(tls::connect(daemon.listener(1)?, "shop.example", &old).is_err());
    let new = tls::client(&[&TLS13], &[])?;
    tls::connect(daemon.listener(1)?, "shop.example", &new)?;
    Ok(())
}

/// A ClientHello of this version with these suites, as an old client would send it.
fn hello(version: [u8; 2], suites: &[u16]) -> Vec<u8> {
    hello_with(version, suites, &[0], &SIGNATURES)
}

/// The extension `signature_algorithms`: ECDSA and RSA with SHA-256 and SHA-1.
const SIGNATURES: [u8; 14] = [0, 13, 0, 10, 0, 8, 4, 3, 4, 1, 2, 3, 2, 1];

/// The same with these compression methods and this extension.
fn hello_with(version: [u8; 2], suites: &[u16], compression: &[u8], extension: &[u8]) -> Vec<u8> {
    let length = |bytes: &[u8]| u16::try_from(bytes.len()).unwrap_or(0).to_be_bytes();
    let suites: Vec<u8> = suites.iter().flat_map(|suite| suite.to_be_bytes()).collect();
    // P-256 and X25519; uncompressed points.
    let extensions = [&[0, 10, 0, 6, 0, 4, 0, 23, 0, 29][..], &[0, 11, 0, 2, 1, 0], extension].concat();
    let body = [
        &version[..],
        &[7; 32],
        &[0],
        &length(&suites),
        &suites,
        &[u8::try_from(compression.len()).unwrap_or(0)],
        compression,
        &length(&extensions),
        &extensions,
    ]
    .concat();
    let message = [&[1, 0][..], &length(&body), &body].concat();
    [&[22, 3, 1][..], &length(&message), &message].concat()
}

/// What TLS 1.3 and later still call weak: no forward secrecy, CBC, RC4, 3DES, NULL, export, anonymous.
const WEAK: [u16; 14] = [
    0x0001, 0x0004, 0x0005, 0x0008, 0x000a, 0x0034, 0x002f, 0x0035, 0x003c, 0x009c, 0x009d, 0xc009, 0xc013, 0xc024,
];

#[test]
fn weak_suites_and_versions_before_1_2_are_refused_with_an_alert() -> Result<()> {
    let certificates = Certificates::new()?;
    let pair = certificates.write("a", &["shop.example"], 2090)?;
    let (backend, daemon) = gate("", &listener(&pair, ""))?;
    let answer = |hello: &[u8]| -> Result<Vec<u8>> {
        let mut wire = Wire::connect(daemon.listener(1)?)?;
        wire.stream().write_all(hello)?;
        wire.bytes(7)
    };
    let good = [0xc02b, 0xc02f];
    ensure!(
        answer(&hello([3, 3], &good))?[0] == 22,
        "this is what a good one would get"
    );
    // SSL 3.0, TLS 1.0 and 1.1: an alert, protocol_version (RFC 8446 section 6).
    for minor in [0, 1, 2] {
        let told = answer(&hello([3, minor], &good))?;
        ensure!((told[0], told[5], told[6]) == (21, 2, 70), "3.{minor}: {told:?}");
    }
    // handshake_failure, for each alone and for all of them.
    for suites in WEAK.chunks(1).chain([&WEAK[..]]) {
        let told = answer(&hello([3, 3], suites))?;
        ensure!((told[0], told[5], told[6]) == (21, 2, 40), "{suites:x?}: {told:?}");
    }
    ensure!(backend.requests() == 0);
    Ok(())
}

/// Compression (CRIME), heartbeats (Heartbleed), signatures with SHA-1.
#[test]
fn what_made_tls_weak_is_not_agreed_on() -> Result<()> {
    let certificates = Certificates::new()?;
    let pair = certificates.write("a", &["shop.example"], 2090)?;
    let (_, daemon) = gate("", &listener(&pair, ""))?;
    let answer = |compression: &[u8], extension: &[u8]| -> Result<Wire> {
        let wire = Wire::connect(daemon.listener(1)?)?;
        wire.stream()
            .write_all(&hello_with([3, 3], &[0xc02b, 0xc02f], compression, extension))?;
        Ok(wire)
    };
    let heartbeat = [&SIGNATURES[..], &[0, 15, 0, 1, 1]].concat();
    for (compression, extension) in [(&[0][..], &SIGNATURES[..]), (&[1, 0], &SIGNATURES), (&[0], &heartbeat)] {
        // Record, handshake message, version, random, session id, suite, compression, extensions.
        let mut wire = answer(compression, extension)?;
        let record = wire.bytes(5)?;
        let hello = wire.bytes(usize::from(u16::from_be_bytes([record[3], record[4]])))?;
        ensure!((record[0], hello[0]) == (22, 2), "no ServerHello: {record:?} {hello:?}");
        let (_, rest) = hello[38..].split_at(1 + usize::from(hello[38]));
        ensure!(rest[2] == 0, "it compresses");
        let mut extensions = &rest[5..2 + 1 + 2 + usize::from(u16::from_be_bytes([rest[3], rest[4]]))];
        while let [high, low, length @ ..] = extensions {
            ensure!([*high, *low] != [0, 15], "its heart beats");
            extensions = &length[2 + usize::from(u16::from_be_bytes([length[0], length[1]]))..];
        }
    }
    let only_sha1 = [0, 13, 0, 6, 0, 4, 2, 3, 2, 1];
    for (compression, extension) in [(&[1][..], &SIGNATURES[..]), (&[0], &only_sha1)] {
        let told = answer(compression, extension)?.bytes(7)?;
        ensure!((told[0], told[5]) == (21, 2), "no alert: {told:?}");
    }
    Ok(())
}

/// A client that wants to shake hands again over the same connection (RFC 5746) is told that it cannot.
#[test]
fn there_is_no_renegotiation() -> Result<()> {
    let certificates = Certificates::new()?;
    let pair = certificates.write("a", &["shop.example"], 2090)?;
    let (_, daemon) = gate("", &listener(&pair, ""))?;
    let mut openssl = Command::new("openssl");
    let address = daemon.listener(1)?.to_string();
    openssl.args(["s_client", "-tls1_2", "-connect", &address]);
    let (input, output) = (Stdio::piped(), Stdio::piped());
    let mut client = openssl
        .stdin(input)
        .stdout(output)
        .stderr(Stdio::piped())
        .spawn()
        .context("openssl is needed")?;
    let mut said = BufReader::new(client.stdout.take().context("no stdout")?);
    let mut line = String::new();
    while !line.contains("Verify return code") {
        line.clear();
        ensure!(said.read_line(&mut line)? > 0, "no handshake");
    }
    client.stdin.as_mut().context("no stdin")?.write_all(b"R\n")?;
    let mut errors = String::new();
    client.stderr.take().context("no stderr")?.read_to_string(&mut errors)?;
    client.wait()?;
    ensure!(
        errors.contains("RENEGOTIATING") && errors.contains("no renegotiation"),
        "{errors}"
    );
    Ok(())
}

#[test]
fn sessions_are_resumed() -> Result<()> {
    let certificates = Certificates::new()?;
    let pair = certificates.write("a", &["shop.example"], 2090)?;
    let (_, daemon) = gate("", &listener(&pair, ""))?;
    for version in [&TLS12, &TLS13] {
        let config = tls::client(&[version], &[])?;
        let kind = || -> Result<Option<HandshakeKind>> {
            let mut wire = Wire::of(tls::connect(daemon.listener(1)?, "shop.example", &config)?);
            // Tickets come with the first answer.
            ensure!(wire.exchange(b"GET / HTTP/1.1\r\nhost: shop.example\r\n\r\n")?.status == 200);
            Ok(wire.line().conn.handshake_kind())
        };
        ensure!(kind()? == Some(HandshakeKind::Full), "{version:?}");
        ensure!(kind()? == Some(HandshakeKind::Resumed), "{version:?}");
    }
    Ok(())
}

#[test]
fn certificates_are_chosen_and_renewed_without_a_pause() -> Result<()> {
    let certificates = Certificates::new()?;
    let first = certificates.write("a", &["shop.example"], 2090)?;
    let second = certificates.write("b", &["*.api.example"], 2090)?;
    let (_, daemon) = gate("", &listener(&format!("{first}, {second}"), ""))?;
    let config = tls::client(&[&TLS13], &[])?;
    let shop = presented(&daemon, "shop.example", &config)?;
    ensure!(presented(&daemon, "v1.api.example", &config)? != shop);
    ensure!(
        presented(&daemon, "other.example", &config)? == shop,
        "the first is for the rest"
    );

    let mut open = Wire::of(tls::connect(daemon.listener(1)?, "shop.example", &config)?);
    let get = b"GET / HTTP/1.1\r\nhost: shop.example\r\n\r\n";
    ensure!(open.exchange(get)?.status == 200);
    certificates.write("a", &["shop.example"], 2091)?;
    daemon.signal(Signal::SIGHUP)?;
    daemon.await_logged("a new certificate is in use", "file", 1)?;
    let renewed = presented(&daemon, "shop.example", &tls::client(&[&TLS13], &[])?)?;
    ensure!(renewed != shop, "the old one is still presented");
    ensure!(open.exchange(get)?.status == 200, "an open connection goes on");

    certificates.write("a", &["shop.example"], 2001)?;
    let errors = daemon.await_logged("the certificate in use stays", "error", 1)?;
    ensure!(errors[0].contains("expired on"), "{errors:?}");
    fs::write(certificates.path("a.key"), "nonsense")?;
    daemon.await_logged("the certificate in use stays", "error", 2)?;
    ensure!(presented(&daemon, "shop.example", &tls::client(&[&TLS13], &[])?)? == renewed);
    Ok(())
}

#[test]
fn the_operator_sees_what_handshakes_say() -> Result<()> {
    let certificates = Certificates::new()?;
    let pair = certificates.write("a", &["shop.example"], 2090)?;
    let (_, daemon) = gate("", &listener(&pair, ""))?;
    let mut client = Client::open(daemon.address())?;
    let config = tls::client(&[&TLS13], &[b"http/1.1"])?;
    let mut wire = Wire::of(tls::connect(daemon.listener(1)?, "shop.example", &config)?);
    let call = client.request("GET", "/api/a", "")?;
    ensure!(wire.exchange(&call)?.status == 200);
    let sessions: serde_json::Value = serde_json::from_str(&daemon.cli(&["--json", "session", "list"])?)?;
    let id = sessions["sessions"][0]["id"].as_str().unwrap_or_default().to_owned();
    let shown = daemon.cli(&["session", "show", &id])?;
    ensure!(shown.contains("ja4:     t13d"), "{shown}");
    let copy = wire.exchange(&call)?;
    let why = daemon.cli(&["why", &copy.reference()])?;
    ensure!(why.contains("ja4:        t13d"), "{why}");
    let old = tls::client(&[&TLS12], &[b"nonsense"])?;
    ensure!(
        tls::connect(daemon.listener(1)?, "shop.example", &old).is_err(),
        "no protocol in common"
    );
    let status: serde_json::Value = serde_json::from_str(&daemon.cli(&["--json", "status"])?)?;
    ensure!(status["connections"]["limits"]["handshake-failed"] == 1, "{status}");
    Ok(())
}

#[test]
fn another_program_under_the_same_name_has_to_sign_again() -> Result<()> {
    let certificates = Certificates::new()?;
    let pair = certificates.write("a", &["shop.example"], 2090)?;
    let (_, daemon) = gate("", &listener(&pair, ""))?;
    let mut client = Client::open(daemon.address())?;
    let browser = tls::client(&[&TLS12, &TLS13], &[b"http/1.1"])?;
    let other = tls::client(&[&TLS12], &[b"http/1.1"])?;
    let over = |config: &Arc<ClientConfig>| -> Result<Wire<TlsLine>> {
        Ok(Wire::of(tls::connect(daemon.listener(1)?, "shop.example", config)?))
    };
    // The second connection resumes the session of the first, which changes JA4 and not the client.
    for _ in 0..2 {
        ensure!(over(&browser)?.exchange(&client.request("GET", "/api/a", "")?)?.status == 200);
    }
    let answer = over(&other)?.exchange(&client.request("GET", "/api/a", "")?)?;
    refused(&answer, 401, "fresh-nonce-required")?;
    client.adopt(&answer)?;
    ensure!(over(&other)?.exchange(&client.request("GET", "/api/a", "")?)?.status == 200);
    ensure!(
        over(&browser)?.exchange(&client.request("GET", "/api/a", "")?)?.status == 200,
        "both are known now"
    );
    let sessions: serde_json::Value = serde_json::from_str(&daemon.cli(&["--json", "session", "list"])?)?;
    let score = sessions["sessions"][0]["score"].as_f64().unwrap_or_default();
    ensure!((19.0..=20.0).contains(&score), "{sessions}");
    Ok(())
}

#[test]
fn what_is_no_handshake_ends() -> Result<()> {
    let certificates = Certificates::new()?;
    let pair = certificates.write("a", &["shop.example"], 2090)?;
    let extra = format!("{}{ADMIN}", listener(&pair, ""));
    let (backend, daemon) = gate("header_timeout = \"500ms\"", &extra)?;
    for bytes in [
        &b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"[..],
        b"\x16\x03\x01\x40\x00\x01",
        b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00",
        b"\x16",
        b"",
    ] {
        let mut wire = Wire::connect(daemon.listener(1)?)?;
        ensure!(wire.exchange(bytes).is_err(), "{bytes:?} was answered");
    }
    ensure!(backend.requests() == 0);
    counted(&daemon, "handshake", 3)?;
    counted(&daemon, "handshake-failed", 2)
}

#[test]
fn check_names_what_is_wrong_with_certificates() -> Result<()> {
    let certificates = Certificates::new()?;
    let good = certificates.write("good", &["shop.example"], 2090)?;
    let old = certificates.write("old", &["shop.example"], 2001)?;
    let check = |pairs: &str| -> Result<String> {
        let config = certificates.path("portcullis.toml");
        let text = format!("[http]\nupstream = \"http://127.0.0.1:1\"\n{}", listener(pairs, ""));
        fs::write(&config, text)?;
        let mut command = Command::new(portcullis_tests::binary::portcullis()?);
        let output = command.args(["check", "--config"]).arg(&config).output()?;
        ensure!(output.status.success() == pairs.eq(&good), "{output:?}");
        Ok(String::from_utf8_lossy(&output.stderr).into_owned())
    };
    check(&good)?;
    let said = check(&format!("{good}, {old}"))?;
    ensure!(
        said.contains("listener[0].tls.certificates: the certificate in"),
        "{said}"
    );
    ensure!(said.contains("expired on") && said.contains("hint: renew it"), "{said}");
    Ok(())
}
