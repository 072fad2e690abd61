//! The only place where time is read. Everything else gets it as an argument.

use std::time::{SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};
use portcullis_guard::time::{MonoMillis, Now, WallMillis};

/// Both clocks, now. The monotonic one is `CLOCK_BOOTTIME`, by which the kernel ends bans too.
#[must_use]
pub fn now() -> Now {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let wall = WallMillis(u64::try_from(wall.as_millis()).unwrap_or(u64::MAX));
    Now {
        wall,
        mono: monotonic(),
    }
}

/// Time since boot, suspended time included. Zero only where the kernel has no such clock.
#[must_use]
pub fn monotonic() -> MonoMillis {
    let Ok(time) = clock_gettime(ClockId::CLOCK_BOOTTIME) else {
        return MonoMillis(0);
    };
    let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec()).unwrap_or(0);
    MonoMillis(seconds * 1000 + nanos / 1_000_000)
}
