//! Facts of addresses, networks, browsers and users, as they are written down.

use std::sync::PoisonError;

use serde::{Deserialize, Serialize};

use super::{HolderKey, SharedFacts};
use crate::changes::Changed;
use crate::sequence::facts::{Facts, Revived};
use crate::sequence::{BindingKey, Rules};
use crate::time::MonoMillis;

/// Somebody's facts, as they are written down.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KeptFacts(Facts);

impl KeptFacts {
    /// When rules last looked at them.
    #[must_use]
    pub fn used(&self) -> MonoMillis {
        self.0.latest
    }
}

/// Why facts do not come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotRestored {
    /// Nothing in them matters any more, after what they lost.
    Over(Revived),
    /// There is no room.
    Full,
    /// They are not what was written down.
    Garbled,
}

impl HolderKey {
    /// Length in bytes.
    pub const BYTES: usize = 16;

    /// As bytes. They say who it is only to who has the key of the hash.
    #[must_use]
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..8].copy_from_slice(&self.0.to_be_bytes());
        bytes[8..].copy_from_slice(&self.1.to_be_bytes());
        bytes
    }

    /// The same back.
    #[must_use]
    pub fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        let [a, b, c, d, e, f, g, h, rest @ ..] = bytes;
        Self(u64::from_be_bytes([a, b, c, d, e, f, g, h]), u64::from_be_bytes(rest))
    }
}

impl SharedFacts {
    /// Tells holders apart by this key from here on.
    pub(crate) fn set_key(&mut self, key: BindingKey) {
        self.key = key;
    }

    /// Whose facts changed since the last call.
    pub(crate) fn take_changed(&self) -> Changed<HolderKey> {
        let shards = self.shards.iter();
        Changed::joined(shards.map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner).changes.take()))
    }

    /// Everybody who has facts.
    pub(crate) fn names(&self) -> Vec<HolderKey> {
        let names = |shard: &std::sync::Mutex<super::Shard>| -> Vec<HolderKey> {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.holders.keys().copied().collect()
        };
        self.shards.iter().flat_map(names).collect()
    }

    /// Somebody's facts; `None` if there are none. A later change is told again.
    pub(crate) fn keep(&self, key: HolderKey) -> Option<KeptFacts> {
        let mut shard = self.shards[self.place(key)]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let facts = shard.holders.get_mut(&key)?;
        facts.is_noted = false;
        Some(KeptFacts(facts.clone()))
    }

    /// Gives somebody's facts back; see [`Facts::revive`].
    pub(crate) fn restore(
        &self,
        key: HolderKey,
        kept: KeptFacts,
        rules: &Rules,
        keeps_time: bool,
        now: MonoMillis,
    ) -> Result<Revived, NotRestored> {
        let KeptFacts(mut facts) = kept;
        let mut revived = Revived::default();
        if !facts.revive(|slot| rules.has_slot(slot), keeps_time, &mut revived) {
            return Err(NotRestored::Garbled);
        }
        if facts.is_over(now) {
            return Err(NotRestored::Over(revived));
        }
        let mut shard = self.shards[self.place(key)]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if shard.holders.len() >= shard.capacity {
            return Err(NotRestored::Full);
        }
        // What it had beyond the first room it still needs, whatever is left in the pool.
        let extra = facts.lacks(0, now);
        facts.give(u32::try_from(extra).unwrap_or(u32::MAX));
        shard.given += extra;
        shard.holders.insert(key, facts);
        Ok(revived)
    }
}
