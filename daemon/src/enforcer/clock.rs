//! Turns "for how long" into the kernel's "until when", and back.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use portcullis_common::{BanEntry, Origin};

use super::{KernelBan, target::Key};

/// The entry of a ban that starts now.
pub(super) fn ban_entry(key: &Key, ttl: Duration, origin: Origin) -> BanEntry {
    BanEntry {
        prefix_bits: key.prefix_bits(),
        ..entry_at(boot_time(), ttl, origin)
    }
}

/// What is left of a ban now; `None` if it has ended.
pub(super) fn holding(entry: &BanEntry) -> Option<KernelBan> {
    holding_at(boot_time(), entry)
}

/// `CLOCK_BOOTTIME`: goes on while the machine sleeps, and nobody can set it.
fn boot_time() -> Duration {
    // The clock exists since Linux 2.6.39; without it every ban would have ended.
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::MAX, Duration::from)
}

fn entry_at(now: Duration, ttl: Duration, origin: Origin) -> BanEntry {
    let expires = now.saturating_add(ttl).as_nanos();
    BanEntry {
        expires_boot_ns: u64::try_from(expires).unwrap_or(u64::MAX),
        origin: origin as u32,
        prefix_bits: 0,
    }
}

fn holding_at(now: Duration, entry: &BanEntry) -> Option<KernelBan> {
    let remaining = Duration::from_nanos(entry.expires_boot_ns).checked_sub(now)?;
    (!remaining.is_zero()).then_some(KernelBan {
        remaining,
        origin: Origin::from_number(entry.origin),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ban_ends_exactly_when_it_was_told_to() {
        let start = Duration::from_secs(100);
        let entry = entry_at(start, Duration::from_secs(60), Origin::Operator);
        let left = |now| holding_at(now, &entry).map(|ban| ban.remaining);
        assert_eq!(left(start), Some(Duration::from_secs(60)));
        assert_eq!(left(Duration::new(159, 999_999_999)), Some(Duration::from_nanos(1)));
        assert_eq!(left(Duration::from_secs(160)), None);
        assert_eq!(left(Duration::from_secs(161)), None);
    }

    #[test]
    fn an_endless_ttl_ends_with_the_clock() {
        let entry = entry_at(Duration::from_secs(1), Duration::MAX, Origin::List);
        assert_eq!(entry.expires_boot_ns, u64::MAX);
    }
}
