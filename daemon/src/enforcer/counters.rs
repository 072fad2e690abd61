//! The counters as the daemon sees them.

use std::ops::AddAssign;

use aya::util::nr_cpus;
use portcullis_common::{Counter, Reason, maps};

use super::EnforcerError;
use super::table::{Source, Table};

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

/// The counters of the outcomes.
pub(super) struct CounterTable {
    table: Table<u32, Counter>,
    /// Asked once: the answer is in `/sys`, which the sandbox hides later.
    possible_cpus: usize,
}

impl CounterTable {
    pub(super) fn open(program: &Source<'_>) -> Result<Self, EnforcerError> {
        let possible_cpus = nr_cpus().map_err(|(path, error)| EnforcerError::Load {
            reason: format!("failed to read {path}: {error}"),
        })?;
        Ok(Self {
            table: Table::open(program, maps::COUNTERS)?,
            possible_cpus,
        })
    }

    pub(super) fn sums(&self) -> Result<Counters, EnforcerError> {
        let mut sums = Counters::default();
        let mut per_cpu = vec![Counter::default(); self.possible_cpus];
        for index in 0..Reason::COUNTERS {
            self.table.get_per_cpu(index, &mut per_cpu)?;
            for counter in &per_cpu {
                sums.add(index, counter);
            }
        }
        Ok(sums)
    }
}
