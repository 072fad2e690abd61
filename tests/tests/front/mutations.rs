//! The table of [`smuggling`](super::smuggling), damaged at random: whatever comes of it, nginx never understands a call to
//! what must be signed. `PORTCULLIS_CASES` sets how many there are, `PORTCULLIS_SEED` which.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::io::Write;
use std::net::TcpStream;

use anyhow::{Result, ensure};
use portcullis_tests::client::send;
use portcullis_tests::daemon::{Daemon, Wanted};

use super::PROTECT;
use super::nginx::Nginx;
use super::smuggling;

const CASES: u64 = 20_000;
/// Connections that are open at a time.
const OPEN: usize = 100;
/// What parsers trip over.
const PIECES: [&[u8]; 36] = [
    b"\r",
    b"\n",
    b"\r\n",
    b"\0",
    b" ",
    b"\t",
    b"\x0b",
    b"\x85",
    b"\xa0",
    b"\x7f",
    b"\xff",
    b":",
    b",",
    b";",
    b"0",
    b"-",
    b"_",
    b"/",
    b"..",
    b"%2f",
    b"#",
    b"?",
    b"@",
    b"http://",
    b"chunked",
    b"Transfer-Encoding",
    b"transfer-encoding: chunked\r\n",
    b"content-length: 0\r\n",
    b"content-length: 5\r\n",
    b"connection: close\r\n",
    b"connection: upgrade\r\nupgrade: websocket\r\n",
    b"expect: 100-continue\r\n",
    b"0\r\n\r\n",
    b"HTTP/1.0",
    b"x:",
    b"GET /api/secret HTTP/1.1\r\nhost: a\r\n\r\n",
];

/// A small generator (splitmix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % end.max(1) as u64).unwrap_or(0)
    }

    fn damage(&mut self, bytes: &mut Vec<u8>) {
        let at = self.below(bytes.len() + 1);
        let until = (at + 1 + self.below(6)).min(bytes.len());
        match self.below(4) {
            0 => drop(bytes.drain(at.min(until)..until)),
            1 if at < bytes.len() => bytes[at] = u8::try_from(self.below(256)).unwrap_or(0),
            2 => {
                let copy = bytes[at..(at + self.below(60)).min(bytes.len())].to_vec();
                drop(bytes.splice(at..at, copy));
            }
            _ => drop(bytes.splice(at..at, PIECES[self.below(PIECES.len())].iter().copied())),
        }
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[test]
fn no_damage_leads_to_what_must_be_signed() -> Result<()> {
    let nginx = Nginx::start()?;
    let daemon = Daemon::start(&Wanted {
        http: "header_timeout = \"1s\"\nbody_timeout = \"1s\"",
        ..Wanted::enforcing(nginx.address, PROTECT)
    })?;
    let cases: Vec<String> = smuggling::all().collect();
    let seed = number("PORTCULLIS_SEED").unwrap_or_else(|| RandomState::new().hash_one(1));
    let mut dice = Dice(seed);
    let mut open = VecDeque::new();
    for _ in 0..number("PORTCULLIS_CASES").unwrap_or(CASES) {
        let mut bytes = cases[dice.below(cases.len())].clone().into_bytes();
        for _ in 0..=dice.below(4) {
            dice.damage(&mut bytes);
        }
        let mut stream = TcpStream::connect(daemon.address())?;
        // The gate may hang up at once.
        let _ = stream.write_all(&bytes);
        open.push_back(stream);
        if open.len() > OPEN {
            open.pop_front();
        }
    }
    drop(open);
    ensure!(send(daemon.address(), b"GET /next HTTP/1.1\r\nhost: a\r\n\r\n")?.status == 200);
    let seen = nginx.seen()?;
    let secret = seen.iter().find(|call| {
        let target = call.split(' ').nth(1).unwrap_or_default().to_ascii_lowercase();
        target == "/api" || target.starts_with("/api/") || target.starts_with("/api?")
    });
    ensure!(secret.is_none(), "{secret:?}; again with PORTCULLIS_SEED={seed}");
    ensure!(seen.len() > 100, "hardly anything came through: {}", seen.len());
    Ok(())
}
