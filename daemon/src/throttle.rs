//! A bound on what strangers can make us write: so many lines a second, and then how many were left out.

use std::sync::atomic::{AtomicU64, Ordering};

use portcullis_guard::time::MonoMillis;

/// Lets through at most so many events in each second.
pub struct Throttle {
    per_second: u64,
    /// The second in the upper half, what was let through in it in the lower.
    state: AtomicU64,
    left_out: AtomicU64,
}

/// Whether an event may be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// Tell it, and that so many before it were left out.
    Granted(u64),
    /// Leave it out.
    Refused,
}

impl Throttle {
    /// At most `per_second` events.
    #[must_use]
    pub const fn new(per_second: u32) -> Self {
        Self {
            per_second: per_second as u64,
            state: AtomicU64::new(0),
            left_out: AtomicU64::new(0),
        }
    }

    /// Asks for one event.
    pub fn ask(&self, now: MonoMillis) -> Leave {
        let second = (now.0 / 1000) << 32;
        let take = |state: u64| {
            let current = if state & !u64::from(u32::MAX) == second {
                state
            } else {
                second
            };
            (current & u64::from(u32::MAX) < self.per_second).then_some(current + 1)
        };
        if self
            .state
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
            .is_ok()
        {
            return Leave::Granted(self.left_out.swap(0, Ordering::Relaxed));
        }
        self.left_out.fetch_add(1, Ordering::Relaxed);
        Leave::Refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_a_second_and_the_rest_is_counted() {
        let throttle = Throttle::new(3);
        let asked: Vec<_> = (0..5).map(|_| throttle.ask(MonoMillis(5_000))).collect();
        let granted = Leave::Granted(0);
        assert_eq!(asked, [granted, granted, granted, Leave::Refused, Leave::Refused]);
        assert_eq!(throttle.ask(MonoMillis(6_000)), Leave::Granted(2));
        assert_eq!(throttle.ask(MonoMillis(6_001)), Leave::Granted(0));
    }
}
