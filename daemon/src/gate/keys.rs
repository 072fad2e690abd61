//! The keys that seal session ids: replaced when they are old, or when the operator says so.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use portcullis_guard::time::MonoMillis;

use super::Gate;
use crate::clock;
use crate::state::{KeyRing, Rotated, StateError};

/// How long after a failure a new key is tried for again.
const KEY_RETRY: Duration = Duration::from_secs(600);

/// The keys of the session ids on disk.
pub(super) struct Keys {
    ring: KeyRing,
    /// After a failure, so that a full disk does not fill the log as well.
    not_before: MonoMillis,
}

impl Gate {
    /// Gives it the keys of the session ids, to replace them when they are old or the operator says so.
    #[must_use]
    pub fn with_keys(self, ring: KeyRing) -> Self {
        let not_before = MonoMillis(0);
        Self {
            keys: Some(Mutex::new(Keys { ring, not_before })),
            ..self
        }
    }

    /// Seals session ids under a new key from here on. `None` without keys on disk.
    pub fn rotate_key(&self) -> Option<Result<Rotated, StateError>> {
        let mut keys = self.keys.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
        let lifetime = self.guard().policy().sessions.lifetime;
        let rotated = keys.ring.rotate(lifetime, clock::now().wall);
        if rotated.is_ok() {
            self.guard().set_master_keys(keys.ring.master_keys());
        }
        Some(rotated)
    }

    /// Does so if the key is old.
    pub fn rotate_old_key(&self) {
        let Some(keys) = &self.keys else { return };
        let mut keys = keys.lock().unwrap_or_else(PoisonError::into_inner);
        let (limits, now) = (self.guard().policy().sessions, clock::now());
        if now.mono < keys.not_before {
            return;
        }
        match keys.ring.rotate_if_due(limits.key_rotation, limits.lifetime, now.wall) {
            Ok(None) => {}
            Ok(Some(rotated)) => {
                self.guard().set_master_keys(keys.ring.master_keys());
                tracing::info!(key = %format_args!("{:08x}", rotated.number), "session ids are sealed under a new key");
            }
            Err(error) => {
                keys.not_before = now.mono.after(KEY_RETRY);
                tracing::error!(%error, "the old key of the session ids stays in use");
            }
        }
    }
}
