//! How much work opening a session costs a source.

use std::time::Duration;

use crate::sketch::Recent;

/// The time in which the number of sessions that a source opened halves.
pub const HALF_LIFE: Duration = Duration::from_secs(600);
/// An IPv6 /48 is one customer or many; it may open this many times as much as a /64.
const WIDER: f32 = 8.0;

/// Whether opening a session costs work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WorkMode {
    /// Never.
    Off,
    /// For sources that have points, or opened many sessions lately.
    #[default]
    Reputation,
    /// For everybody.
    Always,
}

/// How much work.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WorkPolicy {
    /// For whom.
    pub mode: WorkMode,
    /// Zero bits of each of the eight puzzles to begin with.
    pub bits: u8,
    /// Zero bits at the most.
    pub max_bits: u8,
    /// Points of a source from which on it must work.
    pub points: f32,
    /// Sessions that a source may open within some minutes without work.
    pub sessions: f32,
}

impl Default for WorkPolicy {
    fn default() -> Self {
        Self {
            mode: WorkMode::default(),
            bits: 14,
            max_bits: 20,
            points: 50.0,
            sessions: 30.0,
        }
    }
}

/// Times that the work doubles for a client whose sessions were banned one after the other.
const DISTRUST: u8 = 2;

impl WorkPolicy {
    /// The bits that a distrusted client has to find. People who look like it wait a second or two.
    #[must_use]
    pub fn bits_for_distrusted(&self) -> Option<u8> {
        match self.mode {
            WorkMode::Off => None,
            WorkMode::Reputation | WorkMode::Always => Some(self.bits.saturating_add(DISTRUST).min(self.max_bits)),
        }
    }

    /// The bits that a source has to find: one more each time its points or sessions double. `None`: it need not work.
    #[must_use]
    pub fn bits_for(&self, points: f32, opened: Recent) -> Option<u8> {
        let sessions = opened.source.max(opened.wider / WIDER);
        let excess = (points / self.points).max(sessions / self.sessions);
        let is_due = match self.mode {
            WorkMode::Off => false,
            // Counts fade from the first moment on, so that thirty sessions are never quite thirty.
            WorkMode::Reputation => excess >= 0.99,
            WorkMode::Always => true,
        };
        // A cast saturates; 255 doublings are out of reach.
        let doublings = excess.max(1.0).log2() as u8;
        is_due.then(|| self.bits.saturating_add(doublings).min(self.max_bits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_difficulty_follows_the_reputation() {
        let policy = WorkPolicy::default();
        let opened = |source| Recent { source, wider: source };
        for (points, sessions, bits) in [
            (0.0, 0.0, None),
            (49.0, 29.0, None),
            (50.0, 0.0, Some(14)),
            (0.0, 30.0, Some(14)),
            (99.9, 30.0, Some(14)),
            (100.0, 30.0, Some(15)),
            (100.0, 240.0, Some(17)),
            (1e9, 0.0, Some(20)),
        ] {
            assert_eq!(policy.bits_for(points, opened(sessions)), bits, "{points} {sessions}");
        }
        let wide = Recent {
            source: 1.0,
            wider: 240.0,
        };
        assert_eq!(policy.bits_for(0.0, wide), Some(14));
        let with = |mode| WorkPolicy { mode, ..policy };
        assert_eq!(with(WorkMode::Always).bits_for(0.0, opened(0.0)), Some(14));
        assert_eq!(with(WorkMode::Off).bits_for(1e9, opened(1e9)), None);
        assert_eq!(with(WorkMode::Off).bits_for_distrusted(), None);
        assert_eq!(policy.bits_for_distrusted(), Some(16));
    }
}
