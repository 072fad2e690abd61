//! What each key is, and where that comes from.

use std::path::Path;

use super::environment::{defaults, leaves, overrides};
use super::{Config, ConfigErrors};

/// A key with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// `http.listen`
    pub key: String,
    /// As it is written in TOML. No key has a secret for its value: those are in files and credentials.
    pub value: String,
    /// Where it comes from.
    pub origin: Origin,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said anything.
    Default,
    /// The configuration file, and the line.
    File(usize),
    /// A variable of the environment.
    Environment(String),
}

/// Every key with its value, sections together. Listeners, servers, routes, operations and rules are not told.
///
/// # Errors
/// Everything that is wrong with the file or the environment.
pub fn settings(path: &Path) -> Result<Vec<Setting>, ConfigErrors> {
    Config::load(path)?;
    let text = std::fs::read_to_string(path).map_err(|error| ConfigErrors::unreadable(path, &error))?;
    let (overrides, _) = overrides(std::env::vars());
    let said = leaves(&text);
    let known = leaves(&defaults()).into_iter().map(|default| {
        if let Some(one) = overrides.iter().find(|one| one.key == default.key) {
            return Setting {
                key: default.key,
                value: one.value().to_owned(),
                origin: Origin::Environment(one.variable.clone()),
            };
        }
        match said.iter().find(|leaf| leaf.key == default.key) {
            Some(leaf) => Setting {
                key: default.key,
                value: leaf.value.clone(),
                origin: Origin::File(text[..leaf.start].matches('\n').count() + 1),
            },
            None => Setting {
                key: default.key,
                value: default.value,
                origin: Origin::Default,
            },
        }
    });
    Ok(known.collect())
}
