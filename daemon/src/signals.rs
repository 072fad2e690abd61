//! Signals from outside: until they are listened for, each ends the process.

use anyhow::{Context, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Those that mean something, from when on they are listened for.
pub struct Signals {
    /// Somebody wants it to stop.
    pub stop: Stop,
    /// SIGHUP: the configuration is to be read anew.
    pub hangup: Signal,
}

/// SIGTERM and SIGINT.
pub struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Listens, in the runtime that it is called in.
    ///
    /// # Errors
    /// What the system says.
    pub fn listen() -> Result<Self> {
        let terminate = signal(SignalKind::terminate()).context("failed to listen for SIGTERM")?;
        let interrupt = signal(SignalKind::interrupt()).context("failed to listen for SIGINT")?;
        Ok(Self {
            stop: Stop { terminate, interrupt },
            hangup: signal(SignalKind::hangup()).context("failed to listen for SIGHUP")?,
        })
    }
}

impl Stop {
    /// Returns when one of them has come.
    pub async fn come(mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
