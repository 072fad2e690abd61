//! The counters as the daemon sees them.

use std::ops::AddAssign;

use portcullis_common::{Counter, Reason};

/// Packets and bytes, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    counts: [Count; Reason::COUNTERS as usize],
}

/// Packets and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Counters {
    /// What had this outcome.
    pub fn get(&self, reason: Reason) -> Count {
        self.counts[reason.counter() as usize]
    }

    /// What would have had this outcome, but passed because the program only monitored.
    pub fn would_be(&self, reason: Reason) -> Count {
        self.counts[reason.monitor_counter() as usize]
    }

    /// What was dropped, for whatever reason.
    pub fn dropped(&self) -> Count {
        let mut sum = Count::default();
        for reason in Reason::ALL.into_iter().filter(|reason| reason.is_drop()) {
            sum += self.get(reason);
        }
        sum
    }

    /// Reason, outcome and, for reasons to drop, what monitor mode let through.
    pub fn iter(&self) -> impl Iterator<Item = (Reason, Count, Count)> + '_ {
        Reason::ALL
            .into_iter()
            .map(|reason| (reason, self.get(reason), self.would_be(reason)))
    }

    pub(super) fn add(&mut self, index: u32, counter: &Counter) {
        if let Some(count) = self.counts.get_mut(index as usize) {
            *count += Count {
                packets: counter.packets,
                bytes: counter.bytes,
            };
        }
    }
}

impl AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.packets += other.packets;
        self.bytes += other.bytes;
    }
}
