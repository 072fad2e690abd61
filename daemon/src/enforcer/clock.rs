//! Turns "for how long" into the kernel's "until when", and back.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use portcullis_common::Origin;

use super::KernelBan;

/// When a ban ends that starts now.
pub(super) fn expiry(ttl: Duration) -> u64 {
    expiry_at(boot_time(), ttl)
}

/// The time in the kernel's units.
pub(super) fn boot_ns() -> u64 {
    nanos(boot_time())
}

/// What is left of a ban now; `None` if it has ended.
pub(super) fn holding(expires_boot_ns: u64, origin: u32) -> Option<KernelBan> {
    holding_at(boot_time(), expires_boot_ns, origin)
}

/// `CLOCK_BOOTTIME`: goes on while the machine sleeps, and nobody can set it.
pub(super) fn boot_time() -> Duration {
    // The clock exists since Linux 2.6.39; without it every ban would have ended.
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::MAX, Duration::from)
}

/// When a ban ends that starts at `now`.
pub(super) fn expiry_at(now: Duration, ttl: Duration) -> u64 {
    nanos(now.saturating_add(ttl))
}

/// A moment in the kernel's units.
pub(super) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn holding_at(now: Duration, expires_boot_ns: u64, origin: u32) -> Option<KernelBan> {
    let remaining = Duration::from_nanos(expires_boot_ns).checked_sub(now)?;
    (!remaining.is_zero()).then_some(KernelBan {
        remaining,
        origin: Origin::from_number(origin),
        hits: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ban_ends_exactly_when_it_was_told_to() {
        let start = Duration::from_secs(100);
        let expires = expiry_at(start, Duration::from_secs(60));
        let left = |now| holding_at(now, expires, Origin::Operator as u32).map(|ban| ban.remaining);
        assert_eq!(left(start), Some(Duration::from_secs(60)));
        assert_eq!(left(Duration::new(159, 999_999_999)), Some(Duration::from_nanos(1)));
        assert_eq!(left(Duration::from_secs(160)), None);
        assert_eq!(left(Duration::from_secs(161)), None);
    }

    #[test]
    fn an_endless_ttl_ends_with_the_clock() {
        assert_eq!(expiry_at(Duration::from_secs(1), Duration::MAX), u64::MAX);
    }
}
