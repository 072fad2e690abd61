//! JA4 as its authors define it, and the part of it that binds a session.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};
use siphasher::sip::SipHasher13;

use super::LENGTH;
use super::hello::ClientHello;

/// Letters of each hash.
const HASH: usize = 12;

const SERVER_NAME: u16 = 0;
const ALPN: u16 = 16;

/// Extensions that one program sends on some connections and not on others: padding, early data, resumption and its
/// tickets, cookies, encrypted client hello, and what goes with HTTP/2 and not with a WebSocket.
const VOLATILE: [u16; 10] = [SERVER_NAME, ALPN, 21, 35, 41, 42, 44, 0xfe0d, 17_513, 17_613];

pub(super) fn of(hello: &ClientHello<'_>) -> [u8; LENGTH] {
    let mut text = String::with_capacity(LENGTH);
    let names_server = if hello.names_server { 'd' } else { 'i' };
    let (ciphers, extensions) = (hello.ciphers.len().min(99), hello.extensions.len().min(99));
    let (first, last) = protocol(hello.protocol);
    // Writing to a text does not fail.
    let _ = write!(
        text,
        "t{}{names_server}{ciphers:02}{extensions:02}{first}{last}_{}_{}",
        version(hello.version),
        hash(&hex(sorted(&hello.ciphers, &[]))),
        hash(&offered(hello)),
    );
    let mut ja4 = [b'0'; LENGTH];
    ja4.iter_mut().zip(text.bytes()).for_each(|(to, from)| *to = from);
    ja4
}

/// A hash of what does not change between connections of one program; never zero.
pub(super) fn stable(hello: &ClientHello<'_>) -> u32 {
    let text = format!(
        "{}_{}_{}_{}",
        hello.version,
        hex(sorted(&hello.ciphers, &[])),
        hex(sorted(&hello.extensions, &VOLATILE)),
        hex(hello.signature_algorithms.clone()),
    );
    let [a, b, c, d, ..] = SipHasher13::new().hash(text.as_bytes()).to_be_bytes();
    u32::from_be_bytes([a, b, c, d]).max(1)
}

/// Extensions and, in their own order, signature algorithms.
fn offered(hello: &ClientHello<'_>) -> String {
    let mut text = hex(sorted(&hello.extensions, &[SERVER_NAME, ALPN]));
    if !hello.signature_algorithms.is_empty() {
        text.push('_');
        text.push_str(&hex(hello.signature_algorithms.clone()));
    }
    text
}

fn version(version: u16) -> &'static str {
    match version {
        0x0304 => "13",
        0x0303 => "12",
        0x0302 => "11",
        0x0301 => "10",
        0x0300 => "s3",
        0x0002 => "s2",
        _ => "00",
    }
}

/// The first and the last letter of a protocol's name, or of its hexadecimal form.
fn protocol(name: Option<&[u8]>) -> (char, char) {
    let Some((&first, &last)) = name.and_then(|name| name.first().zip(name.last())) else {
        return ('0', '0');
    };
    if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() {
        return (char::from(first), char::from(last));
    }
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('0');
    (digit(first >> 4), digit(last & 0x0f))
}

fn sorted(numbers: &[u16], without: &[u16]) -> Vec<u16> {
    let mut sorted: Vec<u16> = numbers
        .iter()
        .copied()
        .filter(|number| !without.contains(number))
        .collect();
    sorted.sort_unstable();
    sorted
}

fn hex(numbers: Vec<u16>) -> String {
    let words: Vec<String> = numbers.into_iter().map(|number| format!("{number:04x}")).collect();
    words.join(",")
}

fn hash(text: &str) -> String {
    if text.is_empty() {
        return "0".repeat(HASH);
    }
    let digest = Sha256::digest(text.as_bytes());
    let letters: String = digest.iter().take(HASH / 2).map(|byte| format!("{byte:02x}")).collect();
    letters
}
