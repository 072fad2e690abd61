//! HTTP/2 by hand, for what no library would send.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;

pub(super) const REFUSED_STREAM: u32 = 7;
pub(super) const ENHANCE_YOUR_CALM: u32 = 11;

/// A frame that came.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) payload: Vec<u8>,
}

impl Frame {
    /// The error code of RST_STREAM, or that of GOAWAY.
    pub(super) fn code(&self) -> Option<u32> {
        let code = match self.kind {
            RST_STREAM => self.payload.get(..4),
            GOAWAY => self.payload.get(4..8),
            _ => None,
        };
        code.map(|code| code.iter().fold(0, |sum, &byte| sum << 8 | u32::from(byte)))
    }
}

/// One connection.
pub(super) struct Raw(TcpStream);

impl Raw {
    /// Says hello, with these settings.
    pub(super) fn connect(address: SocketAddr, settings: &[(u16, u32)]) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.set_nodelay(true)?;
        let mut raw = Self(stream);
        let settings = settings.iter().flat_map(|(key, value)| {
            let (key, value) = (key.to_be_bytes(), value.to_be_bytes());
            [&key[..], &value[..]].concat()
        });
        let settings: Vec<u8> = settings.collect();
        raw.send(&[PREFACE, &frame(SETTINGS, 0, 0, &settings)].concat())?;
        Ok(raw)
    }

    /// Sends bytes.
    pub(super) fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.0.write_all(bytes).context("the gate has hung up")
    }

    /// The next frame; `None` at the end.
    pub(super) fn frame(&mut self) -> Result<Option<Frame>> {
        let mut head = [0; 9];
        match self.0.read_exact(&mut head) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => bail!("nothing came in time"),
            Err(_) => return Ok(None),
        }
        let length = head[..3].iter().fold(0, |sum, &byte| sum << 8 | usize::from(byte));
        let mut payload = vec![0; length];
        self.0.read_exact(&mut payload)?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Ok(Some(Frame {
            kind: head[3],
            flags: head[4],
            stream,
            payload,
        }))
    }

    /// The next frame of this kind.
    pub(super) fn await_kind(&mut self, kind: u8) -> Result<Frame> {
        loop {
            let frame = self.frame()?.context("the connection ended")?;
            if frame.kind == kind {
                return Ok(frame);
            }
        }
    }

    /// Reads to the end, and returns the code of the last GOAWAY. A reset without one is none.
    pub(super) fn farewell(&mut self) -> Result<Option<u32>> {
        let mut last = None;
        while let Some(frame) = self.frame()? {
            if frame.kind == GOAWAY {
                last = frame.code();
            }
        }
        Ok(last)
    }

    /// What becomes of a stream: a status, or the code that ended it or the connection.
    pub(super) fn outcome(&mut self, stream: u32) -> Result<Outcome> {
        loop {
            let Some(frame) = self.frame()? else {
                return Ok(Outcome::Closed);
            };
            match (frame.kind, frame.code()) {
                (GOAWAY, Some(code)) if code != 0 => return Ok(Outcome::Ended(code)),
                (RST_STREAM, Some(code)) if frame.stream == stream => return Ok(Outcome::Reset(code)),
                (HEADERS, _) if frame.stream == stream => {
                    ensure!(frame.flags & END_HEADERS != 0, "an answer of several frames");
                    return status(&frame.payload).map(Outcome::Status);
                }
                _ => {}
            }
        }
    }
}

/// See [`Raw::outcome`].
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Status(u16),
    Reset(u32),
    Ended(u32),
    Closed,
}

/// The first field of an answer: `:status` of the static table, or spelled out with or without Huffman's code.
fn status(block: &[u8]) -> Result<u16> {
    const INDEXED: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];
    // What may come first is an update of the table's size.
    let block = match block.first() {
        Some(first) if first & 0xe0 == 0x20 => &block[1..],
        _ => block,
    };
    match block {
        [indexed @ 0x88..=0x8e, ..] => Ok(INDEXED[usize::from(indexed - 0x88)]),
        [0x48 | 0x08 | 0x18, 3, digits @ ..] => Ok(std::str::from_utf8(&digits[..3])?.parse()?),
        [0x48 | 0x08 | 0x18, length, coded @ ..] if length & 0x80 != 0 => digits(&coded[..usize::from(length & 0x7f)]),
        _ => bail!("no status in {block:x?}"),
    }
}

/// Digits of Huffman's code: 0 to 2 have five bits, the others six.
fn digits(coded: &[u8]) -> Result<u16> {
    let bits: String = coded.iter().map(|byte| format!("{byte:08b}")).collect();
    let (mut rest, mut number) = (bits.as_str(), 0);
    for _ in 0..3 {
        let short = u16::from_str_radix(&rest[..5], 2)?;
        let (digit, length) = if short < 3 {
            (short, 5)
        } else {
            (u16::from_str_radix(&rest[..6], 2)? - 0x19 + 3, 6)
        };
        number = number * 10 + digit;
        rest = &rest[length..];
    }
    Ok(number)
}

/// The bytes of a frame.
pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(0).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Fields, each spelled out and not to be remembered.
pub(super) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            integer(&mut block, text.len());
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

/// A length of seven bits, and what does not fit into it (RFC 7541 section 5.1).
fn integer(block: &mut Vec<u8>, length: usize) {
    if length < 127 {
        return block.push(u8::try_from(length).unwrap_or(0));
    }
    block.push(127);
    let mut rest = length - 127;
    while rest >= 128 {
        block.push(u8::try_from(rest % 128).unwrap_or(0) | 0x80);
        rest /= 128;
    }
    block.push(u8::try_from(rest).unwrap_or(0));
}

/// A GET of this path.
pub(super) fn get(stream: u32, path: &str) -> Vec<u8> {
    let fields = [
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "a"),
        (":path", path),
    ];
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &block(&fields))
}
