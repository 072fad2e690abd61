//! Operations that require each other in a circle: none of them can ever be called.

use std::collections::BTreeMap;

use super::super::spec::{Place, RequireSpec, RuleError, RulesSpec};
use super::steps;

/// What an operation needs one of, and where it stands.
#[derive(Clone)]
struct Need {
    any: Vec<String>,
    place: Place,
}

/// An error for each operation that can never be called.
pub(super) fn find(spec: &RulesSpec) -> Vec<RuleError> {
    // What each operation waits for; those that wait for nothing that waits are taken out, as long as there are any.
    let mut waiting: BTreeMap<String, Vec<Need>> = BTreeMap::new();
    for (number, rule) in spec.rules.iter().enumerate() {
        let place = Place::rule(number);
        for requirement in steps::of(rule, &place) {
            let need = Need {
                any: names(&requirement.require),
                place: steps::operation(steps::alternative(&requirement.place, &requirement.require, 0), rule),
            };
            for name in requirement.on {
                waiting.entry(name).or_default().push(need.clone());
            }
        }
        if let Some(shown) = &rule.shown {
            let need = Need {
                any: shown.by.iter().map(|by| by.op.clone()).collect(),
                place: place.key("shown").key("by").index(0).key("op"),
            };
            for name in &rule.on {
                waiting.entry(name.clone()).or_default().push(need.clone());
            }
        }
    }
    while let Some(name) = next_reachable(&waiting) {
        waiting.remove(&name);
    }
    let stuck = waiting.iter().filter_map(|(name, needs)| {
        let need = needs.iter().find(|need| waits(&waiting, need))?;
        let needed = need.any.join("` or `");
        let message = format!("`{name}` can never be called: it needs `{needed}`, which cannot come first either");
        Some(RuleError::new(need.place.clone(), message))
    });
    stuck.collect()
}

fn names(require: &RequireSpec) -> Vec<String> {
    require.any.iter().map(|need| need.op.clone()).collect()
}

fn waits(waiting: &BTreeMap<String, Vec<Need>>, need: &Need) -> bool {
    need.any.iter().all(|op| waiting.contains_key(op))
}

fn next_reachable(waiting: &BTreeMap<String, Vec<Need>>) -> Option<String> {
    waiting
        .iter()
        .find(|(_, needs)| !needs.iter().any(|need| waits(waiting, need)))
        .map(|(name, _)| name.clone())
}
