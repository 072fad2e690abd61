//! Connections to one server that wait for their next call.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::lane::Lane;
use super::trunk::Trunk;

/// What a call is sent over.
pub(super) enum Link {
    /// It alone.
    Lane(Lane),
    /// Others too.
    Trunk(Trunk),
}

/// Connections that wait for their next call. The oldest are taken last, and looked at now and then.
pub(super) struct Idle {
    lanes: Mutex<Vec<Lane>>,
    kept: usize,
    trunk: Mutex<Option<Trunk>>,
}

impl Idle {
    /// None yet, and at most `kept` at a time.
    pub(super) fn new(kept: usize) -> Self {
        Self {
            lanes: Mutex::default(),
            kept,
            trunk: Mutex::default(),
        }
    }

    /// One that can take a call.
    pub(super) fn take(&self, upgrades: bool) -> Option<Link> {
        if !upgrades && let Some(trunk) = self.trunk().clone().filter(Trunk::is_open) {
            return Some(Link::Trunk(trunk));
        }
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(mut lane) = lanes.pop() {
            if lane.is_free() {
                return Some(Link::Lane(lane));
            }
        }
        None
    }

    /// Keeps a connection for all calls from here on, or none.
    pub(super) fn keep(&self, trunk: Option<Trunk>) {
        *self.trunk() = trunk;
    }

    fn trunk(&self) -> MutexGuard<'_, Option<Trunk>> {
        self.trunk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a connection that is free again.
    pub(super) fn put(&self, lane: Lane) {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        if lanes.len() < self.kept {
            lanes.push(lane);
        }
    }

    /// Lets go of those that the application has closed.
    pub(super) fn sweep(&self) {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        lanes.retain_mut(Lane::is_free);
    }
}
