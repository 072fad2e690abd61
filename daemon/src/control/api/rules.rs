//! Rules on the wire.

use portcullis_guard::policy::Mode;
use portcullis_guard::sequence::{RuleInfo, Rules};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A rule in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rule {
    /// Its name.
    pub id: String,
    /// `monitor` or `enforce`.
    pub mode: String,
    /// Equal for rules that say the same about the same operations.
    pub digest: String,
}

/// The rules in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RuleList {
    /// In their order.
    pub rules: Vec<Rule>,
}

/// `POST /v1/rules/reload`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReloadRequest {
    /// Within which time it must be confirmed.
    #[serde(default)]
    pub confirm_seconds: Option<u64>,
}

/// How rules differ from others: names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RulesDiffer {
    /// New ones.
    pub added: Vec<String>,
    /// Those that say something else.
    pub changed: Vec<String>,
    /// Those that are no longer there.
    pub removed: Vec<String>,
    /// How many stay as they are.
    pub unchanged: usize,
}

impl From<&Rules> for RuleList {
    fn from(rules: &Rules) -> Self {
        let told = |rule: RuleInfo| Rule {
            id: rule.id.to_string(),
            mode: match rule.mode {
                Mode::Monitor => "monitor".to_owned(),
                Mode::Enforce => "enforce".to_owned(),
            },
            digest: format!("{:016x}", rule.digest),
        };
        Self {
            rules: rules.list().into_iter().map(told).collect(),
        }
    }
}

impl RuleList {
    /// What changes when these take the place of `before`.
    #[must_use]
    pub fn since(&self, before: &Self) -> RulesDiffer {
        let find = |list: &Self, id: &str| list.rules.iter().find(|rule| rule.id == id).cloned();
        let mut differ = RulesDiffer::default();
        for rule in &self.rules {
            match find(before, &rule.id) {
                None => differ.added.push(rule.id.clone()),
                Some(known) if known.digest != rule.digest => differ.changed.push(rule.id.clone()),
                Some(_) => differ.unchanged += 1,
            }
        }
        let gone = before.rules.iter().filter(|rule| find(self, &rule.id).is_none());
        differ.removed = gone.map(|rule| rule.id.clone()).collect();
        differ
    }
}

impl RulesDiffer {
    /// Whether nothing changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.changed.is_empty() && self.removed.is_empty()
    }
}
