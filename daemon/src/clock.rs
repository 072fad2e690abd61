//! The only place where time is read. Everything else gets it as an argument.

use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};
use portcullis_guard::time::{MonoMillis, Now, WallMillis};

/// By how much our clock is ahead of the time since boot, in milliseconds: it goes on over restarts.
static AHEAD: AtomicU64 = AtomicU64::new(0);

/// Both clocks, now.
#[must_use]
pub fn now() -> Now {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let wall = WallMillis(u64::try_from(wall.as_millis()).unwrap_or(u64::MAX));
    Now {
        wall,
        mono: monotonic(),
    }
}

/// The monotonic clock: `CLOCK_BOOTTIME`, by which the kernel ends bans too, and what [`go_on_from`] put before it.
#[must_use]
pub fn monotonic() -> MonoMillis {
    MonoMillis(boot_millis().saturating_add(AHEAD.load(Ordering::Relaxed)))
}

/// Has the monotonic clock go on from `mono`, where an earlier run left it, so that what that run remembers still has its
/// age. At the start, before anybody remembers a time; it never goes back behind the time since boot.
pub fn go_on_from(mono: MonoMillis) {
    AHEAD.store(mono.0.saturating_sub(boot_millis()), Ordering::Relaxed);
}

/// A moment of the monotonic clock as time since boot, as the kernel tells it.
#[must_use]
pub fn since_boot(at: MonoMillis) -> Duration {
    Duration::from_millis(at.0.saturating_sub(AHEAD.load(Ordering::Relaxed)))
}

/// Names the run of the kernel: the time since boot goes on as long as it stays the same. Empty where nobody tells.
#[must_use]
pub fn boot_name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    name.trim().to_owned()
}

/// Time since boot, suspended time included. Zero only where the kernel has no such clock.
fn boot_millis() -> u64 {
    let Ok(time) = clock_gettime(ClockId::CLOCK_BOOTTIME) else {
        return 0;
    };
    let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec()).unwrap_or(0);
    seconds * 1000 + nanos / 1_000_000
}
