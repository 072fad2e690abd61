//! Reading the configuration anew while the daemon runs: all of what can be without a restart is put in force, or nothing.
//!
//! Whatever may fail comes first and changes nothing that could not be taken back. Then connections that come find other
//! doors, and requests that come are judged, limited and forwarded by other words; those under way end as they began.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use portcullis_guard::sequence::Rules;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use crate::config::{Change, Config, ConfigErrors};
use crate::enforcer::{AttachOptions, EnforcerError};
use crate::gate::trial::OnTrial;
use crate::gate::{ExemptError, Gate, kernel_mode};
use crate::latest::Latest;
use crate::listener::Door;
use crate::listener::timer::CoarseTimer;
use crate::proxy::Proxy;
use crate::proxy::pool::Pools;
use crate::proxy::upstream::look_after;
use crate::{packets, preflight, safety, telemetry};

/// Why the running configuration stays.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// It was not read from a file, or the daemon is not up yet.
    #[error("the daemon has no file that it could read anew")]
    NoFile,
    /// The file is wrong, or files that it names.
    #[error("{0}")]
    Config(ConfigErrors),
    /// A part of it cannot be set up.
    #[error("{0:#}")]
    Part(anyhow::Error),
    /// Another change waits to be confirmed.
    #[error(transparent)]
    OnTrial(#[from] OnTrial),
    /// The never-ban set does not take it.
    #[error("never_ban, http.trusted_proxies: {0}")]
    NeverBan(#[from] ExemptError),
    /// The packet layer does not take it.
    #[error("packet: {0}")]
    Kernel(#[from] EnforcerError),
}

/// What a reload did.
#[derive(Debug)]
pub struct Reloaded {
    /// Keys that say something else; some of them only after a restart.
    pub changes: Vec<Change>,
    /// The rules that were in force.
    pub rules_before: Rules,
    /// The rules that are.
    pub rules: Rules,
    /// Certificates that are in use from here on.
    pub certificates: Vec<PathBuf>,
}

/// A configuration with what was made of its files, so that it can be in force again whatever became of these.
#[derive(Clone)]
pub struct Standing {
    config: Arc<Config>,
    pools: Arc<Pools>,
    doors: Vec<Arc<Door>>,
}

impl fmt::Debug for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Standing").finish_non_exhaustive()
    }
}

/// Everything that is replaced, and by whom it is used.
pub struct Reload {
    doors: Vec<Arc<Latest<Door>>>,
    proxies: Vec<Arc<Latest<Proxy>>>,
    /// One at a time.
    caretaker: Mutex<Caretaker>,
}

/// Who looks after the servers of the application.
pub struct Caretaker {
    pools: Arc<Pools>,
    timer: CoarseTimer,
    runtime: Handle,
    task: AbortHandle,
}

impl Caretaker {
    /// Looks after them from here on, in the runtime of this thread.
    #[must_use]
    pub fn start(pools: Arc<Pools>, timer: CoarseTimer) -> Self {
        let runtime = Handle::current();
        let task = runtime.spawn(look_after(Arc::clone(&pools), timer.clone()));
        Self {
            pools,
            timer,
            runtime,
            task: task.abort_handle(),
        }
    }

    fn change_to(&mut self, pools: &Arc<Pools>) {
        self.task.abort();
        let task = self.runtime.spawn(look_after(Arc::clone(pools), self.timer.clone()));
        self.task = task.abort_handle();
        self.pools = Arc::clone(pools);
    }
}

impl Reload {
    /// Of these doors, in the order of the listeners, and the proxies of all workers.
    #[must_use]
    pub fn new(doors: Vec<Arc<Latest<Door>>>, proxies: Vec<Arc<Latest<Proxy>>>, caretaker: Caretaker) -> Self {
        let caretaker = Mutex::new(caretaker);
        Self {
            doors,
            proxies,
            caretaker,
        }
    }

    /// Reads the file that the running configuration came from.
    ///
    /// # Errors
    /// [`ReloadError`]; nothing has changed then.
    pub fn run(&self, gate: &Gate) -> Result<Reloaded, ReloadError> {
        let file = gate.config().file.clone().ok_or(ReloadError::NoFile)?;
        let config = Config::load(&file).map_err(ReloadError::Config)?;
        let wrong = preflight::check(&config);
        if !wrong.is_empty() {
            return Err(ReloadError::Config(ConfigErrors::of_files(&file, wrong)));
        }
        self.put(gate, config)
    }

