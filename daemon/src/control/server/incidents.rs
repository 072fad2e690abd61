//! `/v1/incidents`

use portcullis_guard::incident;
use portcullis_guard::ledger::{Ledger, Line};
use portcullis_guard::request::Reference;

use super::dispatch::Reply;
use super::error::ControlError;
use crate::control::api::{Incident, IncidentList, PointLine};
use crate::gate::Gate;

const DEFAULT_LIMIT: usize = 100;

pub(super) fn one(gate: &Gate, reference: &str) -> Result<Reply, ControlError> {
    let reference: Reference = reference.parse()?;
    let incident = gate
        .guard()
        .incident(reference)
        .ok_or(ControlError::ReferenceUnknown(reference))?;
    let (guard, now) = (gate.guard(), gate.now());
    let session = incident.session.and_then(|session| guard.session_account(session, now));
    let address = guard.source_account(incident.client, now);
    Reply::ok(&Incident {
        session_ledger: session.map(|(_, ledger)| lines(&ledger)).unwrap_or_default(),
        address_ledger: lines(&address.ledger),
        ..shown(&incident)
    })
}

pub(super) fn lines(ledger: &Ledger) -> Vec<PointLine> {
    let shown = |line: &Line| PointLine {
        at: line.at.into(),
        signal: line.signal.name().to_owned(),
        what: line.signal.explanation().to_owned(),
        points: line.points,
        times: line.times,
        reference: line.reference.map(|reference| reference.to_string()),
        rule: line.rule.as_ref().map(ToString::to_string),
    };
    ledger.lines().map(shown).collect()
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
        ja4: incident.fingerprint.map(|fingerprint| fingerprint.to_string()),
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
        session_ledger: Vec::new(),
        address_ledger: Vec::new(),
    }
}
