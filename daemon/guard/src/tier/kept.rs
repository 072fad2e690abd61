//! Prefixes as they are written down.

use std::sync::PoisonError;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{Record, Tiers};
use crate::changes::Changed;

/// The points of a prefix and who in it misbehaved, as they are written down. Times are those of the guard's clock.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KeptTier(Record);

impl Tiers {
    /// What changed since the last call.
    pub(crate) fn take_changed(&self) -> Changed<IpNet> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take_changed()
    }

    /// Every prefix that is remembered.
    pub(crate) fn names(&self) -> Vec<IpNet> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).names()
    }

    /// A prefix; `None` if it is not remembered. A later change is told again.
    pub(crate) fn keep(&self, network: IpNet) -> Option<KeptTier> {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        table.keep(&network).copied().map(KeptTier)
    }

    /// Gives a prefix back; `false` if there is no room.
    pub(crate) fn restore(&self, network: IpNet, kept: &KeptTier) -> bool {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        table.restore(network, kept.0)
    }
}
