//! The configuration: a TOML file, read as a whole.
//!
//! Every mistake is reported at once, with its place in the file, what is allowed and, where it looks like a slip, what
//! may have been meant. Unknown keys are mistakes. Nothing here touches the network or asks the system: a file is right
//! or wrong by itself. `docs/configuration.md` documents every key.

mod cors;
mod difference;
mod environment;
mod error;
mod files;
mod http;
mod listener;
mod packet;
mod policy;
mod reauth;
mod route;
mod rules;
mod section;
mod service;
mod settings;
#[cfg(test)]
mod tests;
mod upstream;
mod value;
mod work;

use std::path::{Path, PathBuf};

use portcullis_guard::policy::{Mode, Policy};
use toml::de::DeTable;

pub use difference::{Change, Written};
pub use environment::PACKAGED;
pub use error::{ConfigError, ConfigErrors};
pub use http::{Http, Scheme};
pub use listener::{CertificateFiles, ForwardAuth, Listener, OWN_SOCKETS, Place, Tls, TlsVersion};
pub use packet::Packet;
pub use service::{Admin, Control, Log, LogFormat, Service, State};
pub use settings::{Origin, Setting, settings};
pub use upstream::{Care, Pool, Route, Server};

use environment::Override;
use error::{Located, Mistake};
use files::RuleFiles;
use rules::RuleDocument;
use section::{Section, Sink};

/// What the operator configured.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it was read from.
    pub file: Option<PathBuf>,
    /// What it says, if it was read from there, to be compared with what it says next time.
    pub written: Written,
    /// The rule files that it names.
    pub rule_files: Vec<PathBuf>,
    /// Watch or enforce; also in [`Policy::mode`].
    pub mode: Mode,
    /// `[http]`: where requests come from and go to.
    pub http: Http,
    /// `[packet]`: the XDP program.
    pub packet: Packet,
    /// `[service]`: the process.
    pub service: Service,
    /// `[control]`: the socket of the command line.
    pub control: Control,
    /// `[admin]`: metrics, health and a page.
    pub admin: Admin,
    /// `[state]`: what outlives the process.
    pub state: State,
    /// `[log]`.
    pub log: Log,
    /// All that decisions are made by.
    pub policy: Policy,
    /// What is right and yet does nothing: rules that can never fire, and the like.
    pub warnings: Vec<ConfigError>,
}

impl Config {
    /// Reads a file, with what the environment says instead of it.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn load(path: &Path) -> Result<Self, ConfigErrors> {
        let text = std::fs::read_to_string(path).map_err(|error| ConfigErrors::unreadable(path, &error))?;
        let directory = path.parent().unwrap_or(Path::new("."));
        let (overrides, unknown) = environment::overrides(std::env::vars());
        let files = RuleFiles::of(&text, directory);
        let mut config = Self::read(&text, &path.display().to_string(), &files, &overrides, unknown)?;
        config.written = Written::of(&text, &files);
        config.file = Some(path.to_owned());
        config.rule_files = files.texts.iter().map(|file| PathBuf::from(&file.name)).collect();
        Ok(config)
    }

    /// Reads a text without the rule files that it names; `file` is its name in errors.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(text: &str, file: &str) -> Result<Self, ConfigErrors> {
        Self::read(text, file, &RuleFiles::default(), &[], Vec::new())
    }

    fn read(
        text: &str,
        file: &str,
        files: &RuleFiles,
        overrides: &[Override],
        unknown: Vec<ConfigError>,
    ) -> Result<Self, ConfigErrors> {
        let (config, mistakes, _) = read_with(text, files, overrides);
        let mut all = mistakes.into_iter();
        if let (Some(config), true) = (config, unknown.is_empty()) {
            return Ok(config);
        }
        let own = ConfigErrors::new(file, text, all.next().unwrap_or_default());
        let own = own.with_environment(unknown, overrides);
        let others = files.texts.iter().zip(all);
        Err(others.fold(own, |errors, (file, mistakes)| {
            errors.and(Some(&file.name), &file.text, mistakes)
        }))
    }
}

/// The configuration if nothing is wrong, all mistakes of it and of each rule file, and all keys that are known.
fn read_with(
    text: &str,
    files: &RuleFiles,
    overrides: &[Override],
) -> (Option<Config>, Vec<Vec<Located>>, Vec<String>) {
    let (mut document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        // What a broken document seems to say would only be noise.
        return (None, vec![syntax(text, errors)], Vec::new());
    }
    environment::apply(document.get_mut(), overrides);
    let parsed: Vec<_> = files
        .texts
        .iter()
        .map(|file| (DeTable::parse_recoverable(&file.text), Sink::default()))
        .collect();
    let extra: Vec<RuleDocument<'_>> = parsed
        .iter()
        .filter(|((_, errors), _)| errors.is_empty())
        .map(|((document, _), sink)| RuleDocument {
            document: document.get_ref(),
            sink,
        })
        .collect();
    let sink = Sink::default();
    let config = Section::root(&sink, document.get_ref(), |root| {
        for (index, problem) in &files.problems {
            root.element_error("rules", *index, problem.clone());
        }
        read_root(root, document.get_ref(), &extra)
    });
    let mut warnings = ConfigErrors::new("", text, sink.take_warnings());
    for ((_, sink), file) in parsed.iter().zip(&files.texts) {
        warnings = warnings.and(Some(&file.name), &file.text, sink.take_warnings());
    }
    let (own, mut keys) = sink.into_parts();
    let mut mistakes = vec![own];
    drop(extra);
    for (((_, errors), sink), file) in parsed.into_iter().zip(&files.texts) {
        let (found, more) = sink.into_parts();
        keys.extend(more);
        mistakes.push(if errors.is_empty() {
            found
        } else {
            syntax(&file.text, errors)
        });
    }
    let is_right = mistakes.iter().all(Vec::is_empty);
    let warned = |config| Config {
        warnings: warnings.iter().cloned().collect(),
        ..config
    };
    (config.filter(|_| is_right).map(warned), mistakes, keys)
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

fn read_root<'a>(root: &Section<'a>, document: &'a DeTable<'a>, files: &[RuleDocument<'a>]) -> Option<Config> {
    let mode = root.read("mode", Mode::default(), value::word(rules::MODES));
    let listeners = listener::read(root);
    let upstreams = upstream::read(root);
    let http = root.section("http", |section| http::read(section, &listeners, upstreams));
    if let Some(http) = &http {
        listener::check(root, &http.listen, &listeners);
    }
    let packet = root.section("packet", packet::read);
    let service = root.section("service", service::read_service);
    let control = root.section("control", service::read_control);
    let admin = root.section("admin", service::read_admin);
    let state = root.section("state", service::read_state);
    let log = root.section("log", service::read_log);
    let rules = rules::read(root, document, files);
    if let Some(http) = &http {
        listener::check_verdicts(root, &listeners, &http.trusted_proxies, &rules);
    }
    let policy = policy::read(root, mode, http.as_ref(), rules);
    Some(Config {
        file: None,
        written: Written::default(),
        rule_files: Vec::new(),
        mode,
        http: http?,
        packet,
        service,
        control,
        admin,
        state,
        log,
        policy,
        warnings: Vec::new(),
    })
}
