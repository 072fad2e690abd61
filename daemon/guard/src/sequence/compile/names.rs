//! Names: of slots, which must stay the same as long as a condition does, and in sentences.

use std::hash::Hasher;

use siphasher::sip128::{Hasher128, SipHasher13};

use super::super::action::Escalation;
use super::super::explain::listed;
use super::super::facts::SlotId;
use super::super::operation::Operation;
use super::super::scope::Scope;
use super::super::spec::{OperationSpec, Place, RuleError, RuleSpec, RulesSpec};
use super::super::suggest::closest;
use super::super::value::Kind;
use super::Fields;

/// The counts of violations, each with a name that does not depend on how many there may be.
pub(super) fn escalations(spec: &RuleSpec) -> Vec<(SlotId, Escalation)> {
    let named = |(position, step): (usize, &Escalation)| (slot(&["escalate", &spec.id, &position.to_string()]), *step);
    spec.escalate.iter().enumerate().map(named).collect()
}

/// What a rule says, and what the operations are that it names.
pub(super) fn digest(spec: &RuleSpec, all: &RulesSpec) -> u64 {
    let said = format!("{spec:?}");
    let names = |operation: &&OperationSpec| said.contains(&format!("\"{}\"", operation.name));
    let operations: Vec<_> = all.operations.iter().filter(names).collect();
    slot(&[&said, &format!("{operations:?}")]).0
}

pub(super) fn no_such_value(operation: &Operation, name: &str, place: &Place) -> RuleError {
    let names = || operation.values.iter().map(|(known, ..)| known.as_str());
    let error = RuleError::new(place.clone(), format!("`{}` has no value `{name}`", operation.name));
    match closest(name, names()) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None if operation.values.is_empty() => error.hint("it has no values; give its path a `{parameter}`"),
        None => error.hint(format!("it has {}", listed(names()))),
    }
}

pub(super) fn same(fields: &[(String, Kind)]) -> String {
    match fields {
        [] => String::new(),
        fields => format!(
            " with the same {}",
            listed(fields.iter().map(|(name, _)| name.as_str()))
        ),
    }
}

pub(super) fn values_of(operation: &Operation, fields: &Fields) -> String {
    let sources = fields
        .iter()
        .map(|(name, kind)| format!("{}={:?}", name, operation.value(name).map(|(source, _)| source)) + kind.name());
    sources.collect::<Vec<_>>().join(",")
}

/// A name that stays the same across reloads and restarts as long as these parts do.
pub(super) fn slot(parts: &[&str]) -> SlotId {
    let mut hasher = SipHasher13::new();
    for part in parts {
        hasher.write_usize(part.len());
        hasher.write(part.as_bytes());
    }
    SlotId(hasher.finish128().h1)
}

/// What tells conditions of different scopes apart. The session's is not written, so that it stays as it was.
pub(super) fn scope_name(scope: &[Scope]) -> String {
    let mut sorted = scope.to_vec();
    sorted.sort_unstable();
    format!("{sorted:?}")
}
