//! What each key is, and where that comes from.

use std::path::Path;

use super::environment::{Leaf, defaults, leaves, overrides};
use super::files::RuleFiles;
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
    /// A file.
    File {
        /// The line.
        line: usize,
        /// The rule file; `None`: the configuration itself.
        rules: Option<String>,
    },
    /// A variable of the environment.
    Environment(String),
}

/// Every key with its value: those that have a default, sections together; then what there is as often as it is written,
/// listeners, servers, routes, operations and rules, those of rule files too.
///
/// # Errors
/// Everything that is wrong with the file or the environment.
pub fn settings(path: &Path) -> Result<Vec<Setting>, ConfigErrors> {
    Config::load(path)?;
    let text = std::fs::read_to_string(path).map_err(|error| ConfigErrors::unreadable(path, &error))?;
    let (overrides, _) = overrides(std::env::vars());
    let mut said = leaves(&text);
    let mut settings = Vec::new();
    for default in leaves(&defaults()) {
        let own = said.iter().position(|leaf| leaf.key == default.key);
        let own = own.map(|place| said.remove(place));
        let environment = overrides.iter().find(|one| one.key == default.key);
        settings.push(match (environment, own) {
            (Some(one), _) => Setting {
                key: default.key,
                value: one.value().to_owned(),
                origin: Origin::Environment(one.variable.clone()),
            },
            (None, Some(own)) => written(own, &text, None),
            (None, None) => Setting {
                key: default.key,
                value: default.value,
                origin: Origin::Default,
            },
        });
    }
    settings.extend(said.into_iter().map(|leaf| written(leaf, &text, None)));
    for file in RuleFiles::of(&text, path.parent().unwrap_or(Path::new("."))).texts {
        let leaves = leaves(&file.text).into_iter();
        settings.extend(leaves.map(|leaf| written(leaf, &file.text, Some(&file.name))));
    }
    Ok(settings)
}

fn written(leaf: Leaf, text: &str, file: Option<&str>) -> Setting {
    let before = text.get(..leaf.start).unwrap_or_default();
    Setting {
        key: leaf.key,
        value: leaf.value,
        origin: Origin::File {
            line: before.matches('\n').count() + 1,
            rules: file.map(str::to_owned),
        },
    }
}
