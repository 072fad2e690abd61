//! What is sent, a piece at a time, so that whoever sends much knows whether all of it is gone.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

const PIECE: usize = 64 << 10;

/// Whether all of something was handed to the system. As long as it was not, the daemon cannot have it all.
#[derive(Clone, Debug, Default)]
pub struct Sent(Arc<AtomicBool>);

impl Sent {
    /// Whether it was.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// A body that tells when its last piece is taken.
#[derive(Debug, Default)]
pub(super) struct Upload {
    left: Bytes,
    sent: Sent,
}

impl Upload {
    pub(super) fn new(bytes: impl Into<Bytes>, sent: Sent) -> Self {
        Self {
            left: bytes.into(),
            sent,
        }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.left.len().min(PIECE);
        let piece = self.left.split_to(piece);
        if self.left.is_empty() {
            self.sent.0.store(true, Ordering::Release);
        }
        Poll::Ready((!piece.is_empty()).then(|| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(u64::try_from(self.left.len()).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_whole_with_the_last_piece_and_not_before() {
        let sent = Sent::default();
        let mut upload = Box::pin(Upload::new(vec![7; PIECE + 1], sent.clone()));
        let mut next = || {
            let mut context = Context::from_waker(std::task::Waker::noop());
            match upload.as_mut().poll_frame(&mut context) {
                Poll::Ready(Some(Ok(frame))) => frame.into_data().unwrap().len(),
                Poll::Ready(_) | Poll::Pending => 0,
            }
        };
        assert_eq!((next(), sent.is_whole()), (PIECE, false));
        assert_eq!((next(), sent.is_whole()), (1, true));
        assert_eq!(next(), 0);
    }
}
