//! What of a session in use outlives the process: all that decides over its next call, but for its key, which comes with
//! the call, and its streams, which have to be issued anew.

use std::net::Ipv6Addr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Connections, Rare, Record, Tick};
use crate::behaviour::Behaviour;
use crate::binding::Surroundings;
use crate::ledger::{Earlier, Ledger};
use crate::score::Score;
use crate::sequence::{Facts, Revived, Rules};
use crate::session::SessionId;
use crate::session::nonce::Streams;
use crate::time::{MonoMillis, WallMillis};

/// A session in use, as it is written down. Times are those of the guard's clock: whoever gives it back has that clock go
/// on from where it was.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KeptState {
    /// Its name.
    pub id: SessionId,
    /// When it was opened.
    pub opened: WallMillis,
    /// Its last call.
    pub used: MonoMillis,
    lifetime: u32,
    binding: Surroundings,
    facts: Option<Box<Facts>>,
    score: Score,
    points: Option<Earlier>,
    behaviour: Behaviour,
    unjudged: f32,
    rare: Option<Box<Rare>>,
    client: Ipv6Addr,
    user_agent: Arc<str>,
    began: Tick,
    calls: u32,
}

impl Record {
    /// As it is written down.
    pub(in crate::session) fn keep(&self) -> KeptState {
        KeptState {
            id: self.id,
            opened: self.opened,
            used: self.used,
            lifetime: self.lifetime,
            binding: self.binding.clone(),
            facts: self.facts.clone(),
            score: self.score,
            points: self.ledger.sum(),
            behaviour: self.behaviour,
            unjudged: self.unjudged,
            rare: self.rare.clone(),
            client: self.client,
            user_agent: Arc::clone(&self.user_agent),
            began: self.began,
            calls: self.calls,
        }
    }

    /// Makes its facts good for this process; `None` if they are not what was written.
    pub(in crate::session) fn revive(&mut self, rules: &Rules) -> Option<Revived> {
        let Some(facts) = &mut self.facts else {
            return Some(Revived::default());
        };
        let revived = rules.revive(facts)?;
        if facts.is_empty() {
            self.facts = None;
        }
        Some(revived)
    }

    /// As it was written down. It knows its key when it calls.
    pub(in crate::session) fn of_kept(kept: KeptState) -> Self {
        Self {
            id: kept.id,
            opened: kept.opened,
            lifetime: kept.lifetime,
            verifier: None,
            streams: Streams::incomplete(),
            binding: kept.binding,
            facts: kept.facts,
            score: kept.score,
            ledger: Ledger::of_sum(kept.points),
            behaviour: kept.behaviour,
            unjudged: kept.unjudged,
            rare: kept.rare,
            vouched: None,
            client: kept.client,
            user_agent: kept.user_agent,
            began: kept.began,
            used: kept.used,
            calls: kept.calls,
            connections: Connections::default(),
            is_noted: false,
        }
    }
}
