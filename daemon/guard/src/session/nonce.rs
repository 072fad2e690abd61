//! Replay protection: each counter of each stream is accepted once, and a stream that cannot be known must be one that
//! the gate itself issued (docs/protocol.md section 3).
//!
//! Memory is bounded: at most [`STREAMS`] windows of [`WIDTH`] counters for a session, as in IPsec's anti-replay
//! service (RFC 4303 section 3.4.3). When a stream is dropped to make room, streams of the client's own choice are no
//! longer accepted and neither are those the gate issued before the dropped one: forgetting never admits a replay.

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use siphasher::sip::SipHasher13;
use zeroize::Zeroizing;

use super::SessionId;
use super::token::SigningKey;
pub use super::window::WIDTH;
use super::window::Window;
use crate::binding::Binding;
use crate::sextets;
use crate::time::{MonoMillis, Now};

/// Streams that live at once in one session.
pub const STREAMS: usize = 8;
/// Counters end here.
pub const COUNTER_END: u64 = 1 << 48;
/// Streams of the gate's choice begin with this.
const ISSUED_MARK: char = '~';
const STREAM_LENGTHS: std::ops::RangeInclusive<usize> = 8..=32;
/// 6 bytes of time, 3 of a serial number, 12 of MAC.
const ISSUED_BYTES: usize = 21;
/// When and as which an issued stream was made.
type Stamp = [u8; 9];

/// A nonce as the client sent it: `<stream>.<counter>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nonce<'a> {
    stream: &'a str,
    name: StreamName,
    counter: u64,
}

/// What a stream is known by: a hash of its name. Whoever finds two names with one hash has two streams that share one
/// window, in his own session: some of his calls are refused as replays. A name that the gate issues has a MAC in it, so
/// that nobody meets its hash by choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct StreamName(NonZeroU64);

impl StreamName {
    fn of(stream: &str) -> Self {
        let hash = SipHasher13::new().hash(stream.as_bytes());
        Self(NonZeroU64::new(hash).unwrap_or(NonZeroU64::MIN))
    }
}

/// A time in the room of one word, also where there may be none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Issued(NonZeroU64);

impl Issued {
    fn at(time: MonoMillis) -> Self {
        Self(NonZeroU64::MIN.saturating_add(time.0))
    }
}

/// A text that is no nonce of the profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a nonce is <stream>.<counter>")]
pub struct NonceError;

impl<'a> Nonce<'a> {
    /// Parses `<stream>.<counter>`.
    ///
    /// # Errors
    /// [`NonceError`] for any other form; a counter has exactly one spelling.
    pub fn parse(text: &'a str) -> Result<Self, NonceError> {
        let point = text.bytes().rposition(|byte| byte == b'.').ok_or(NonceError)?;
        let (stream, digits) = (&text[..point], &text[point + 1..]);
        let name = stream.strip_prefix(ISSUED_MARK).unwrap_or(stream);
        let well_named = name.bytes().all(sextets::is_one);
        let canonical = digits == "0" || (digits.starts_with(|c| matches!(c, '1'..='9')) && digits.len() <= 15);
        if !well_named || !STREAM_LENGTHS.contains(&name.len()) || !canonical {
            return Err(NonceError);
        }
        let counter = digits
            .parse()
            .ok()
            .filter(|&counter| counter < COUNTER_END)
            .ok_or(NonceError)?;
        let name = StreamName::of(stream);
        Ok(Self { stream, name, counter })
    }

    fn is_issued(self) -> bool {
        self.stream.starts_with(ISSUED_MARK)
    }
}

/// Issues streams and recognises them again, without remembering them. Good for one run of the daemon.
pub struct StreamIssuer {
    mac: Hmac<Sha256>,
    max_age_ms: AtomicU64,
    /// Keeps apart what is issued within one millisecond.
    serial: AtomicU32,
}

