//! Operations that require each other in a circle: none of them can ever be called.

use std::collections::BTreeMap;

use super::spec::{Place, RequireSpec, RuleError, RulesSpec};

/// A requirement and where it stands.
type Need<'a> = (usize, usize, &'a RequireSpec);

/// An error for each operation that can never be called.
pub(super) fn find(spec: &RulesSpec) -> Vec<RuleError> {
    // What each operation waits for; those that wait for nothing that waits are taken out, as long as there are any.
    let mut waiting: BTreeMap<&str, Vec<Need<'_>>> = BTreeMap::new();
    for (number, rule) in spec.rules.iter().enumerate() {
        let needs = rule
            .require
            .iter()
            .enumerate()
            .map(|(position, require)| (number, position, require));
        for name in &rule.on {
            waiting.entry(name).or_default().extend(needs.clone());
        }
    }
    while let Some(name) = next_reachable(&waiting) {
        waiting.remove(name);
    }
    let stuck = waiting.iter().filter_map(|(name, needs)| {
        let (rule, position, require) = needs.iter().find(|need| waiting.contains_key(need.2.op.as_str()))?;
        let needed = &require.op;
        let message = format!("`{name}` can never be called: it needs `{needed}`, which cannot come first either");
        let place = Place::rule(*rule).key("require").index(*position).key("op");
        Some(RuleError::new(place, message))
    });
    stuck.collect()
}

fn next_reachable<'a>(waiting: &BTreeMap<&'a str, Vec<Need<'_>>>) -> Option<&'a str> {
    let waits = |need: &Need<'_>| waiting.contains_key(need.2.op.as_str());
    waiting
        .iter()
        .find(|(_, needs)| !needs.iter().any(waits))
        .map(|(name, _)| *name)
}
