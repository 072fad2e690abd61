//! The configuration: a TOML file, read as a whole.
//!
//! Every mistake is reported at once, with its place in the file, what is allowed and, where it looks like a slip, what
//! may have been meant. Unknown keys are mistakes. Nothing here touches the network or asks the system: a file is right
//! or wrong by itself. `docs/configuration.md` documents every key.

mod cors;
mod error;
mod http;
mod listener;
mod packet;
mod policy;
mod reauth;
mod route;
mod rules;
mod section;
mod service;
#[cfg(test)]
mod tests;
mod upstream;
mod value;
mod work;

use std::path::Path;

use portcullis_guard::policy::{Mode, Policy};
use toml::de::DeTable;

pub use error::{ConfigError, ConfigErrors};
pub use http::{Http, Scheme};
pub use listener::{CertificateFiles, Listener, Place, Tls, TlsVersion};
pub use packet::Packet;
pub use service::{Control, Log, LogFormat, State};
pub use upstream::{Care, Pool, Route, Server};

use error::{Located, Mistake};
use section::{Section, Sink};

/// What the operator configured.
#[derive(Clone, Debug)]
pub struct Config {
    /// Watch or enforce; also in [`Policy::mode`].
    pub mode: Mode,
    /// `[http]`: where requests come from and go to.
    pub http: Http,
    /// `[packet]`: the XDP program.
    pub packet: Packet,
    /// `[control]`: the socket of the command line.
    pub control: Control,
    /// `[state]`: what outlives the process.
    pub state: State,
    /// `[log]`.
    pub log: Log,
    /// All that decisions are made by.
    pub policy: Policy,
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn load(path: &Path) -> Result<Self, ConfigErrors> {
        let text = std::fs::read_to_string(path).map_err(|error| ConfigErrors::unreadable(path, &error))?;
        Self::parse(&text, &path.display().to_string())
    }

    /// Reads a text; `file` is its name in errors.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(text: &str, file: &str) -> Result<Self, ConfigErrors> {
        let (config, mistakes, _) = read(text);
        config.ok_or_else(|| ConfigErrors::new(file, text, mistakes))
    }
}

/// The configuration if nothing is wrong, all mistakes, and all keys that are known.
fn read(text: &str) -> (Option<Config>, Vec<Located>, Vec<String>) {
    let (document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        // What a broken document seems to say would only be noise.
        return (None, syntax(text, errors), Vec::new());
    }
    let sink = Sink::default();
    let config = Section::root(&sink, document.get_ref(), |root| read_root(root, document.get_ref()));
    let (mistakes, keys) = sink.into_parts();
    (config.filter(|_| mistakes.is_empty()), mistakes, keys)
}

/// Mistakes of syntax, one for each line: the parser goes on after the first and may stumble again.
fn syntax(text: &str, errors: Vec<toml::de::Error>) -> Vec<Located> {
    let located = |error: toml::de::Error| Located {
        span: error.span().unwrap_or_default(),
        key: String::new(),
        mistake: Mistake::new(error.message()),
    };
    let mut mistakes: Vec<_> = errors.into_iter().map(located).collect();
    mistakes.sort_by_key(|mistake| mistake.span.start);
    mistakes.dedup_by_key(|mistake| {
        text.bytes()
            .take(mistake.span.start)
            .filter(|byte| *byte == b'\n')
            .count()
    });
    if let [first, _, ..] = mistakes.as_mut_slice() {
        first.mistake.hint = Some("what follows may come from this one".into());
    }
    mistakes
}

fn read_root<'a>(root: &Section<'a>, document: &'a DeTable<'a>) -> Option<Config> {
    let mode = root.read("mode", Mode::default(), value::word(rules::MODES));
    let listeners = listener::read(root);
    let upstreams = upstream::read(root);
    let http = root.section("http", |section| http::read(section, &listeners, upstreams));
    if let Some(http) = &http {
        listener::check(root, &http.listen, &listeners);
    }
    let packet = root.section("packet", packet::read);
    let control = root.section("control", service::read_control);
    let state = root.section("state", service::read_state);
    let log = root.section("log", service::read_log);
    let rules = rules::read(root, document);
    let policy = policy::read(root, mode, http.as_ref(), rules);
    Some(Config {
        mode,
        http: http?,
        packet,
        control,
        state,
        log,
        policy,
    })
}
