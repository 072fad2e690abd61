//! Learns rules from what good sessions did: a proposal in monitor mode, with its evidence as comments.
//!
//! Whoever got points or was refused teaches nothing, with his whole session: else an abuser could teach the gate that
//! abuse is usual.

mod habits;
mod operations;
mod proposal;
mod recorder;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use http::Method;

use crate::path::NormalPath;
use habits::Habits;
use operations::Operations;
pub use recorder::{MOST_RECORDED, RecordedCall, RecordedNumber, Recorder, RecordingState};

/// Calls that are learned from at most.
pub const MOST_CALLS: usize = 5_000_000;

/// One recorded call.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// When, in milliseconds since anything.
    pub at: u64,
    /// By which session.
    pub session: &'a str,
    /// The method.
    pub method: &'a str,
    /// The path, without the query.
    pub path: &'a str,
    /// What the application answered.
    pub status: u16,
    /// The session had points, or the call was refused.
    pub is_suspect: bool,
}

/// How sure a proposal must be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evidence {
    /// Sessions that made a call, before anything is proposed about it.
    pub sessions: usize,
    /// The share of them in which the call that it needs came before.
    pub certainty: f64,
}

impl Default for Evidence {
    fn default() -> Self {
        Self {
            sessions: 500,
            certainty: 0.995,
        }
    }
}

/// A call that cannot be learned from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unlearnable {
    /// The path has more than one reading; the gate refuses it.
    #[error("the path could be understood in two ways")]
    Path,
    /// Not a method.
    #[error("this is no method")]
    Method,
    /// No room for more.
    #[error("more than {MOST_CALLS} calls: a part of them teaches as much")]
    Full,
}

/// Collects calls, and proposes.
#[derive(Debug, Default)]
pub struct Learner {
    sessions: BTreeMap<String, Lesson>,
    calls: usize,
}

/// What one session did.
#[derive(Debug, Default)]
struct Lesson {
    calls: Vec<Call>,
    is_suspect: bool,
}

/// One call of it.
#[derive(Debug)]
struct Call {
    at: u64,
    method: Method,
    path: NormalPath,
    status: u16,
}

impl Learner {
    /// Takes a call in, in any order.
    ///
    /// # Errors
    /// [`Unlearnable`]; the call is left out.
    pub fn see(&mut self, seen: &Seen<'_>) -> Result<(), Unlearnable> {
        if self.calls >= MOST_CALLS {
            return Err(Unlearnable::Full);
        }
        let lesson = self.sessions.entry(seen.session.to_owned()).or_default();
        lesson.is_suspect |= seen.is_suspect;
        let method = Method::from_bytes(seen.method.as_bytes()).map_err(|_| Unlearnable::Method)?;
        // HEAD counts as GET.
        let method = if method == Method::HEAD { Method::GET } else { method };
        lesson.calls.push(Call {
            at: seen.at,
            method,
            path: NormalPath::parse(seen.path).map_err(|_| Unlearnable::Path)?,
            status: seen.status,
        });
        self.calls += 1;
        Ok(())
    }

    /// What good sessions have in common, as a rule file that only watches.
    #[must_use]
    pub fn propose(mut self, evidence: &Evidence) -> String {
        let all = self.sessions.len();
        self.sessions.retain(|_, lesson| !lesson.is_suspect);
        for lesson in self.sessions.values_mut() {
            lesson.calls.sort_by_key(|call| call.at);
        }
        let lessons: Vec<&[Call]> = self.sessions.values().map(|lesson| lesson.calls.as_slice()).collect();
        let operations = Operations::of(lessons.iter().copied().flatten());
        let habits = Habits::of(&operations, &lessons);
        proposal::write(&operations, &habits, evidence, all - lessons.len())
    }
}
