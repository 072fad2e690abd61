//! The log: to stderr, as text for people or as JSON for programs, or to the journal of systemd with its fields. Nothing secret is ever a field of it.

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
    let text = |lines: fmt::Layer<_, _, _, _>| lines.with_ansi(io::IsTerminal::is_terminal(&io::stderr())).boxed();
    let (lines, missing) = match log.format {
        LogFormat::Text => (text(lines), None),
        LogFormat::Json => (lines.json().boxed(), None),
        LogFormat::Journal => match journal() {
            Ok(journal) => (journal.boxed(), None),
            Err(error) => (text(lines), Some(error)),
        },
    };
    match tracing_subscriber::registry().with(level).with(lines).try_init() {
        Ok(()) => {
            _ = LEVEL.set(handle);
            if let Some(error) = missing {
                tracing::warn!(%error, "there is no journal: the log is text on stderr");
            }
        }
        Err(_) => tracing::debug!("the log was started before"),
    }
}

/// `journalctl PORTCULLIS_NETWORK=192.0.2.7/32`: each field by its name, and `TARGET=portcullis::audit` for what operators
/// did.
fn journal() -> io::Result<tracing_journald::Layer> {
    let layer = tracing_journald::layer()?;
    Ok(layer
        .with_field_prefix(Some("PORTCULLIS".to_owned()))
        .with_syslog_identifier("portcullis".to_owned()))
}

/// Shows more or less from here on.
pub fn set_level(level: Level) {
    // Fails only if the log is gone.
    let _ = LEVEL.get().map(|handle| handle.reload(LevelFilter::from_level(level)));
}
