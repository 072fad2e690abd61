//! What a reload did, on the wire.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{RuleList, RulesDiffer};
use crate::reload;

/// A key that says something else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    /// The key.
    pub key: String,
    /// What it said, as TOML; `null`: nothing.
    pub old: Option<String>,
    /// What it says now.
    pub new: Option<String>,
    /// Why it holds only after a restart; `null`: it does.
    pub restart: Option<String>,
}

/// What changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reloaded {
    /// Keys, by name.
    pub changed: Vec<Change>,
    /// Rules.
    pub rules: RulesDiffer,
    /// The files of certificates that were read anew.
    pub certificates: Vec<String>,
}

impl From<&reload::Reloaded> for Reloaded {
    fn from(reloaded: &reload::Reloaded) -> Self {
        let change = |change: &crate::config::Change| Change {
            key: change.key.clone(),
            old: change.old.clone(),
            new: change.new.clone(),
            restart: change.restart.map(str::to_owned),
        };
        Self {
            changed: reloaded.changes.iter().map(change).collect(),
            rules: RuleList::from(&reloaded.rules).since(&RuleList::from(&reloaded.rules_before)),
            certificates: reloaded
                .certificates
                .iter()
                .map(|file| file.display().to_string())
                .collect(),
        }
    }
}
