//! Changes on trial: they are taken back by themselves unless somebody confirms them in time. So a rule or a mode that
//! locks its operator out does so for a minute.
//!
//! One change at a time is on trial. A restart ends it: then the configuration holds, as it stands in its files.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::unistd::{Pid, Uid};
use portcullis_guard::policy::{Mode, Share};
use portcullis_guard::sequence::Rules;
use portcullis_guard::time::{MonoMillis, Now, WallMillis};
use tokio::sync::Notify;

use super::{Gate, KernelError, kernel_mode};
use crate::clock;
use crate::reload::{ReloadError, Standing};
use crate::store::{Deed, Undo};

/// What the gate did before a change.
#[derive(Clone, Debug)]
pub enum Before {
    /// It judged by these rules.
    Rules(Rules),
    /// Verdicts had consequences so.
    Enforcement(Mode, Share),
    /// It went by this configuration, with these rules and consequences.
    Configuration {
        /// What was in force.
        standing: Standing,
        /// Its rules may have been reloaded by themselves.
        rules: Rules,
        /// The operator may have had the last word on it.
        enforcement: (Mode, Share),
    },
}

/// Why a change is not taken back.
#[derive(Debug, thiserror::Error)]
pub enum TakeBackError {
    /// The packet layer goes on as before.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// The configuration of before cannot be put in force.
    #[error("the configuration on trial stays: {0}")]
    Configuration(#[from] ReloadError),
}

/// A change that waits to be confirmed.
#[derive(Clone, Debug)]
pub struct Trial {
    /// What was changed, for people.
    pub what: String,
    /// Who did it.
    pub who: String,
    /// When it is taken back.
    pub until: WallMillis,
    /// The time that it has in whole.
    pub span: Duration,
    due: MonoMillis,
    before: Before,
}

/// A change that was taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakenBack {
    /// What it was.
    pub what: String,
    /// When.
    pub at: WallMillis,
    /// Whether the files still say it, so that a restart would put it in force.
    pub is_in_files: bool,
}

/// Somebody else's change is on trial.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} by {who} waits to be confirmed")]
pub struct OnTrial {
    what: String,
    who: String,
}

/// The change on trial, and the last one that was taken back.
#[derive(Default)]
pub struct Trials {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    trial: Option<Trial>,
    taken_back: Option<TakenBack>,
}

impl Trials {
    /// The change that waits to be confirmed.
    #[must_use]
    pub fn current(&self) -> Option<Trial> {
        self.state().trial.clone()
    }

    /// The last change, if it was taken back.
    #[must_use]
    pub fn taken_back(&self) -> Option<TakenBack> {
        self.state().taken_back.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long until the change on trial is taken back; `None`: none is.
    fn left(&self, now: Now) -> Option<Duration> {
        let state = self.state();
        state.trial.as_ref().map(|trial| trial.due.since(now.mono))
    }
}

impl Gate {
    /// Changes that wait to be confirmed.
    #[must_use]
    pub fn trials(&self) -> &Trials {
        &self.trials
    }

    /// Gives verdicts consequences for a share of the sessions, or takes them from all, until the next start.
    ///
    /// # Errors
    /// [`KernelError`]: calls are judged so, and the packet layer goes on as before.
    pub fn set_mode(&self, mode: Mode, share: Share) -> Result<(), KernelError> {
        self.guard().set_enforcement(mode, share);
        self.in_kernel(|kernel| kernel.set_mode(kernel_mode(self.guard().mode())))
    }

    /// Makes a change: for good, or for `span` unless it is confirmed.
    ///
    /// # Errors
    /// [`OnTrial`]: nothing was changed, as another change waits to be confirmed; or what `act` says.
    pub fn try_change<E: From<OnTrial>>(
        &self,
        span: Option<Duration>,
        what: &str,
        who: &str,
        act: impl FnOnce() -> Result<Before, E>,
    ) -> Result<Option<Trial>, E> {
        let mut state = self.trials.state();
        if let Some(Trial { what, who, .. }) = state.trial.clone() {
            return Err(OnTrial { what, who }.into());
        }
        let before = act()?;
        state.taken_back = None;
        let now = clock::now();
        state.trial = span.map(|span| Trial {
            what: what.to_owned(),
            who: who.to_owned(),
            until: now.wall.after(span),
            span,
            due: now.mono.after(span),
            before,
        });
        self.trials.changed.notify_one();
        Ok(state.trial.clone())
    }

    /// Lets the change on trial stand. `None`: there is none.
    pub fn confirm(&self) -> Option<Trial> {
        let confirmed = self.trials.state().trial.take();
        self.trials.changed.notify_one();
        confirmed
    }

    /// Takes the change on trial back at once. `None`: there is none.
    ///
    /// # Errors
    /// [`TakeBackError`].
    pub fn take_back(&self) -> Option<Result<Trial, TakeBackError>> {
        let mut state = self.trials.state();
        let trial = state.trial.take()?;
        self.trials.changed.notify_one();
        Some(self.restore(&mut state, &trial).map(|()| trial))
    }

    /// Nobody changes anything else meanwhile: the state is locked.
    fn restore(&self, state: &mut State, trial: &Trial) -> Result<(), TakeBackError> {
        state.taken_back = Some(TakenBack {
            what: trial.what.clone(),
            at: clock::now().wall,
            is_in_files: matches!(trial.before, Before::Rules(_) | Before::Configuration { .. }),
        });
        match &trial.before {
            Before::Rules(rules) => {
                self.guard().set_rules(rules.clone());
                Ok(())
            }
            Before::Enforcement(mode, share) => Ok(self.set_mode(*mode, *share)?),
            Before::Configuration {
                standing,
                rules,
                enforcement: (mode, share),
            } => {
                self.put_back(standing)?;
                self.guard().set_rules(rules.clone());
                Ok(self.set_mode(*mode, *share)?)
            }
        }
    }

    /// Takes the change on trial back if its time is over.
    fn take_back_overdue(&self) {
        let now = clock::now();
        let mut state = self.trials.state();
        let Some(trial) = state.trial.take_if(|trial| trial.due <= now.mono) else {
            return;
        };
        let outcome = self.restore(&mut state, &trial);
        drop(state);
        tracing::warn!(
            what = trial.what,
            who = trial.who,
            "a change is taken back: nobody confirmed it"
        );
        if let Err(error) = outcome {
            tracing::error!(%error, "a change could not be taken back");
        }
        let deed = Deed {
            at: now.wall,
            uid: Uid::current().as_raw(),
            pid: Some(Pid::this().as_raw()),
            who: "portcullis".to_owned(),
            action: "take-back".to_owned(),
            object: trial.what,
            reason: format!("nobody confirmed it within {} s", trial.span.as_secs()),
        };
        if let Err(error) = self.record(Vec::new(), deed, Undo::Never) {
            tracing::error!(%error, "it is not in the audit trail");
        }
    }
}

/// Takes changes back that nobody confirms. Ends with the process.
pub async fn watch(gate: Arc<Gate>) {
    loop {
        let changed = gate.trials.changed.notified();
        match gate.trials.left(clock::now()) {
            None => changed.await,
            Some(left) if left.is_zero() => {
                let gate = Arc::clone(&gate);
                // It waits for the disk.
                let _ = tokio::task::spawn_blocking(move || gate.take_back_overdue()).await;
            }
            Some(left) => {
                let _ = tokio::time::timeout(left, changed).await;
            }
        }
    }
}
