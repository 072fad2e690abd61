//! The log: to stderr, as text for people or as JSON for programs. Nothing secret is ever a field of it.

use std::io;
use std::sync::OnceLock;

use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

use crate::config::{Log, LogFormat};

/// What the log of this process shows.
static LEVEL: OnceLock<reload::Handle<LevelFilter, Registry>> = OnceLock::new();

/// Starts logging. A second start in one process is ignored.
pub fn start(log: &Log) {
    let (level, handle) = reload::Layer::new(LevelFilter::from_level(log.level));
    let lines = fmt::layer().with_writer(io::stderr).with_target(false);
    let lines = match log.format {
        LogFormat::Text => lines.with_ansi(io::IsTerminal::is_terminal(&io::stderr())).boxed(),
        LogFormat::Json => lines.json().boxed(),
    };
    match tracing_subscriber::registry().with(level).with(lines).try_init() {
        Ok(()) => _ = LEVEL.set(handle),
        Err(_) => tracing::debug!("the log was started before"),
    }
}

/// Shows more or less from here on.
pub fn set_level(level: Level) {
    // Fails only if the log is gone.
    let _ = LEVEL.get().map(|handle| handle.reload(LevelFilter::from_level(level)));
}
