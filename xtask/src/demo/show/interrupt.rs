//! Ctrl-C and `kill`: noted when they come, asked for at every step, so that all is taken down on the way out.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use tokio::signal::unix::{Signal, SignalKind, signal};

static SEEN: AtomicBool = AtomicBool::new(false);

/// From now on signals do not end the process.
pub(super) fn catch() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (interrupt, terminate, hangup) = {
        let _entered = runtime.enter();
        (
            listen(SignalKind::interrupt())?,
            listen(SignalKind::terminate())?,
            listen(SignalKind::hangup())?,
        )
    };
    thread::Builder::new()
        .name("signals".into())
        .spawn(move || runtime.block_on(note(interrupt, terminate, hangup)))
        .context("failed to start a thread")?;
    Ok(())
}

/// Fails once a signal has come.
pub(super) fn check() -> Result<()> {
    if SEEN.load(Ordering::Relaxed) {
        bail!("interrupted; everything was taken down");
    }
    Ok(())
}

/// Waits for a signal.
pub(super) fn wait() {
    const LOOK: Duration = Duration::from_millis(100);
    while !SEEN.load(Ordering::Relaxed) {
        thread::sleep(LOOK);
    }
}

fn listen(kind: SignalKind) -> Result<Signal> {
    signal(kind).context("failed to listen for signals")
}

async fn note(mut interrupt: Signal, mut terminate: Signal, mut hangup: Signal) {
    loop {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
        SEEN.store(true, Ordering::Relaxed);
    }
}
