//! Sources as they are written down: their points, and who called cleanly from there.

use std::net::IpAddr;
use std::sync::PoisonError;

use serde::{Deserialize, Serialize};

use super::{CLEAN_KEPT, Record, SourceTable};
use crate::changes::Changed;
use crate::ledger::{Earlier, Ledger};
use crate::request::{ClientAddress, Source};
use crate::score::Score;
use crate::session::SessionId;
use crate::time::MonoMillis;

/// A source, as it is written down. Times are those of the guard's clock.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KeptSource {
    address: IpAddr,
    score: Score,
    points: Option<Earlier>,
    clean: [Option<(SessionId, MonoMillis)>; CLEAN_KEPT],
}

impl SourceTable {
    /// What changed since the last call.
    pub(crate) fn take_changed(&self) -> Changed<Source> {
        let shards = self.shards.iter();
        Changed::joined(shards.map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner).changes.take()))
    }

    /// Every source that is remembered.
    pub(crate) fn names(&self) -> Vec<Source> {
        let names = |shard: &std::sync::Mutex<super::Shard>| -> Vec<Source> {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.records.iter().map(|(source, _)| *source).collect()
        };
        self.shards.iter().flat_map(names).collect()
    }

    /// A source; `None` if it is not remembered. A later change is told again.
    pub(crate) fn keep(&self, source: Source) -> Option<KeptSource> {
        let mut shard = self.shard(source);
        let record = shard.records.peek_mut(&source)?;
        record.is_noted = false;
        Some(KeptSource {
            address: source.network().addr(),
            score: record.score,
            points: record.ledger.sum(),
            clean: record.clean,
        })
    }

    /// Gives a source back; `false` if there is no room.
    pub(crate) fn restore(&self, kept: &KeptSource) -> bool {
        let source = ClientAddress::new(kept.address).source();
        let mut shard = self.shard(source);
        if shard.records.len() >= shard.records.cap().get() {
            return false;
        }
        let record = Record {
            score: kept.score,
            ledger: Ledger::of_sum(kept.points),
            clean: kept.clean,
            is_noted: false,
        };
        shard.records.push(source, record);
        true
    }
}
