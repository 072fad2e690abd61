//! Whether the gate does what it is there for.

use crate::enforcer::Enforcer;
use crate::gate::Gate;

/// What keeps it from that, in words.
#[must_use]
pub fn missing(gate: &Gate) -> Vec<String> {
    let unguarded = gate.kernel().map(Enforcer::unguarded).unwrap_or_default();
    let mut missing: Vec<String> = unguarded
        .into_iter()
        .map(|interface| format!("{interface} is not guarded"))
        .collect();
    if let Some(failure) = gate.store().and_then(|store| store.health().failure) {
        missing.push(format!("the store cannot be written: {failure}"));
    }
    missing
}
