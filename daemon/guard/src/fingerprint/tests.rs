//! Fingerprints against published ones, and hellos that are none.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// The example of JA4's technical description: what Chrome sends, GREASE and all.
const CIPHERS: &[u16] = &[
    0x2a2a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x009c, 0x009d,
    0x002f, 0x0035,
];
const EXTENSIONS: &[u16] = &[
    0x3a3a, 0x001b, 0x0000, 0x0033, 0x0010, 0x4469, 0x0017, 0x002d, 0x000d, 0x0005, 0x0023, 0x0012, 0x002b, 0xff01,
    0x000b, 0x000a, 0x0015, 0x4a4a,
];
const ALGORITHMS: &[u16] = &[0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601];
const CHROME: &str = "t13d1516h2_8daaf6152771_e5627efa2ab1";

fn words(numbers: &[u16]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
}

fn vector(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap();
    [&length.to_be_bytes(), bytes].concat()
}

fn content(kind: u16, protocol: &[u8]) -> Vec<u8> {
    match kind {
        0x0010 => vector(&[&[u8::try_from(protocol.len()).unwrap()], protocol].concat()),
        0x000d => vector(&words(ALGORITHMS)),
        0x002b => [&[6], &*words(&[0x5a5a, 0x0304, 0x0303])].concat(),
        _ => Vec::new(),
    }
}

fn hello(ciphers: &[u16], extensions: &[u16], protocol: &[u8]) -> Vec<u8> {
    let extensions: Vec<u8> = extensions
        .iter()
        .flat_map(|&kind| [kind.to_be_bytes().to_vec(), vector(&content(kind, protocol))].concat())
        .collect();
    let body = [
        &[3, 3][..],
        &[7; 32],
        &[2, 1, 1],
        &vector(&words(ciphers)),
        &[1, 0],
        &vector(&extensions),
    ]
    .concat();
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&[1], &length[1..], &body].concat()
}

/// Records with so many bytes each.
fn records(message: &[u8], size: usize) -> Vec<u8> {
    let record = |part: &[u8]| [&[22, 3, 1], &*vector(part)].concat();
    message.chunks(size).flat_map(record).collect()
}

fn ja4(message: &[u8]) -> String {
    Fingerprint::of(message).unwrap().to_string()
}

#[test]
fn the_published_example() {
    assert_eq!(ja4(&hello(CIPHERS, EXTENSIONS, b"h2")), CHROME);
}

#[test]
fn the_order_of_what_is_offered_makes_no_difference() {
    let (mut ciphers, mut extensions) = (CIPHERS.to_vec(), EXTENSIONS.to_vec());
    ciphers.reverse();
    extensions.reverse();
    assert_eq!(ja4(&hello(&ciphers, &extensions, b"h2")), CHROME);
}

#[test]
fn names_of_protocols_and_what_is_missing() {
    let with = |protocol: &[u8]| ja4(&hello(CIPHERS, EXTENSIONS, protocol))[8..10].to_owned();
    assert_eq!(with(b"http/1.1"), "h1");
    assert_eq!(with(b"h"), "hh");
    assert_eq!(with(&[0xab]), "ab");
    assert_eq!(with(&[0xab, b'x', 0xcd]), "ad");
    assert_eq!(with(b""), "00");
    assert_eq!(ja4(&hello(&[], &[], b"")), "t12i000000_000000000000_000000000000");
}

#[test]
fn a_resumed_session_and_a_websocket_are_the_same_program() {
    let stable = |extensions: &[u16], protocol: &[u8]| {
        let message = hello(CIPHERS, extensions, protocol);
        Fingerprint::of(&message).unwrap().stable()
    };
    let first = stable(EXTENSIONS, b"h2");
    let resumed: Vec<u16> = EXTENSIONS.iter().copied().chain([0x0029]).collect();
    assert_ne!(ja4(&hello(CIPHERS, &resumed, b"h2")), CHROME, "JA4 itself counts it");
    assert_eq!(stable(&resumed, b"h2"), first);
    let websocket: Vec<u16> = EXTENSIONS.iter().copied().filter(|kind| *kind != 0x4469).collect();
    assert_eq!(stable(&websocket, b"http/1.1"), first);
    let other: Vec<u16> = EXTENSIONS.iter().copied().filter(|kind| *kind != 0x001b).collect();
    assert_ne!(stable(&other, b"h2"), first);
}

#[test]
fn a_hello_comes_in_any_number_of_records_and_pieces() {
    let message = hello(CIPHERS, EXTENSIONS, b"h2");
    for size in [1, 7, 100, message.len()] {
        let bytes = records(&message, size);
        assert_eq!(extract(&bytes), Extracted::Hello(message.clone()), "{size}");
        for length in 0..bytes.len() {
            assert_eq!(extract(&bytes[..length]), Extracted::Incomplete, "{size} {length}");
        }
    }
}

#[test]
fn what_is_no_hello_is_recognised_early() {
    for bytes in [
        &b"GET / HTTP/1.1"[..],
        &[21, 3, 1, 0, 2],
        &[22, 3, 1, 0, 0],
        &[22, 3, 1, 0, 5, 2],
    ] {
        assert_eq!(extract(bytes), Extracted::Other, "{bytes:?}");
    }
    let endless = records(&hello(CIPHERS, &[0x0015; 6000], b""), 1 << 14);
    assert_eq!(extract(&endless), Extracted::Other, "too long");
}

#[test]
fn every_truncation_and_any_wrong_length_is_survived() {
    let message = hello(CIPHERS, EXTENSIONS, b"h2");
    for length in 0..message.len() {
        assert_eq!(Fingerprint::of(&message[..length]), None, "{length}");
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in vec(any::<u8>(), 0..400), at in 0usize..300, value: u8) {
        let _ = (extract(&bytes), Fingerprint::of(&bytes));
        let mut message = hello(CIPHERS, EXTENSIONS, b"h2");
        let at = at % message.len();
        message[at] = value;
        let _ = Fingerprint::of(&message);
    }
}