    /// What is in force.
    #[must_use]
    pub fn standing(&self, gate: &Gate) -> Standing {
        Standing {
            config: gate.config(),
            pools: Arc::clone(&self.caretaker().pools),
            doors: self.doors.iter().map(|door| door.get()).collect(),
        }
    }

    /// Puts in force again what was. It reads no file that could be gone; certificates that were replaced meanwhile are
    /// taken as they are now.
    ///
    /// # Errors
    /// [`ReloadError`]; nothing has changed then.
    pub fn put_back(&self, gate: &Gate, before: &Standing) -> Result<Reloaded, ReloadError> {
        let (config, changes) = before.config.as_ref().clone().after(&gate.config());
        let next = Standing {
            config: Arc::new(config),
            ..before.clone()
        };
        self.exchange(gate, &mut self.caretaker(), next, changes)
    }

    fn put(&self, gate: &Gate, config: Config) -> Result<Reloaded, ReloadError> {
        let mut caretaker = self.caretaker();
        let (config, changes) = config.after(&gate.config());
        let pools = caretaker.pools.renewed(&config.http).context("http.upstream, upstream");
        let next = Standing {
            pools: Arc::new(pools.map_err(ReloadError::Part)?),
            doors: self.renewed_doors(&config).map_err(ReloadError::Part)?,
            config: Arc::new(config),
        };
        self.exchange(gate, &mut caretaker, next, changes)
    }

    fn exchange(
        &self,
        gate: &Gate,
        caretaker: &mut Caretaker,
        next: Standing,
        changes: Vec<Change>,
    ) -> Result<Reloaded, ReloadError> {
        let Standing { config, pools, doors } = next;
        let running = gate.config();
        gate.fix(safety::never_ban_of(&config))?;
        if let Some(kernel) = gate.kernel()
            && let Err(error) = kernel.configure(&AttachOptions {
                mode: kernel_mode(gate.guard().mode_under(&config.policy)),
                ..packets::options(&config)
            })
        {
            let _ = gate.fix(safety::never_ban_of(&running));
            return Err(error.into());
        }
        // From here on nothing fails.
        let reloaded = Reloaded {
            changes,
            rules_before: gate.guard().rules(),
            rules: config.policy.rules.clone(),
            certificates: doors.iter().flat_map(|door| taken(door)).collect(),
        };
        telemetry::set_level(config.log.level);
        gate.adopt(config);
        for (door, renewed) in self.doors.iter().zip(doors) {
            door.set(renewed);
        }
        for proxy in &self.proxies {
            proxy.set(proxy.get().renewed(Arc::clone(&pools)));
        }
        caretaker.change_to(&pools);
        reloaded.tell();
        Ok(reloaded)
    }

    fn caretaker(&self) -> MutexGuard<'_, Caretaker> {
        self.caretaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn renewed_doors(&self, config: &Config) -> anyhow::Result<Vec<Arc<Door>>> {
        let listeners = config.http.all_listeners();
        let doors = self.doors.iter().zip(listeners);
        doors
            .map(|(door, listener)| {
                let renewed = door.get().renewed(&listener, config.http.public_scheme);
                renewed.map(Arc::new)
            })
            .collect()
    }
}

/// Has a door read its certificates anew. They were looked at a moment ago, so that few are refused.
fn taken(door: &Door) -> Vec<PathBuf> {
    let Some(tls) = &door.tls else { return Vec::new() };
    let refreshed = tls.refresh(true);
    for error in refreshed.refused {
        tracing::error!(%error, hint = error.hint(), "the certificate in use stays");
    }
    refreshed.taken
}

impl Reloaded {
    fn tell(&self) {
        for Change { key, old, new, restart } in &self.changes {
            match restart {
                None => tracing::info!(key, old, new, "changed"),
                Some(why) => tracing::warn!(key, old, new, why, "needs a restart"),
            }
        }
        for file in &self.certificates {
            tracing::info!(file = %file.display(), "a new certificate is in use");
        }
        tracing::info!(rules = self.rules.len(), "the configuration was read anew");
    }
}
