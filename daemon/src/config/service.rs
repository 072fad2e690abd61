//! `[service]`, `[control]`, `[admin]`, `[state]` and `[log]`: how the daemon lives on its machine.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use toml::de::DeValue;
use tracing::Level;

use super::error::Mistake;
use super::section::{Parsed, Section};
use super::value::{absolute_path, describe, duration, size, socket_address, text, word};
use crate::store::sessions::Saving;

/// The longest name that a unix socket can have.
const LONGEST_SOCKET: usize = 107;

/// The process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// The user that the daemon becomes if it was started as root; `None`: its own, if there is one.
    pub user: Option<String>,
}

/// The control socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    /// Its file.
    pub socket: PathBuf,
    /// Who may use it beside root.
    pub group: String,
}

/// The admin listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Where it listens; `None`: nowhere.
    pub listen: Option<SocketAddr>,
}

/// The state directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Where it is.
    pub directory: PathBuf,
    /// How what sessions did is written down.
    pub saving: Saving,
}

/// The log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// How lines look.
    pub format: LogFormat,
    /// What is worth a line.
    pub level: Level,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For programs: one object for each line.
    Json,
    /// For the journal of systemd, with its fields; not to stderr.
    Journal,
}

const FORMATS: &[(&str, LogFormat)] = &[
    ("text", LogFormat::Text),
    ("json", LogFormat::Json),
    ("journal", LogFormat::Journal),
];

const LEVELS: &[(&str, Level)] = &[
    ("error", Level::ERROR),
    ("warn", Level::WARN),
    ("info", Level::INFO),
    ("debug", Level::DEBUG),
    ("trace", Level::TRACE),
];

pub(super) fn read_service(section: &Section<'_>) -> Service {
    Service {
        user: section.read("user", None, user_or_none),
    }
}

pub(super) fn read_control(section: &Section<'_>) -> Control {
    Control {
        socket: section.read("socket", "/run/portcullis/control.sock".into(), socket),
        group: section.read("group", "portcullis".into(), group),
    }
}

pub(super) fn read_admin(section: &Section<'_>) -> Admin {
    Admin {
        listen: section.read("listen", None, address_or_none),
    }
}

pub(super) fn read_state(section: &Section<'_>) -> State {
    State {
        directory: section.read("directory", "/var/lib/portcullis".into(), absolute_path),
        saving: Saving {
            every: section.read("save_sessions_every", Duration::from_secs(10), duration("1s"..="1m")),
            most_bytes: section.read("max_session_bytes", 256 << 20, size("1MiB"..="64GiB")) as u64,
        },
    }
}

pub(super) fn read_log(section: &Section<'_>) -> Log {
    Log {
        format: section.read("format", LogFormat::Text, word(FORMATS)),
        level: section.read("level", Level::INFO, word(LEVELS)),
    }
}

fn address_or_none(value: &DeValue<'_>) -> Parsed<Option<SocketAddr>> {
    match text(value)?.as_str() {
        "" => Ok(None),
        _ => socket_address(value).map(Some),
    }
}

fn user_or_none(value: &DeValue<'_>) -> Parsed<Option<String>> {
    match text(value)?.as_str() {
        "" => Ok(None),
        _ => name(value, "a user").map(Some),
    }
}

pub(super) fn socket(value: &DeValue<'_>) -> Parsed<PathBuf> {
    let path = absolute_path(value)?;
    if path.as_os_str().len() > LONGEST_SOCKET {
        return Err(Mistake::new(format!(
            "the name of a socket has at most {LONGEST_SOCKET} bytes"
        )));
    }
    Ok(path)
}

pub(super) fn group(value: &DeValue<'_>) -> Parsed<String> {
    name(value, "a group")
}

fn name(value: &DeValue<'_>, whose: &str) -> Parsed<String> {
    let name = text(value)?;
    if name.is_empty() || name.contains([':', '/', ' ']) || name.chars().any(char::is_control) {
        return Err(Mistake::new(format!(
            "expected the name of {whose}, got {}",
            describe(value)
        )));
    }
    Ok(name)
}
