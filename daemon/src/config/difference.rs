//! How a file differs from the one before it, key by key, and what a running daemon takes over of it.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Config;
use super::files::RuleFiles;

/// Longer values are shown by their beginning.
const LONGEST_SHOWN: usize = 200;

/// Keys that hold from one start to the next, and why. A key stands for those in it.
const NEEDS_RESTART: [(&str, &str); 18] = [
    ("http.listen", "sockets are bound at the start"),
    ("http.workers", "threads are started at the start"),
    ("listener.address", "sockets are bound at the start"),
    ("listener.group", "sockets are bound at the start"),
    ("session.capacity", "the table has its size from the start"),
    ("session.source_capacity", "the table has its size from the start"),
    ("session.shared_facts", "the table has its size from the start"),
    ("packet.interfaces", "attaching takes privileges of the start"),
    ("packet.attach", "attaching takes privileges of the start"),
    ("packet.max_bans", "the tables have their size from the start"),
    ("packet.max_bans_limit", "the tables have their size from the start"),
    ("packet.pins", "maps are pinned at the start"),
    ("packet.debug", "the program is loaded at the start"),
    ("service.user", "privileges are given up once, at the start"),
    ("control", "the socket is opened at the start"),
    ("admin.listen", "sockets are bound at the start"),
    ("state.directory", "the store is opened at the start"),
    ("log.format", "the log is opened at the start"),
];

/// What a file and the rule files that it names say, key by key; rules apart, which have names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written(BTreeMap<String, String>);

/// A key that says something else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// `http.max_body`, `listener[0].http2`; in a rule file after its name and a colon.
    pub key: String,
    /// What it said, as TOML; `None`: nothing, so that the default held.
    pub old: Option<String>,
    /// What it says now.
    pub new: Option<String>,
    /// Why only a restart puts it in force; `None`: it is.
    pub restart: Option<&'static str>,
}

impl Written {
    pub(super) fn of(text: &str, files: &RuleFiles) -> Self {
        let mut written = Self::default();
        written.read("", text);
        for file in &files.texts {
            written.read(&format!("{}: ", file.name), &file.text);
        }
        written
    }

    fn read(&mut self, before: &str, text: &str) {
        let (document, _) = DeTable::parse_recoverable(text);
        for (key, value) in document.get_ref() {
            if key.get_ref() != "rule" {
                self.note(format!("{before}{}", key.get_ref()), value.get_ref());
            }
        }
    }

    fn note(&mut self, key: String, value: &DeValue<'_>) {
        match value {
            DeValue::Table(table) => {
                for (name, value) in table {
                    self.note(format!("{key}.{}", name.get_ref()), value.get_ref());
                }
            }
            DeValue::Array(elements) if elements.iter().any(|element| element.get_ref().is_table()) => {
                for (index, element) in elements.iter().enumerate() {
                    self.note(format!("{key}[{index}]"), element.get_ref());
                }
            }
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_) => _ = self.0.insert(key, shown(value)),
        }
    }

    /// What changes when this takes the place of `before`.
    fn since(&self, before: &Self) -> Vec<Change> {
        let gone = before.0.keys().filter(|key| !self.0.contains_key(*key));
        let mut changes: Vec<Change> = self
            .0
            .keys()
            .chain(gone)
            .filter(|key| self.0.get(*key) != before.0.get(*key))
            .map(|key| Change {
                key: key.clone(),
                old: before.0.get(key).map(|value| cut(value)),
                new: self.0.get(key).map(|value| cut(value)),
                restart: needs_restart(key),
            })
            .collect();
        changes.sort_by(|a, b| a.key.cmp(&b.key));
        changes
    }

    /// Goes on saying what another one says about a key.
    fn keep(&mut self, key: &str, running: &Self) {
        match running.0.get(key) {
            Some(value) => _ = self.0.insert(key.to_owned(), value.clone()),
            None => _ = self.0.remove(key),
        }
    }
}

impl Config {
    /// This configuration as far as a daemon can take it over that runs by another one, and what is different. Of what
    /// needs a restart, the running one stays.
    #[must_use]
    pub fn after(mut self, running: &Self) -> (Self, Vec<Change>) {
        let mut changes = self.written.since(&running.written);
        if !has_same_places(&self, running) {
            let why = "sockets are bound at the start";
            let listeners = |change: &&mut Change| change.key.starts_with("listener[");
            changes
                .iter_mut()
                .filter(listeners)
                .for_each(|change| change.restart = Some(why));
            self.http.listeners.clone_from(&running.http.listeners);
        }
        self.http.listen.clone_from(&running.http.listen);
        self.http.workers = running.http.workers;
        self.policy.sessions.capacity = running.policy.sessions.capacity;
        self.policy.sessions.source_capacity = running.policy.sessions.source_capacity;
        self.policy.sessions.shared_facts = running.policy.sessions.shared_facts;
        self.packet.interfaces.clone_from(&running.packet.interfaces);
        self.packet.attach = running.packet.attach;
        self.packet.max_bans = running.packet.max_bans;
        self.packet.max_bans_limit = running.packet.max_bans_limit;
        self.packet.pins.clone_from(&running.packet.pins);
        self.packet.debug = running.packet.debug;
        self.service = running.service.clone();
        self.control = running.control.clone();
        self.admin = running.admin;
        self.state.directory.clone_from(&running.state.directory);
        self.log.format = running.log.format;
        for change in changes.iter().filter(|change| change.restart.is_some()) {
            self.written.keep(&change.key, &running.written);
        }
        (self, changes)
    }
}

