//! Whether rules say anything of what is protected.

use portcullis_guard::sequence::{Place, RuleSpec, RulesSpec, Step};
use toml::de::DeTable;

use super::super::error::Mistake;
use super::super::section::Section;
use super::find;

/// Notes protected path sets of whose calls no rule speaks, if there are rules at all.
pub(super) fn warn(root: &Section<'_>, document: &DeTable<'_>, spec: &RulesSpec) {
    if spec.rules.is_empty() || spec.unlisted.deny {
        return;
    }
    let paths = document
        .get("protect")
        .and_then(|protect| protect.get_ref().as_table()?.get("paths"));
    let paths = paths.and_then(|paths| paths.get_ref().as_array());
    for (index, set) in paths.into_iter().flatten().enumerate() {
        let Some(set) = set.get_ref().as_str() else { continue };
        let is_guarded = |operation: &&str| meet(set, operation);
        if guarded(spec).any(|operation| is_guarded(&operation)) {
            continue;
        }
        let place = Place(vec![
            Step::Key("protect".into()),
            Step::Key("paths".into()),
            Step::Index(index),
        ]);
        let warning = Mistake::new(format!("no rule speaks of any call below `{set}`"));
        root.warn(find(document, &place), place.to_string(), warning);
    }
}

/// The paths of operations that a rule guards.
fn guarded(spec: &RulesSpec) -> impl Iterator<Item = &str> {
    let guards = |rule: &RuleSpec, name: &String| {
        rule.on.contains(name) || rule.order.as_ref().is_some_and(|order| order.steps.contains(name))
    };
    let operations = spec.operations.iter();
    operations
        .filter(move |operation| spec.rules.iter().any(|rule| guards(rule, &operation.name)))
        .filter_map(|operation| operation.on.split_once(' ').map(|(_, path)| path.trim()))
}

/// Whether two path sets have a path in common: `*` and parameters stand for a segment, `**` for the rest.
fn meet(one: &str, other: &str) -> bool {
    let segments = |path: &'_ str| -> Vec<String> {
        let all = path.split('/').filter(|segment| !segment.is_empty());
        all.map(str::to_ascii_lowercase).collect()
    };
    let (one, other) = (segments(one), segments(other));
    let (mut one, mut other) = (one.iter(), other.iter());
    let is_any = |segment: &str| segment == "*" || segment.starts_with('{');
    loop {
        match (one.next().map(String::as_str), other.next().map(String::as_str)) {
            (Some("**"), _) | (_, Some("**")) | (None, None) => return true,
            (Some(a), Some(b)) if a == b || is_any(a) || is_any(b) => {}
            (Some(_) | None, Some(_)) | (Some(_), None) => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_sets_meet_where_a_path_is_in_both() {
        for (one, other, expected) in [
            ("/**", "/api/orders/{id:int}", true),
            ("/api/**", "/api", true),
            ("/api/**", "/API/orders", true),
            ("/api/orders/**", "/api/**", true),
            ("/users/*/avatar", "/users/{id}/avatar", true),
            ("/users/*/avatar", "/users/{id}", false),
            ("/api/**", "/v2/api/orders", false),
            ("/", "/", true),
            ("/a", "/b", false),
        ] {
            assert_eq!(meet(one, other), expected, "{one} {other}");
            assert_eq!(meet(other, one), expected, "{other} {one}");
        }
    }
}