impl StreamIssuer {
    /// `secret` is fresh for each run, so that nothing issued by an earlier run is accepted.
    #[must_use]
    pub fn new(secret: &Zeroizing<[u8; 32]>, max_age: Duration) -> Self {
        Self {
            mac: SigningKey(**secret).hmac(),
            max_age_ms: AtomicU64::new(millis(max_age)),
            serial: AtomicU32::new(0),
        }
    }

    /// How old a stream may be from here on.
    pub fn set_max_age(&self, max_age: Duration) {
        self.max_age_ms.store(millis(max_age), Ordering::Relaxed);
    }

    /// A nonce for this session in this binding, to be put into `Accept-Signature`.
    #[must_use]
    pub fn issue(&self, session: SessionId, binding: &Binding, now: Now) -> String {
        let stamp = stamp(now, self.serial.fetch_add(1, Ordering::Relaxed));
        let mut bytes = [0; ISSUED_BYTES];
        let (head, tail) = bytes.split_at_mut(stamp.len());
        head.copy_from_slice(&stamp);
        tail.copy_from_slice(&self.tag(session, binding, stamp));
        format!("{ISSUED_MARK}{}.0", URL_SAFE_NO_PAD.encode(bytes))
    }

    /// When this stream was issued to this session in this binding; `None` if it was not, or too long ago.
    fn issued_at(&self, stream: &str, session: SessionId, binding: &Binding, now: Now) -> Option<MonoMillis> {
        let mut bytes = [0; ISSUED_BYTES];
        let length = URL_SAFE_NO_PAD
            .decode_slice(stream.strip_prefix(ISSUED_MARK)?, &mut bytes)
            .ok()?;
        let (stamp, tag) = bytes.split_first_chunk()?;
        let expected = self.tag(session, binding, *stamp);
        let genuine = length == ISSUED_BYTES && bool::from(subtle::ConstantTimeEq::ct_eq(&expected[..], tag));
        let [a, b, c, d, e, f, ..] = *stamp;
        let issued = MonoMillis(u64::from_be_bytes([0, 0, a, b, c, d, e, f]));
        let age = now.mono.0.checked_sub(issued.0)?;
        (genuine && age <= self.max_age_ms.load(Ordering::Relaxed)).then_some(issued)
    }

    fn tag(&self, session: SessionId, binding: &Binding, stamp: Stamp) -> [u8; 12] {
        let mut mac = self.mac.clone();
        mac.update(&stamp);
        mac.update(&session.0);
        mac.update(&binding.digest());
        let full = mac.finalize().into_bytes();
        let mut tag = [0; 12];
        tag.copy_from_slice(&full[..12]);
        tag
    }
}

fn millis(age: Duration) -> u64 {
    u64::try_from(age.as_millis()).unwrap_or(u64::MAX)
}

fn stamp(now: Now, serial: u32) -> Stamp {
    let [_, _, a, b, c, d, e, f] = now.mono.0.to_be_bytes();
    let [_, x, y, z] = serial.to_be_bytes();
    [a, b, c, d, e, f, x, y, z]
}

/// Why a nonce was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NonceRefused {
    /// Seen before, or so far below the window that it may have been.
    Replay,
    /// The stream is not known and was not issued for this.
    UnknownStream,
}

/// An accepted nonce. Whether it came by a freshly issued stream matters to the binding: such a call proves that the
/// holder of the key is where it claims to be, now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// The next call of a stream.
    Continued,
    /// The first call of a stream that the gate issued for this address and User-Agent.
    Issued,
}

/// The streams of one session.
#[derive(Debug, Default)]
pub struct Streams {
    /// Most sessions have one.
    first: Option<Stream>,
    others: Option<Box<[Option<Stream>; STREAMS - 1]>>,
    /// Streams that the client chose are accepted only while no stream can have been forgotten.
    closed_to_own: bool,
    /// Issued streams up to this time may have been forgotten.
    issued_horizon: Option<Issued>,
}

