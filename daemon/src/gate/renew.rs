//! Another configuration while the gate is at work.

use std::sync::Arc;
use std::time::Duration;

use portcullis_guard::blacklist::Allowed;

use super::trial::Before;
use super::{ExemptError, Gate};
use crate::config::Config;
use crate::reload::{Reload, ReloadError, Reloaded, Standing};

impl Gate {
    /// Gives it what reloads everything; only the first counts.
    pub fn with_reload(&self, reload: Reload) {
        let _ = self.reload.set(reload);
    }

    /// Reads the configuration anew and puts in force what can be without a restart: for good, or for `span` unless it is
    /// confirmed.
    ///
    /// # Errors
    /// [`ReloadError`]; nothing has changed then.
    pub fn reload(&self, span: Option<Duration>, who: &str) -> Result<Reloaded, ReloadError> {
        let reload = self.reload.get().ok_or(ReloadError::NoFile)?;
        let mut reloaded = None;
        self.try_change(span, "a reload of the configuration", who, || {
            let guard = self.guard();
            let before = Before::Configuration {
                standing: reload.standing(self),
                rules: guard.rules(),
                enforcement: (guard.mode(), guard.enforced_share()),
            };
            reloaded = Some(reload.run(self)?);
            Ok::<_, ReloadError>(before)
        })?;
        reloaded.ok_or(ReloadError::NoFile)
    }

    /// Puts the configuration of before in force again.
    pub(super) fn put_back(&self, before: &Standing) -> Result<(), ReloadError> {
        let reload = self.reload.get().ok_or(ReloadError::NoFile)?;
        reload.put_back(self, before).map(drop)
    }

    /// Puts another configuration in force: what decides by it, and what is looked up in it.
    pub(crate) fn adopt(&self, config: Arc<Config>) {
        self.guard.set(self.guard().under(config.policy.clone()));
        self.config.set(config);
    }

    /// Makes these entries, and no others, the part of the never-ban set that the machine and its configuration fix.
    ///
    /// # Errors
    /// If the set is full, or the kernel refuses. Nothing has changed then.
    pub(crate) fn fix(&self, entries: Vec<Allowed>) -> Result<(), ExemptError> {
        let guard = self.guard();
        let before: Vec<Allowed> = guard.allowed().into_iter().filter(|entry| entry.fixed).collect();
        let outcome = self.perform(guard.fix(entries)?);
        if outcome.is_err() {
            // What the kernel refuses of this is logged, and repaired when it is compared.
            let _ = guard.fix(before).map(|effects| self.perform(effects));
        }
        Ok(outcome?)
    }
}
