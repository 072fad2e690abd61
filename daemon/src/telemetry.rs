//! The log: to stderr, as text for people or as JSON for programs. Nothing secret is ever a field of it.

use std::io;

use crate::config::{Log, LogFormat};

/// Starts logging. A second start in one process is ignored.
pub fn start(log: &Log) {
    let builder = tracing_subscriber::fmt()
        .with_max_level(log.level)
        .with_writer(io::stderr)
        .with_target(false);
    let started = match log.format {
        LogFormat::Text => builder.with_ansi(io::IsTerminal::is_terminal(&io::stderr())).try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    if started.is_err() {
        tracing::debug!("the log was started before");
    }
}
