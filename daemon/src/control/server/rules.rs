//! `/v1/rules`

use super::audit::Peer;
use super::dispatch::Reply;
use super::error::ControlError;
use crate::config::Config;
use crate::control::api::RuleList;
use crate::gate::Gate;
use crate::store::Undo;

pub(super) fn list(gate: &Gate) -> Result<Reply, ControlError> {
    Reply::ok(&RuleList::from(&gate.guard().rules()))
}

/// Reads the rules anew. What is wrong with them is told, and those in force stay.
pub(super) fn reload(gate: &Gate, peer: Peer) -> Result<Reply, ControlError> {
    let file = gate.config().file.as_ref().ok_or(ControlError::NotFound)?;
    let rules = Config::load(file).map_err(ControlError::Config)?.policy.rules;
    let differ = RuleList::from(&rules).since(&RuleList::from(&gate.guard().rules()));
    gate.guard().set_rules(rules);
    let what = format!(
        "{} added, {} changed, {} removed",
        differ.added.len(),
        differ.changed.len(),
        differ.removed.len()
    );
    gate.record(
        Vec::new(),
        peer.did("reload-rules", &what, "", gate.now().wall),
        Undo::Never,
    )?;
    Reply::ok(&differ)
}
