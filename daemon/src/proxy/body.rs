//! Bodies: what is read before the upstream sees a byte, and what streams.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Either, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use portcullis_guard::refusal::Refusal;

use super::upstream::Streamed;
use crate::listener::timer::CoarseTimer;

/// The body of an answer: ours, or the upstream's as it comes.
pub(super) type AnswerBody = Either<Full<Bytes>, Streamed>;

/// The body of a request to the upstream: read and checked, or as it comes on public paths.
pub(super) type CallBody = Either<Full<Bytes>, Incoming>;

/// Reads a whole body.
///
/// # Errors
/// [`Refusal::BodyTooLarge`] beyond `limit` bytes, [`Refusal::BodyIncomplete`] when it breaks off or takes longer than
/// `patience`.
pub(super) async fn read(
    body: Incoming,
    limit: usize,
    patience: Duration,
    timer: &CoarseTimer,
) -> Result<Bytes, Refusal> {
    let too_large = |length| length > u64::try_from(limit).unwrap_or(u64::MAX);
    if hyper::body::Body::size_hint(&body).exact().is_some_and(too_large) {
        return Err(Refusal::BodyTooLarge);
    }
    match timer.timeout(patience, Limited::new(body, limit).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Refusal::BodyTooLarge),
        Ok(Err(_)) | Err(_) => Err(Refusal::BodyIncomplete),
    }
}
