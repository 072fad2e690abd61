//! `/v1/incidents`

use portcullis_guard::incident;
use portcullis_guard::request::Reference;

use super::dispatch::Reply;
use super::error::ControlError;
use crate::control::api::{Incident, IncidentList};
use crate::gate::Gate;

const DEFAULT_LIMIT: usize = 100;

pub(super) fn one(gate: &Gate, reference: &str) -> Result<Reply, ControlError> {
    let reference: Reference = reference.parse()?;
    let incident = gate
        .guard()
        .incident(reference)
        .ok_or(ControlError::ReferenceUnknown(reference))?;
    Reply::ok(&shown(&incident))
}

pub(super) fn recent(gate: &Gate, limit: Option<&str>) -> Result<Reply, ControlError> {
    let limit = match limit {
        None => DEFAULT_LIMIT,
        Some(text) => text.parse().map_err(|_| ControlError::ParameterInvalid {
            name: "limit",
            expected: "a number",
        })?,
    };
    Reply::ok(&IncidentList {
        incidents: gate.guard().recent_incidents(limit).iter().map(shown).collect(),
    })
}

fn shown(incident: &incident::Incident) -> Incident {
    let problem = incident.refusal.problem();
    Incident {
        reference: incident.reference.to_string(),
        at: incident.at.into(),
        cause: incident.refusal.cause().to_owned(),
        problem: problem.name.to_owned(),
        http_status: problem.status,
        address: incident.client.ip(),
        session: incident.session.map(|session| session.to_string()),
        method: incident.method.clone(),
        path: incident.path.clone(),
        rule: incident.rule.clone(),
        explanation: incident.explanation.clone(),
        session_points: incident.session_points,
        address_points: incident.address_points,
        waived: incident.waived,
        consequences: incident
            .consequences
            .iter()
            .map(|consequence| consequence.told(incident.mood))
            .collect(),
    }
}
