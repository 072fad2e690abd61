//! `/v1/rules` and `/v1/reload`: what decisions are made by, read anew.

use super::audit::Peer;
use super::dispatch::{Question, Reply};
use super::error::ControlError;
use super::mode::{on_trial, span_of_trial};
use crate::config::Config;
use crate::control::api::{ReloadRequest, Reloaded, RuleList};
use crate::gate::Gate;
use crate::gate::trial::Before;
use crate::store::Undo;

pub(super) fn list(gate: &Gate) -> Result<Reply, ControlError> {
    Reply::ok(&RuleList::from(&gate.guard().rules()))
}

/// Reads the whole configuration anew. What is wrong with it is told, and the running one stays.
pub(super) fn reload_all(gate: &Gate, peer: Peer, question: &Question) -> Result<Reply, ControlError> {
    let request: ReloadRequest = question.json_if_any()?;
    let span = span_of_trial(request.confirm_seconds)?;
    let reloaded = Reloaded::from(&gate.reload(span, &peer.name())?);
    let what = format!("{} keys changed", reloaded.changed.len());
    let deed = peer.did("reload", &what, &on_trial(span), gate.now().wall);
    gate.record(Vec::new(), deed, Undo::Never)?;
    Reply::ok(&reloaded)
}

/// Reads the rules anew. What is wrong with them is told, and those in force stay.
pub(super) fn reload(gate: &Gate, peer: Peer, question: &Question) -> Result<Reply, ControlError> {
    let request: ReloadRequest = question.json_if_any()?;
    let span = span_of_trial(request.confirm_seconds)?;
    let file = gate.config().file.clone().ok_or(ControlError::NotFound)?;
    let rules = Config::load(&file).map_err(ControlError::Config)?.policy.rules;
    let before = gate.guard().rules();
    let differ = RuleList::from(&rules).since(&RuleList::from(&before));
    let what = format!(
        "{} added, {} changed, {} removed",
        differ.added.len(),
        differ.changed.len(),
        differ.removed.len()
    );
    gate.try_change(span, &format!("a reload of the rules ({what})"), &peer.name(), || {
        gate.guard().set_rules(rules);
        Ok::<_, ControlError>(Before::Rules(before))
    })?;
    let deed = peer.did("reload-rules", &what, &on_trial(span), gate.now().wall);
    gate.record(Vec::new(), deed, Undo::Never)?;
    Reply::ok(&differ)
}
