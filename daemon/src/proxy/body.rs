//! Bodies: what is read before the upstream sees a byte, and what streams.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::Request;
use http_body_util::{BodyExt, Either, Full};
use hyper::body::{Body, Incoming};
use portcullis_guard::refusal::Refusal;

use super::lane::Streamed;
use super::passing::Passing;
use crate::listener::timer::CoarseTimer;

/// The body of an answer: ours, or the upstream's as it comes. The latter is in a box, as answers go from hand to hand.
pub(super) type AnswerBody = Either<Full<Bytes>, Box<Streamed>>;

/// The body of a request to the upstream: read and checked, or as it passes. The latter is in a box, as the room for it
/// would be in every request, and is copied as often as that is moved.
pub(super) type CallBody = Either<Full<Bytes>, Box<Passing>>;

/// A request to the upstream, on its way through those who try to send it.
pub(super) type Outgoing = Box<Request<CallBody>>;

/// Bytes of bodies that are being read at once. Each is small; ten thousand connections are many.
const HELD_AT_MOST: usize = 256 << 20;

static HELD: AtomicUsize = AtomicUsize::new(0);

/// Reads a whole body.
///
/// # Errors
/// [`Refusal::BodyTooLarge`] beyond `limit` bytes, [`Refusal::BodyIncomplete`] when it breaks off, [`Refusal::BodyLate`]
/// when it takes longer than `patience`, [`Refusal::Overloaded`] when too many are being read.
pub(super) async fn read(
    body: Incoming,
    limit: usize,
    patience: Duration,
    timer: &CoarseTimer,
) -> Result<Bytes, Refusal> {
    let too_large = |length| length > u64::try_from(limit).unwrap_or(u64::MAX);
    if body.size_hint().exact().is_some_and(too_large) {
        return Err(Refusal::BodyTooLarge);
    }
    let read = timer.timeout(patience, copy(body, limit));
    read.await.unwrap_or(Err(Refusal::BodyLate))
}

/// Copies frame by frame into one buffer: kept frames would hold the buffers that they came in, however small they are.
async fn copy(mut body: Incoming, limit: usize) -> Result<Bytes, Refusal> {
    let mut held = Held(0);
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Refusal::BodyIncomplete)?;
        let Ok(data) = frame.into_data() else { continue };
        if data.len() > limit - whole.len() {
            return Err(Refusal::BodyTooLarge);
        }
        held.take(data.len())?;
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}

/// A share of what may be read at once; given back when the body is whole and goes on.
struct Held(usize);

impl Held {
    fn take(&mut self, more: usize) -> Result<(), Refusal> {
        self.0 += more;
        if HELD.fetch_add(more, Ordering::Relaxed) + more > HELD_AT_MOST {
            return Err(Refusal::Overloaded);
        }
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        HELD.fetch_sub(self.0, Ordering::Relaxed);
    }
}
