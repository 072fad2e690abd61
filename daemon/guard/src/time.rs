//! Time as an argument. Client timestamps are compared with the wall clock; ages and expiries of our own with the
//! monotonic clock, so that a clock that is set does not lengthen a ban.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Milliseconds since the Unix epoch, from the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct WallMillis(pub u64);

impl WallMillis {
    /// Whole seconds since the Unix epoch, rounded down.
    #[must_use]
    pub fn seconds(self) -> u64 {
        self.0 / 1000
    }

    /// This moment plus `by`; saturates at the end of time.
    #[must_use]
    pub fn after(self, by: Duration) -> Self {
        Self(self.0.saturating_add(millis(by)))
    }
}

/// Milliseconds of the monotonic clock, from an arbitrary start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MonoMillis(pub u64);

impl MonoMillis {
    /// Time that has passed since `earlier`; zero if `earlier` lies ahead.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// This moment plus `by`; saturates at the end of time.
    #[must_use]
    pub fn after(self, by: Duration) -> Self {
        Self(self.0.saturating_add(millis(by)))
    }
}

impl MonoMillis {
    /// This moment less `by`; `None` before the start of the clock.
    #[must_use]
    pub fn before(self, by: Duration) -> Option<Self> {
        self.0.checked_sub(millis(by)).map(Self)
    }
}

/// The two clocks, read once for each decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// For what clients claim.
    pub wall: WallMillis,
    /// For what we count ourselves.
    pub mono: MonoMillis,
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
