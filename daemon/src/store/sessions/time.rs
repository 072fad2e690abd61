//! How much time has passed since the last run, and where the guard's clock goes on.

use std::time::Duration;

use portcullis_guard::time::{MonoMillis, WallMillis};
use serde::{Deserialize, Serialize};

/// By how much the two clocks may differ after a boot, without one of them having been set.
const TOLERANCE: u64 = 2_000;
/// By how much they may differ where nobody names the run of the kernel: clocks are set by so much, and a boot takes longer.
const SET: u64 = 5_000;
/// The guard counts tenths of a second in 32 bits, which is 13 years. Before that, memory begins anew.
const LONGEST: u64 = 10 * 365 * 86_400_000;

/// The clocks of one moment, as they are written down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Clocks {
    /// Names the run of the kernel.
    pub(super) boot: String,
    /// Milliseconds since it began.
    pub(super) since_boot: u64,
    /// The guard's clock.
    pub(super) mono: MonoMillis,
    /// The time of day.
    pub(super) wall: WallMillis,
}

/// Where the guard's clock goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Resumed {
    pub(super) mono: MonoMillis,
    /// Whether it is known how much time has passed.
    pub(super) keeps_time: bool,
}

/// What the guard's clock shows now, if it showed `before.mono` then. `None`: that is too long ago to be told.
///
/// The time since boot cannot be set, so within one run of the kernel it alone counts. After a boot the time of day tells
/// how much has passed: at least as much as since that boot. A clock that says less was set back, or has no battery; then
/// nobody knows.
pub(super) fn resume(before: &Clocks, boot: &str, since_boot: Duration, wall: WallMillis) -> Option<Resumed> {
    let since_boot = u64::try_from(since_boot.as_millis()).unwrap_or(u64::MAX);
    let by_day = wall.0.checked_sub(before.wall.0);
    let by_boot = since_boot.checked_sub(before.since_boot);
    let is_same_boot = |by_boot: &u64| match (boot, &*before.boot) {
        ("", _) | (_, "") => by_day.is_some_and(|by_day| by_day.abs_diff(*by_boot) <= SET),
        (now, then) => now == then,
    };
    let (passed, keeps_time) = if let Some(passed) = by_boot.filter(is_same_boot) {
        (passed, true)
    } else {
        let keeps_time = by_day.is_some_and(|passed| passed.saturating_add(TOLERANCE) >= since_boot);
        (by_day.unwrap_or(0).max(since_boot), keeps_time)
    };
    let mono = MonoMillis(before.mono.0.checked_add(passed)?);
    (mono.0 < LONGEST).then_some(Resumed { mono, keeps_time })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000;

    fn before() -> Clocks {
        Clocks {
            boot: "one".into(),
            since_boot: HOUR,
            mono: MonoMillis(5 * HOUR),
            wall: WallMillis(1000 * HOUR),
        }
    }

    fn resumed(boot: &str, since_boot: u64, wall: u64) -> Option<(u64, bool)> {
        let resumed = resume(&before(), boot, Duration::from_millis(since_boot), WallMillis(wall))?;
        Some((resumed.mono.0, resumed.keeps_time))
    }

    #[test]
    fn within_one_boot_a_clock_that_is_set_changes_nothing() {
        for wall in [0, 999 * HOUR, 1000 * HOUR + 60_000, 5000 * HOUR] {
            assert_eq!(resumed("one", HOUR + 60_000, wall), Some((5 * HOUR + 60_000, true)));
        }
    }

    #[test]
    fn after_a_boot_the_time_of_day_tells() {
        assert_eq!(resumed("two", 30_000, 1002 * HOUR), Some((7 * HOUR, true)));
        assert_eq!(
            resumed("one", 30_000, 1002 * HOUR),
            Some((7 * HOUR, true)),
            "another namespace of time under the same name"
        );
        assert_eq!(
            resumed("two", HOUR, 1001 * HOUR - 1500),
            Some((6 * HOUR, true)),
            "it ticks a little slower"
        );
    }

    #[test]
    fn where_nobody_names_the_boot_both_clocks_must_agree() {
        let unnamed = |since_boot, wall| resumed("", since_boot, wall);
        assert_eq!(
            unnamed(HOUR + 60_000, 1000 * HOUR + 58_000),
            Some((5 * HOUR + 60_000, true))
        );
        assert_eq!(unnamed(HOUR + 60_000, 1000 * HOUR), Some((6 * HOUR + 60_000, false)));
        assert_eq!(
            unnamed(HOUR + 60_000, 1003 * HOUR),
            Some((8 * HOUR, true)),
            "a later boot"
        );
    }

    #[test]
    fn a_clock_that_jumped_back_tells_nothing() {
        assert_eq!(resumed("two", 30_000, 999 * HOUR), Some((5 * HOUR + 30_000, false)));
        assert_eq!(resumed("two", 30_000, 0), Some((5 * HOUR + 30_000, false)));
        assert_eq!(
            resumed("two", HOUR, 1000 * HOUR + 60_000),
            Some((6 * HOUR, false)),
            "so much passed since the boot alone"
        );
    }

    #[test]
    fn a_clock_that_jumped_by_decades_begins_anew() {
        assert_eq!(resumed("two", 30_000, 200_000 * HOUR), None);
        assert_eq!(resumed("two", 30_000, u64::MAX), None);
    }
}
