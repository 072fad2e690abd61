//! The first bytes of a connection: who a proxy says that it is for, and what is spoken.

use std::io;
use std::net::IpAddr;

use bytes::{Buf, BytesMut};
use portcullis_guard::fingerprint::{Extracted, Fingerprint, extract};
use ppp::{HeaderResult, v1, v2};

use super::socket::{Socket, Transport};

/// The connection preface of HTTP/2 (RFC 9113 section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The longest header of version 1 that its specification allows.
const LONGEST_V1: usize = 107;
/// Where the length of version 2 is, and where what it counts begins.
const V2_LENGTH: usize = 14;
const V2_FIXED: usize = 16;
/// Room for addresses and for the options that balancers put behind them.
const LONGEST_V2: usize = 4096;

/// What is spoken over a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// Reads the PROXY protocol header that must come first. Returns the client's address; `None` if the proxy speaks for
/// itself, as it does for health checks.
///
/// # Errors
/// If something else comes, or nothing.
pub(super) async fn proxy_header(transport: &mut Transport, ahead: &mut BytesMut) -> io::Result<Option<IpAddr>> {
    loop {
        if let Some((length, client)) = parse_proxy_header(ahead)? {
            ahead.advance(length);
            return Ok(client);
        }
        transport.fill(ahead).await?;
    }
}

fn parse_proxy_header(bytes: &[u8]) -> io::Result<Option<(usize, Option<IpAddr>)>> {
    let malformed = || io::Error::new(io::ErrorKind::InvalidData, "no PROXY protocol header");
    if can_become_header(bytes) {
        return Ok(None);
    }
    match HeaderResult::parse(bytes) {
        HeaderResult::V1(Ok(header)) => Ok(Some((header.header.len(), v1_client(&header.addresses)))),
        HeaderResult::V2(Ok(header)) => Ok(Some((header.len(), v2_client(&header)))),
        HeaderResult::V1(Err(_)) | HeaderResult::V2(Err(_)) => Err(malformed()),
    }
}

/// Whether these bytes are the beginning of a header, but not the whole.
fn can_become_header(bytes: &[u8]) -> bool {
    let begins = |beginning: &[u8]| bytes.iter().zip(beginning).all(|(byte, expected)| byte == expected);
    if begins(b"PROXY ") {
        return bytes.len() < LONGEST_V1 && !bytes.windows(2).any(|pair| pair == b"\r\n");
    }
    let length = bytes
        .get(V2_LENGTH..V2_FIXED)
        .map(|length| length.iter().fold(0, |sum, &byte| sum << 8 | usize::from(byte)));
    begins(v2::PROTOCOL_PREFIX) && length.is_none_or(|length| length <= LONGEST_V2 && bytes.len() < V2_FIXED + length)
}

fn v1_client(addresses: &v1::Addresses) -> Option<IpAddr> {
    match addresses {
        v1::Addresses::Tcp4(ends) => Some(ends.source_address.into()),
        v1::Addresses::Tcp6(ends) => Some(ends.source_address.into()),
        v1::Addresses::Unknown => None,
    }
}

fn v2_client(header: &v2::Header<'_>) -> Option<IpAddr> {
    match (header.command, header.addresses) {
        (v2::Command::Proxy, v2::Addresses::IPv4(ends)) => Some(ends.source_address.into()),
        (v2::Command::Proxy, v2::Addresses::IPv6(ends)) => Some(ends.source_address.into()),
        (v2::Command::Proxy | v2::Command::Local, _) => None,
    }
}

/// Looks at the TLS handshake that begins. `None`: there is none, or one that nobody can read; rustls says so.
///
/// # Errors
/// If the client sends no more.
pub(super) async fn fingerprint(socket: &mut Socket) -> io::Result<Option<Fingerprint>> {
    let tell = |bytes: &[u8]| match extract(bytes) {
        Extracted::Incomplete => None,
        Extracted::Hello(message) => Some(Fingerprint::of(&message)),
        Extracted::Other => Some(None),
    };
    socket.peek(tell).await
}

/// Looks whether the client speaks HTTP/2 without having agreed on it.
///
/// # Errors
/// If the client sends no more.
pub(super) async fn prior_knowledge(socket: &mut Socket) -> io::Result<Protocol> {
    let tell = |bytes: &[u8]| match bytes.len() {
        0 => None,
        _ if bytes.starts_with(PREFACE) => Some(Protocol::Http2),
        _ if PREFACE.starts_with(bytes) => None,
        _ => Some(Protocol::Http1),
    };
    socket.peek(tell).await
}

#[cfg(test)]
mod tests {
    use super::*;

    const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xcb\0\x71\x07\x0a\0\0\x01\x13\x88\x01\xbb";

    fn parse(bytes: &[u8]) -> Result<Option<(usize, Option<String>)>, ()> {
        let parsed = parse_proxy_header(bytes).map_err(|_| ())?;
        Ok(parsed.map(|(length, client)| (length, client.map(|client| client.to_string()))))
    }

    #[test]
    fn both_versions_name_the_client() {
        let v1 = b"PROXY TCP4 203.0.113.7 10.0.0.1 5000 443\r\nGET";
        assert_eq!(parse(v1), Ok(Some((v1.len() - 3, Some("203.0.113.7".into())))));
        assert_eq!(
            parse(b"PROXY TCP6 2001:db8::1 ::1 1 2\r\n"),
            Ok(Some((32, Some("2001:db8::1".into()))))
        );
        assert_eq!(parse(b"PROXY UNKNOWN\r\n"), Ok(Some((15, None))));
        assert_eq!(parse(V2), Ok(Some((V2.len(), Some("203.0.113.7".into())))));
        let local = [&V2[..12], b"\x20\x00\0\0"].concat();
        assert_eq!(parse(&local), Ok(Some((16, None))));
        let with_options = [&V2[..14], b"\0\x10", &V2[16..], b"\x04\0\x01x"].concat();
        assert_eq!(parse(&with_options), Ok(Some((32, Some("203.0.113.7".into())))));
    }

    #[test]
    fn a_part_is_waited_for_and_anything_else_is_refused() {
        for length in 0..V2.len() {
            assert_eq!(parse(&V2[..length]), Ok(None), "{length}");
        }
        let v1 = b"PROXY TCP4 203.0.113.7 10.0.0.1 5000 443\r\n";
        for length in 0..v1.len() {
            assert_eq!(parse(&v1[..length]), Ok(None), "{length}");
        }
        for other in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"PROXY\r\n",
            b"PROXY TCP4 a b c d\r\n",
            b"\x16\x03\x01",
        ] {
            assert_eq!(parse(other), Err(()), "{other:?}");
        }
        assert_eq!(parse(&[b"PROXY ", &[b'x'; 200][..]].concat()), Err(()), "too long");
        let endless = [&V2[..14], b"\xff\xff", &[0; LONGEST_V2][..]].concat();
        assert_eq!(parse(&endless), Err(()), "too long");
    }
}
