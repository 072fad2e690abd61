//! What `run` does between its last start and its first request: it gives its privileges up, and says how far.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use anyhow::{Context, Result, anyhow};
use tokio::sync::oneshot;

use crate::config::Config;
use crate::confine::{self, Extent, Needs};
use crate::enforcer::Enforcer;
use crate::gate::Gate;

/// Gives up what the daemon needs no longer. Everything is open by now that takes privilege to open, and no other
/// thread runs.
///
/// # Errors
/// If something would have been kept: then nobody should be served.
pub fn settle(config: &Config) -> Result<()> {
    let files = files(config);
    let confined = confine::daemon(&Needs {
        user: config.service.user.as_deref(),
        state: &config.state.directory,
        files: &files,
    })
    .context("failed to give up privileges")?;
    let user = confined.user;
    if let Some(reason) = confined.root {
        tracing::warn!(
            reason,
            "the daemon stays root, without capabilities; set service.user to a user of its own"
        );
    }
    match confined.files {
        Extent::Whole => {}
        Extent::Part => {
            tracing::info!("this kernel confines the daemon to its files only in part: its landlock is older");
        }
        Extent::Nothing => tracing::warn!("this kernel does not confine the daemon to its files: it has no landlock"),
    }
    let state = &config.state.directory;
    fs::read_dir(state).map(drop).with_context(|| {
        format!(
            "the user `{user}` cannot reach {}: it needs to pass all directories above (chmod o+x, or another state.directory)",
            state.display()
        )
    })?;
    tracing::info!(user, "privileges given up");
    for path in files {
        if let Err(error) = File::open(&path)
            && error.kind() == io::ErrorKind::PermissionDenied
        {
            tracing::warn!(
                file = %path.display(),
                user,
                "cannot be read anew: a change of it takes a restart, unless the group of that user may read it (chgrp, chmod g+r, and g+x for its directories)"
            );
        }
    }
    Ok(())
}

/// The files that are read anew when they change, or on reload.
fn files(config: &Config) -> Vec<PathBuf> {
    let listeners = config.http.listeners.iter();
    let tls = listeners.filter_map(|listener| listener.tls.as_ref());
    let certificates = tls.flat_map(|tls| &tls.certificates);
    let certificates = certificates.flat_map(|files| [files.chain.clone(), files.key.clone()]);
    let pools = std::iter::once(&config.http.upstream).chain(&config.http.upstreams);
    let authorities = pools
        .map(|pool| pool.care.authorities.clone())
        .filter(|path| path.exists());
    let own = config.file.iter().chain(&config.rule_files).cloned();
    let mut files: Vec<_> = own.chain(certificates).chain(authorities).collect();
    files.sort();
    files.dedup();
    files
}

/// Tells when the privileged helper ends, if there is one. It should not before the daemon lets it.
///
/// # Errors
/// If nobody can wait for it.
pub fn watch_helper(gate: &Arc<Gate>) -> Result<Option<Watch>> {
    let Some(mut helper) = gate.kernel().and_then(Enforcer::take_helper) else {
        return Ok(None);
    };
    let (tell, ended) = oneshot::channel();
    let wait = move || {
        let status = helper.wait();
        // Nobody listens any more while the daemon stops.
        let _ = tell.send(status.map_or_else(|error| error.to_string(), |status| status.to_string()));
    };
    let thread = thread::Builder::new().name("helper".into()).spawn(wait);
    let thread = thread.context("failed to watch the privileged helper")?;
    Ok(Some(Watch { thread, ended }))
}

/// Returns when the helper has ended before it was let. Without it the gate could not guard an interface that returns:
/// whoever restarts it does better.
pub async fn helper_ended(watch: Option<&mut Watch>) -> anyhow::Error {
    let ended = match watch {
        Some(watch) => (&mut watch.ended).await,
        None => std::future::pending().await,
    };
    anyhow!("the privileged helper ended ({})", ended.unwrap_or_default())
}

/// Who waits for the helper.
pub struct Watch {
    thread: thread::JoinHandle<()>,
    ended: oneshot::Receiver<String>,
}

impl Watch {
    /// Lets the helper end, and waits for that.
    pub fn release(self, gate: &Gate) {
        if let Some(kernel) = gate.kernel() {
            kernel.release_helper();
        }
        if self.thread.join().is_err() {
            tracing::error!("nobody knows whether the privileged helper has ended");
        }
    }
}
