//! Sources as they are written down: their points, and who called cleanly from there.

use serde::{Deserialize, Serialize};

use super::{CLEAN_KEPT, Record, SourceTable};
use crate::changes::Changed;
use crate::ledger::{Earlier, Ledger};
use crate::request::Source;
use crate::score::Score;
use crate::session::SessionId;
use crate::time::MonoMillis;

/// A source, as it is written down. Times are those of the guard's clock.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KeptSource {
    source: Source,
    score: Score,
    points: Option<Earlier>,
    clean: [Option<(SessionId, MonoMillis)>; CLEAN_KEPT],
}

impl SourceTable {
    /// What changed since the last call.
    pub(crate) fn take_changed(&self) -> Changed<Source> {
        Changed::joined(self.each().map(|mut shard| shard.take_changed()))
    }

    /// Every source that is remembered.
    pub(crate) fn names(&self) -> Vec<Source> {
        self.each().flat_map(|shard| shard.names()).collect()
    }

    /// A source; `None` if it is not remembered. A later change is told again.
    pub(crate) fn keep(&self, source: Source) -> Option<KeptSource> {
        let mut shard = self.shard(source);
        let record = shard.keep(&source)?;
        Some(KeptSource {
            source,
            score: record.score,
            points: record.ledger.sum(),
            clean: record.clean,
        })
    }

    /// Gives a source back; `false` if there is no room.
    pub(crate) fn restore(&self, kept: &KeptSource) -> bool {
        let record = Record {
            score: kept.score,
            ledger: Ledger::of_sum(kept.points),
            clean: kept.clean,
        };
        self.shard(kept.source).restore(kept.source, record)
    }
}
