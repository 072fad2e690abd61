//! Values from the environment instead of the file: `PORTCULLIS_HTTP_MAX_BODY=2MiB` is `http.max_body`. And the list of
//! all keys with their defaults, which is the packaged file.

use portcullis_guard::sequence::closest;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::ConfigError;

/// What the package installs: every key, its default, and a word on it. Tests hold it to the code.
pub const PACKAGED: &str = include_str!("../../../packaging/portcullis.toml");

const PREFIX: &str = "PORTCULLIS_";

/// A value that comes from the environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Override {
    pub(super) variable: String,
    pub(super) key: String,
    /// `value = …`, as TOML.
    document: String,
}

impl Override {
    /// As it is written.
    pub(super) fn value(&self) -> &str {
        self.document.strip_prefix("value = ").unwrap_or_default()
    }
}

/// A key and its value, as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Leaf {
    pub(super) key: String,
    pub(super) value: String,
    /// Where the value begins.
    pub(super) start: usize,
}

/// The packaged file with its commented keys in force. Examples are behind two `#` and stay comments.
pub(super) fn defaults() -> String {
    let is_key = |rest: &str| rest.starts_with(|c: char| c.is_ascii_lowercase());
    let lines = PACKAGED.lines().map(|line| match line.strip_prefix('#') {
        Some(rest) if is_key(rest) => rest,
        Some(_) | None => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The values of a document, in its order. Each table of a list has its number: `rule[0].id`.
pub(super) fn leaves(text: &str) -> Vec<Leaf> {
    let (document, _) = DeTable::parse_recoverable(text);
    let mut found = Vec::new();
    collect(document.get_ref(), "", text, &mut found);
    found.sort_by_key(|leaf| leaf.start);
    found
}

fn collect(table: &DeTable<'_>, path: &str, text: &str, found: &mut Vec<Leaf>) {
    // Tables under headings of their own; a table within a value belongs to it.
    let under_heading = |element: &Spanned<DeValue<'_>>| {
        let written = text.get(element.span()).unwrap_or_default();
        element
            .get_ref()
            .as_table()
            .filter(|_| !written.starts_with('{'))
            .is_some()
    };
    for (key, value) in table {
        let key = key.get_ref();
        let key = if path.is_empty() {
            key.to_string()
        } else {
            format!("{path}.{key}")
        };
        match (value.get_ref().as_table(), value.get_ref().as_array()) {
            (Some(inner), _) => collect(inner, &key, text, found),
            (None, Some(array)) if array.iter().any(under_heading) => {
                let tables = array.iter().filter_map(|element| element.get_ref().as_table());
                tables
                    .enumerate()
                    .for_each(|(number, inner)| collect(inner, &format!("{key}[{number}]"), text, found));
            }
            (None, _) => found.push(Leaf {
                key,
                value: text.get(value.span()).unwrap_or_default().to_owned(),
                start: value.span().start,
            }),
        }
    }
}

/// The variable that stands for a key.
pub(super) fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "_").to_uppercase())
}

/// The values that the environment has for keys, and variables that begin like a section and stand for no key.
pub(super) fn overrides(variables: impl Iterator<Item = (String, String)>) -> (Vec<Override>, Vec<ConfigError>) {
    let keys: Vec<String> = leaves(&defaults()).into_iter().map(|leaf| leaf.key).collect();
    let names: Vec<String> = keys.iter().map(|key| variable(key)).collect();
    let sections: Vec<String> = keys
        .iter()
        .filter_map(|key| key.split_once('.'))
        .map(|(section, _)| variable(section) + "_")
        .collect();
    let (mut found, mut unknown) = (Vec::new(), Vec::new());
    for (name, value) in variables.filter(|(name, _)| name.starts_with(PREFIX)) {
        match keys.iter().find(|key| variable(key) == name) {
            Some(key) => found.push(Override {
                document: written(&value),
                key: key.clone(),
                variable: name,
            }),
            None if sections.iter().any(|section| name.starts_with(section)) => unknown.push(ConfigError {
                file: Some(name.clone()),
                place: None,
                key: String::new(),
                message: "no key of the configuration has this name".to_owned(),
                hint: closest(&name, names.iter().map(String::as_str)).map(|near| format!("did you mean {near}?")),
            }),
            None => {}
        }
    }
    found.sort_by(|one, other| one.variable.cmp(&other.variable));
    (found, unknown)
}

/// A value as TOML, or else as a text: nobody quotes in a shell what he need not.
fn written(value: &str) -> String {
    let document = format!("value = {value}");
    let (parsed, errors) = DeTable::parse_recoverable(&document);
    if errors.is_empty() && parsed.get_ref().len() == 1 {
        return document;
    }
    format!("value = {}", toml::Value::String(value.to_owned()))
}

/// Puts the values in the place of those of the file.
pub(super) fn apply<'a>(document: &mut DeTable<'a>, overrides: &'a [Override]) {
    for one in overrides {
        let (mut parsed, _) = DeTable::parse_recoverable(&one.document);
        if let Some(value) = parsed.get_mut().remove("value") {
            put(document, &one.key, value);
        }
    }
}

fn put<'a>(table: &mut DeTable<'a>, key: &'a str, value: Spanned<DeValue<'a>>) {
    let Some((section, rest)) = key.split_once('.') else {
        table.insert(Spanned::new(0..0, key.into()), value);
        return;
    };
    if !table.contains_key(section) {
        let empty = DeValue::Table(DeTable::new());
        table.insert(Spanned::new(0..0, section.into()), Spanned::new(0..0, empty));
    }
    // What should be a table and is none is reported as that.
    if let Some(DeValue::Table(inner)) = table.get_mut(section).map(Spanned::get_mut) {
        put(inner, rest, value);
    }
}

/// Says of mistakes in such values where they are.
pub(super) fn blame(errors: &mut [ConfigError], overrides: &[Override]) {
    for error in errors {
        let inside = |key: &str| {
            error
                .key
                .strip_prefix(key)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        if let Some(one) = overrides.iter().find(|one| inside(&one.key)) {
            (error.file, error.place) = (Some(one.variable.clone()), None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(variables: &[(&str, &str)]) -> (Vec<Override>, Vec<ConfigError>) {
        overrides(
            variables
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        )
    }

    #[test]
    fn every_key_has_a_variable_of_its_own() {
        let mut names: Vec<_> = leaves(&defaults()).iter().map(|leaf| variable(&leaf.key)).collect();
        assert!(names.len() > 50, "{names:?}");
        names.sort();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all);
    }

    #[test]
    fn values_are_toml_or_text() {
        assert_eq!(written("10s"), "value = \"10s\"");
        assert_eq!(written("[\"a\", \"b\"]"), "value = [\"a\", \"b\"]");
        assert_eq!(written("7"), "value = 7");
        assert_eq!(written("1\nother = 2"), "value = \"\"\"\n1\nother = 2\"\"\"");
    }

    #[test]
    fn others_variables_are_left_alone_and_slips_are_told() {
        let (found, unknown) = given(&[
            ("PORTCULLIS_SOCKET", "/x"),
            ("HOME", "/root"),
            ("PORTCULLIS_HTTP_MAX_BODDY", "1MiB"),
            ("PORTCULLIS_HTTP_POOL_HEALTH", "/healthz"),
        ]);
        assert_eq!(found[0].key, "http.pool.health");
        assert_eq!((found.len(), unknown.len()), (1, 1));
        assert_eq!(
            unknown[0].hint.as_deref(),
            Some("did you mean PORTCULLIS_HTTP_MAX_BODY?")
        );
    }
}