/// One stream.
#[derive(Debug)]
struct Stream {
    name: StreamName,
    issued: Option<Issued>,
    used: MonoMillis,
    counters: Window,
}

impl Streams {
    /// The streams of a session of which every call was seen.
    #[must_use]
    pub fn complete() -> Self {
        Self::default()
    }

    /// The streams of a session that may have been used before: by an earlier run of the daemon.
    #[must_use]
    pub fn incomplete() -> Self {
        Self {
            closed_to_own: true,
            ..Self::default()
        }
    }

    /// How many streams live.
    #[must_use]
    pub fn len(&self) -> usize {
        self.live().count()
    }

    /// Whether no stream lives.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.first.is_none() && self.others.is_none()
    }

    /// Whether this nonce was accepted and its stream used within the last `within`.
    #[must_use]
    pub fn spent_lately(&self, nonce: Nonce<'_>, within: Duration, now: MonoMillis) -> bool {
        let stream = self.live().find(|stream| stream.name == nonce.name);
        stream.is_some_and(|stream| stream.counters.is_spent(nonce.counter) && now.since(stream.used) <= within)
    }

    /// Checks a nonce and records it, in one step: whoever calls twice gets a replay the second time, which is the
    /// safe mistake. Only for requests whose signature was verified.
    ///
    /// # Errors
    /// [`NonceRefused`]; nothing is recorded then.
    pub fn accept(
        &mut self,
        nonce: Nonce<'_>,
        issuer: &StreamIssuer,
        session: SessionId,
        binding: &Binding,
        now: Now,
    ) -> Result<Accepted, NonceRefused> {
        if let Some(stream) = self.places().flatten().find(|stream| stream.name == nonce.name) {
            return stream.accept(nonce.counter, now.mono).map(|()| Accepted::Continued);
        }
        let issued = if nonce.is_issued() {
            let issued = issuer.issued_at(nonce.stream, session, binding, now);
            let issued = issued.map(Issued::at).ok_or(NonceRefused::UnknownStream)?;
            if self.issued_horizon.is_some_and(|horizon| issued <= horizon) {
                return Err(NonceRefused::UnknownStream);
            }
            Some(issued)
        } else if self.closed_to_own {
            return Err(NonceRefused::UnknownStream);
        } else {
            None
        };
        self.insert(Stream::open(nonce, issued, now.mono));
        Ok(if issued.is_some() {
            Accepted::Issued
        } else {
            Accepted::Continued
        })
    }

    /// Takes a stream in. Where all places are taken, the one that was idle for longest goes, and it is remembered that
    /// it may come back.
    fn insert(&mut self, stream: Stream) {
        if self.first.is_some() {
            self.others.get_or_insert_default();
        }
        let idlest = self
            .places()
            .min_by_key(|place| place.as_ref().map(|stream| stream.used));
        let Some(dropped) = idlest.and_then(|place| place.replace(stream)) else {
            return;
        };
        self.closed_to_own = true;
        self.issued_horizon = self.issued_horizon.max(dropped.issued);
    }

    fn live(&self) -> impl Iterator<Item = &Stream> {
        self.first
            .iter()
            .chain(self.others.iter().flat_map(|others| others.iter().flatten()))
    }

    fn places(&mut self) -> impl Iterator<Item = &mut Option<Stream>> {
        std::iter::once(&mut self.first).chain(self.others.iter_mut().flat_map(|others| others.iter_mut()))
    }
}

impl Stream {
    fn open(nonce: Nonce<'_>, issued: Option<Issued>, now: MonoMillis) -> Self {
        Self {
            name: nonce.name,
            issued,
            used: now,
            counters: Window::opened_by(nonce.counter),
        }
    }

    fn accept(&mut self, counter: u64, now: MonoMillis) -> Result<(), NonceRefused> {
        if !self.counters.accept(counter) {
            return Err(NonceRefused::Replay);
        }
        self.used = now;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
