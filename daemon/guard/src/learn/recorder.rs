//! Records what sessions do, for a while and bounded, so that rules can be learned from it. Off unless an operator asks.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::Method;

use crate::session::SessionId;
use crate::time::{MonoMillis, Now, WallMillis};

/// Calls that are kept; the oldest makes room for one more.
pub const MOST_RECORDED: usize = 200_000;
/// Bytes of the longest path that is kept. Others are left out.
const LONGEST_PATH: usize = 256;
/// How long a recording is kept after its end for somebody to fetch it.
const KEPT: Duration = Duration::from_secs(3600);

/// One recorded call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedCall {
    /// When.
    pub at: WallMillis,
    /// By which session.
    pub session: SessionId,
    /// The method.
    pub method: Method,
    /// The path, never the query.
    pub path: Box<str>,
    /// What the application answered; `None`: it did not.
    pub status: Option<u16>,
}

/// How a recording goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordingState {
    /// How long it goes on.
    pub left: Duration,
    /// Calls that are kept.
    pub calls: usize,
    /// Older ones that made room, and those with too long a path.
    pub left_out: u64,
}

/// Which recorded call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordedNumber(u64);

/// See the module.
#[derive(Debug, Default)]
pub struct Recorder {
    is_on: AtomicBool,
    recording: Mutex<Option<Recording>>,
}

#[derive(Debug)]
struct Recording {
    until: MonoMillis,
    calls: VecDeque<RecordedCall>,
    /// The number of the first call that is kept.
    first: u64,
    too_long: u64,
    suspects: HashSet<SessionId>,
}

impl Recorder {
    /// Starts to record, and forgets what was recorded before.
    pub fn start(&self, span: Duration, now: Now) {
        *self.recording() = Some(Recording {
            until: now.mono.after(span),
            calls: VecDeque::new(),
            first: 0,
            too_long: 0,
            suspects: HashSet::new(),
        });
        self.is_on.store(true, Ordering::Relaxed);
    }

    /// Stops, and forgets what was recorded. Whether there was anything.
    pub fn forget(&self) -> bool {
        self.is_on.store(false, Ordering::Relaxed);
        self.recording().take().is_some()
    }

    /// Forgets a recording that nobody fetches.
    pub fn forget_if_old(&self, now: Now) {
        let mut recording = self.recording();
        if recording.as_ref().is_some_and(|it| now.mono.since(it.until) > KEPT) {
            *recording = None;
        }
    }

    /// Notes a call that was admitted.
    pub fn note(&self, session: SessionId, method: &Method, path: &str, now: Now) -> Option<RecordedNumber> {
        if !self.is_on.load(Ordering::Relaxed) {
            return None;
        }
        let mut guard = self.recording();
        let recording = guard.as_mut()?;
        if recording.until <= now.mono {
            self.is_on.store(false, Ordering::Relaxed);
            return None;
        }
        if path.len() > LONGEST_PATH {
            recording.too_long += 1;
            return None;
        }
        if recording.calls.len() >= MOST_RECORDED {
            recording.calls.pop_front();
            recording.first += 1;
        }
        recording.calls.push_back(RecordedCall {
            at: now.wall,
            session,
            method: method.clone(),
            path: path.into(),
            status: None,
        });
        Some(RecordedNumber(recording.first + recording.calls.len() as u64 - 1))
    }

    /// Notes how a call was answered, if it is still kept.
    pub fn answered(&self, number: RecordedNumber, session: SessionId, status: u16) {
        let mut guard = self.recording();
        let Some(recording) = guard.as_mut() else { return };
        let place = number
            .0
            .checked_sub(recording.first)
            .and_then(|place| usize::try_from(place).ok());
        // Another recording may have begun meanwhile.
        let call = place.and_then(|place| recording.calls.get_mut(place));
        if let Some(call) = call.filter(|call| call.session == session && call.status.is_none()) {
            call.status = Some(status);
        }
    }

    /// A session was refused or got points: nothing is learned from it.
    pub fn suspect(&self, session: SessionId) {
        if self.is_on.load(Ordering::Relaxed)
            && let Some(recording) = self.recording().as_mut()
            && recording.suspects.len() < MOST_RECORDED
        {
            recording.suspects.insert(session);
        }
    }

    /// How it goes; `None`: nothing is recorded.
    #[must_use]
    pub fn state(&self, now: Now) -> Option<RecordingState> {
        let guard = self.recording();
        guard.as_ref().map(|recording| RecordingState {
            left: recording.until.since(now.mono),
            calls: recording.calls.len(),
            left_out: recording.first + recording.too_long,
        })
    }

    /// Some calls from a position on, each with whether its session is suspect.
    #[must_use]
    pub fn calls(&self, from: usize, most: usize) -> Vec<(RecordedCall, bool)> {
        let guard = self.recording();
        let Some(recording) = guard.as_ref() else {
            return Vec::new();
        };
        let some = recording.calls.iter().skip(from).take(most);
        some.map(|call| (call.clone(), recording.suspects.contains(&call.session)))
            .collect()
    }

    fn recording(&self) -> MutexGuard<'_, Option<Recording>> {
        self.recording.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: SessionId = SessionId([1; 12]);
    const SPAN: Duration = Duration::from_secs(60);

    fn at(ms: u64) -> Now {
        Now {
            wall: WallMillis(ms),
            mono: MonoMillis(ms),
        }
    }

    #[test]
    fn nothing_is_recorded_unless_somebody_asks_and_not_for_longer() {
        let recorder = Recorder::default();
        assert_eq!(recorder.note(SESSION, &Method::GET, "/a", at(0)), None);
        recorder.start(SPAN, at(0));
        let number = recorder.note(SESSION, &Method::GET, "/a", at(1)).unwrap();
        recorder.answered(number, SESSION, 200);
        recorder.answered(number, SESSION, 404);
        assert_eq!(recorder.note(SESSION, &Method::GET, &"/a".repeat(200), at(1)), None);
        assert_eq!(recorder.note(SESSION, &Method::GET, "/a", at(60_000)), None);
        let calls = recorder.calls(0, 10);
        assert_eq!((calls.len(), calls[0].0.status, calls[0].1), (1, Some(200), false));
        let state = recorder.state(at(30_000)).unwrap();
        assert_eq!(
            (state.left, state.calls, state.left_out),
            (Duration::from_secs(30), 1, 1)
        );
        recorder.forget_if_old(at(60_000 + 3_600_001));
        assert_eq!(recorder.state(at(0)), None);
        assert!(!recorder.forget());
    }

    #[test]
    fn whoever_is_suspect_stays_so() {
        let recorder = Recorder::default();
        recorder.start(SPAN, at(0));
        let _ = recorder.note(SESSION, &Method::GET, "/a", at(0));
        recorder.suspect(SESSION);
        assert!(recorder.calls(0, 10)[0].1);
    }

    #[test]
    fn at_capacity_the_oldest_call_makes_room() {
        let recorder = Recorder::default();
        recorder.start(SPAN, at(0));
        let first = recorder.note(SESSION, &Method::GET, "/first", at(0)).unwrap();
        for _ in 0..MOST_RECORDED {
            let _ = recorder.note(SESSION, &Method::GET, "/a", at(0));
        }
        recorder.answered(first, SESSION, 500);
        assert_eq!(
            recorder.state(at(0)).map(|state| (state.calls, state.left_out)),
            Some((MOST_RECORDED, 1))
        );
        let kept = recorder.calls(0, MOST_RECORDED);
        assert!(
            kept.iter()
                .all(|(call, _)| &*call.path == "/a" && call.status.is_none())
        );
    }
}