fn has_same_places(one: &Config, other: &Config) -> bool {
    let places = |config: &Config| -> Vec<_> {
        let all = config.http.all_listeners();
        all.map(|listener| (listener.place, listener.group)).collect()
    };
    places(one) == places(other)
}

/// Why a key needs a restart.
fn needs_restart(key: &str) -> Option<&'static str> {
    let bare = match key.split_once('[') {
        Some(("listener", rest)) => format!("listener{}", rest.split_once(']').map_or("", |(_, rest)| rest)),
        Some(_) | None => key.to_owned(),
    };
    let stands_for = |known: &str| {
        let rest = bare.strip_prefix(known);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let mut all = NEEDS_RESTART.into_iter();
    all.find(|(known, _)| stands_for(known)).map(|(_, why)| why)
}

/// A value as TOML.
fn shown(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("{text:?}"),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::Datetime(moment) => moment.to_string(),
        DeValue::Array(elements) => {
            let elements: Vec<String> = elements.iter().map(|element| shown(element.get_ref())).collect();
            format!("[{}]", elements.join(", "))
        }
        DeValue::Table(table) => {
            let entry = |(key, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
                let key: &std::borrow::Cow<'_, str> = key.get_ref();
                format!("{key} = {}", shown(value.get_ref()))
            };
            let entries: Vec<String> = table.iter().map(entry).collect();
            format!("{{ {} }}", entries.join(", "))
        }
    }
}

fn cut(value: &str) -> String {
    if value.len() <= LONGEST_SHOWN {
        return value.to_owned();
    }
    format!("{}…", &value[..value.floor_char_boundary(LONGEST_SHOWN)])
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "mode = \"monitor\"\n[http]\nlisten = [\"127.0.0.1:8080\"]\nupstream = \"http://a:1\"\nworkers = 2\n\
        [[listener]]\naddress = \"127.0.0.1:8443\"\nhttp2 = true\n";

    fn read(text: &str) -> Config {
        let mut config = Config::parse(text, "test.toml").unwrap_or_else(|errors| panic!("{errors}"));
        config.written = Written::of(text, &RuleFiles::default());
        config
    }

    fn changed(text: &str) -> (Config, Vec<(String, bool)>) {
        let (config, changes) = read(text).after(&read(FILE));
        let told = changes.into_iter().map(|change| (change.key, change.restart.is_some()));
        (config, told.collect())
    }

    #[test]
    fn every_changed_key_is_told_with_both_values() {
        let (_, changes) = read(&FILE.replace("monitor", "enforce")).after(&read(FILE));
        let change = Change {
            key: "mode".into(),
            old: Some("\"monitor\"".into()),
            new: Some("\"enforce\"".into()),
            restart: None,
        };
        assert_eq!(changes, [change]);
        assert!(read(FILE).after(&read(FILE)).1.is_empty());
    }

    #[test]
    fn what_needs_a_restart_stays_and_is_told_again_each_time() {
        let text = FILE.replace("workers = 2", "workers = 4\nmax_body = \"2MiB\"");
        let expected = [("http.max_body".to_owned(), false), ("http.workers".to_owned(), true)];
        let (config, told) = changed(&text);
        assert_eq!(told, expected);
        assert_eq!((config.http.workers, config.http.max_body), (2, 2 << 20));
        let (_, again) = read(&text).after(&config);
        assert_eq!(again.len(), 1);
        assert_eq!(again[0].key, "http.workers");
    }

    #[test]
    fn listeners_change_as_long_as_their_places_stay() {
        let (config, told) = changed(&FILE.replace("http2 = true", "proxy_protocol = true"));
        let keys = ["listener[0].http2", "listener[0].proxy_protocol"];
        assert_eq!(told, keys.map(|key| (key.to_owned(), false)));
        assert!(config.http.listeners[0].proxy_protocol);
        let (config, told) = changed(&FILE.replace("8443\"\nhttp2 = true", "8444\"\nproxy_protocol = true"));
        assert!(told.iter().all(|(_, restart)| *restart), "{told:?}");
        assert_eq!(config.http.listeners, read(FILE).http.listeners);
        let (config, told) = changed(&FILE.replace("8080", "8081"));
        assert_eq!(told, [("http.listen".to_owned(), true)]);
        assert_eq!(config.http.listen, read(FILE).http.listen);
    }

    #[test]
    fn keys_of_the_control_socket_and_of_logs() {
        for (key, restart) in [
            ("control.socket", true),
            ("log.format", true),
            ("log.level", false),
            ("listener[12].address", true),
            ("listener[12].tls.min_version", false),
            ("packet.max_bans", true),
            ("session.max_age", false),
            ("session.capacity", true),
        ] {
            assert_eq!(needs_restart(key).is_some(), restart, "{key}");
        }
    }

    #[test]
    fn the_guide_names_what_needs_a_restart() {
        let guide = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
        let guide = std::fs::read_to_string(guide).unwrap();
        let section = guide.split_once("## What a reload puts in force").unwrap().1;
        let section = section.split_once("\n## ").unwrap().0;
        for (key, _) in NEEDS_RESTART {
            assert!(section.contains(&format!("`{key}")), "{key}");
        }
    }
}
