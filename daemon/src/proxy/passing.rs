//! A body on its way to the application: counted, compared with its digest, and cut off where it must not go on.
//!
//! The last bytes are held back until the comparison is done, so that an application never has the whole of a body that
//! is not what was signed.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use portcullis_guard::guard::Expected;
use portcullis_guard::refusal::Refusal;
use portcullis_guard::signature::digest::BodyHasher;
use portcullis_guard::time::MonoMillis;

use super::form;
use crate::clock;
use crate::listener::connections::Connection;

/// Whoever sends a long body slower than this, in bytes a second, only holds a connection of the application.
const SLOWEST: u64 = 16 << 10;

/// What is known of a body while it passes.
#[derive(Debug)]
pub(super) struct Progress {
    started: MonoMillis,
    bytes: AtomicU64,
    /// When it had passed whole; 0 before.
    ended: AtomicU64,
    fault: OnceLock<Refusal>,
}

impl Progress {
    fn begin() -> Arc<Self> {
        Arc::new(Self {
            started: clock::monotonic(),
            bytes: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            fault: OnceLock::new(),
        })
    }

    /// What was wrong with it.
    pub(super) fn fault(&self) -> Option<Refusal> {
        self.fault.get().copied()
    }

    /// Gives up on it.
    pub(super) fn fail(&self, refusal: Refusal) {
        // The first fault is the cause of the others.
        let _ = self.fault.set(refusal);
    }

    /// Whether it takes longer than `patience`, and than its length allows.
    pub(super) fn is_late(&self, patience: Duration, now: MonoMillis) -> bool {
        let allowed = patience + Duration::from_secs(self.bytes.load(Ordering::Relaxed) / SLOWEST);
        self.ended.load(Ordering::Relaxed) == 0 && now.since(self.started) > allowed
    }

    /// Since when the application has the whole of it; `None` while it passes.
    pub(super) fn ended(&self) -> Option<MonoMillis> {
        Some(MonoMillis(self.ended.load(Ordering::Relaxed))).filter(|at| at.0 != 0)
    }
}

/// Why a body was cut off. The cause is in its [`Progress`].
#[derive(Debug)]
pub(super) struct CutOff;

impl fmt::Display for CutOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the body was cut off")
    }
}

impl Error for CutOff {}

/// A body that passes.
pub(super) struct Passing {
    body: Incoming,
    /// Bytes that may still come.
    left: u64,
    check: Option<Check>,
    /// The last bytes of a multipart form; `None` for anything else.
    form: Option<Vec<u8>>,
    held: Option<Bytes>,
    progress: Arc<Progress>,
    connection: Arc<Connection>,
}

struct Check {
    hasher: BodyHasher,
    enforced: bool,
}

impl Passing {
    /// Lets a body of at most `limit` bytes pass. What is expected of it is compared; in a multipart form that rules
    /// judge (`form`), a method override is looked for.
    ///
    /// # Errors
    /// [`Refusal::BodyTooLarge`] if it says so itself.
    pub(super) fn new(
        body: Incoming,
        limit: usize,
        expected: Option<Expected>,
        form: bool,
        connection: &Arc<Connection>,
    ) -> Result<Self, Refusal> {
        let limit = u64::try_from(limit).unwrap_or(u64::MAX);
        if body.size_hint().lower() > limit {
            return Err(Refusal::BodyTooLarge);
        }
        let check = expected.map(|expected| Check {
            hasher: expected.claimed.hasher(),
            enforced: expected.enforced,
        });
        Ok(Self {
            body,
            left: limit,
            check,
            form: form.then(Vec::new),
            held: None,
            progress: Progress::begin(),
            connection: Arc::clone(connection),
        })
    }

    /// To look after it.
    pub(super) fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    fn cut_off(&self, refusal: Refusal) -> CutOff {
        self.progress.fail(refusal);
        CutOff
    }

    /// Looks at bytes that came.
    fn take(&mut self, data: &Bytes) -> Result<(), CutOff> {
        let length = data.len() as u64;
        self.progress.bytes.fetch_add(length, Ordering::Relaxed);
        self.left = match self.left.checked_sub(length) {
            Some(left) => left,
            None => return Err(self.cut_off(Refusal::BodyTooLarge)),
        };
        if let Some(tail) = &mut self.form
            && form::is_in_pieces(tail, data)
        {
            return Err(self.cut_off(Refusal::FramingInvalid));
        }
        if let Some(check) = &mut self.check {
            check.hasher.update(data);
        }
        Ok(())
    }

    /// All has come.
    fn end(&mut self) -> Result<(), CutOff> {
        self.connection.activity.body_came();
        if let Some(check) = self.check.take()
            && let Err(refusal) = check.hasher.finish()
        {
            let cut_off = self.cut_off(refusal);
            if check.enforced {
                return Err(cut_off);
            }
        }
        self.progress
            .ended
            .store(clock::monotonic().0.max(1), Ordering::Relaxed);
        Ok(())
    }
}

impl Body for Passing {
    type Data = Bytes;
    type Error = CutOff;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, CutOff>>> {
        loop {
            if self.progress.ended().is_some() {
                return Poll::Ready(self.held.take().map(|last| Ok(Frame::data(last))));
            }
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    // Trailers were not signed.
                    let Ok(data) = frame.into_data() else { continue };
                    if let Err(cut_off) = self.take(&data) {
                        return Poll::Ready(Some(Err(cut_off)));
                    }
                    if let Some(before) = self.held.replace(data) {
                        return Poll::Ready(Some(Ok(Frame::data(before))));
                    }
                }
                Some(Err(_)) => return Poll::Ready(Some(Err(self.cut_off(Refusal::BodyIncomplete)))),
                None => {
                    if let Err(cut_off) = self.end() {
                        return Poll::Ready(Some(Err(cut_off)));
                    }
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.progress.ended().is_some() && self.held.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let held = self.held.as_ref().map_or(0, Bytes::len) as u64;
        let coming = self.body.size_hint();
        let mut whole = SizeHint::new();
        whole.set_lower(coming.lower() + held);
        if let Some(upper) = coming.upper() {
            whole.set_upper(upper + held);
        }
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_body_may_take_its_time_and_a_slow_one_may_not() {
        let progress = Progress::begin();
        let patience = Duration::from_secs(30);
        let after = |seconds| progress.started.after(Duration::from_secs(seconds));
        assert!(!progress.is_late(patience, after(30)) && progress.is_late(patience, after(31)));
        progress.bytes.store(1 << 20, Ordering::Relaxed);
        assert!(!progress.is_late(patience, after(94)) && progress.is_late(patience, after(95)));
        progress.ended.store(1, Ordering::Relaxed);
        assert!(
            !progress.is_late(patience, after(1000)),
            "the rest is the application's time"
        );
    }
}
