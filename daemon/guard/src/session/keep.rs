//! What of an ended session outlives the process: enough to keep it out, and to tell the operator which one it was.

use std::time::Duration;

use super::{SessionId, SessionStatus, SessionSummary};
use crate::request::ClientAddress;
use crate::time::{Now, WallMillis};

/// A session that was ended before its time.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptSession {
    /// Its name.
    pub id: SessionId,
    /// When it was opened.
    pub opened: WallMillis,
    /// When it ends in any case.
    pub expires: WallMillis,
    /// Until when it is banned; `None`: for good.
    pub until: Option<WallMillis>,
    /// From where it was last used.
    pub client: ClientAddress,
    /// Points at its end.
    pub score: f32,
    /// Calls that passed.
    pub calls: u64,
    /// The User-Agent it was bound to.
    pub user_agent: String,
    /// Who the application said that it is.
    pub user: Option<String>,
}

impl KeptSession {
    pub(super) fn of(summary: &SessionSummary, until: Option<WallMillis>) -> Self {
        Self {
            id: summary.id,
            opened: summary.opened,
            expires: summary.expires,
            until,
            client: summary.client,
            score: summary.score,
            calls: summary.calls,
            user_agent: summary.user_agent.clone(),
            user: summary.user.clone(),
        }
    }

    /// What is left of its ban, never longer than the session itself could last.
    pub(super) fn remaining(&self, until: WallMillis, now: Now) -> Duration {
        let left = |end: WallMillis| Duration::from_millis(end.0.saturating_sub(now.wall.0));
        left(until).min(left(self.expires))
    }

    pub(super) fn summary(&self, now: Now) -> SessionSummary {
        SessionSummary {
            id: self.id,
            opened: self.opened,
            expires: self.expires,
            idle: Duration::ZERO,
            client: self.client,
            user_agent: self.user_agent.clone(),
            user: self.user.clone(),
            score: self.score,
            streams: 0,
            connections: 0,
            calls: self.calls,
            status: match self.until {
                None => SessionStatus::Revoked,
                Some(until) => SessionStatus::Banned(self.remaining(until, now)),
            },
        }
    }
}
