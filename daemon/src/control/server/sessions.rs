//! `/v1/sessions`

use portcullis_guard::effect::Effect;
use portcullis_guard::session::{SessionId, SessionStatus, SessionSummary};

use super::audit::Peer;
use super::bans::seconds_left;
use super::dispatch::Reply;
use super::error::ControlError;
use super::incidents::lines;
use crate::control::api::{
    KeyRotated, Session, SessionEnded, SessionEvent, SessionList, SessionRestored, SessionTimeline,
};
use crate::gate::Gate;
use crate::store::Undo;

pub(super) fn list(gate: &Gate) -> Result<Reply, ControlError> {
    Reply::ok(&SessionList {
        sessions: gate.guard().sessions(gate.now()).iter().map(shown).collect(),
    })
}

/// `GET /v1/sessions/ID/timeline`
pub(super) fn timeline(gate: &Gate, id: &str) -> Result<Reply, ControlError> {
    let id: SessionId = id.parse()?;
    let guard = gate.guard();
    let (summary, ledger) = guard
        .session_account(id, gate.now())
        .ok_or(ControlError::SessionUnknown(id))?;
    let calls = guard.calls_of(id).into_iter().map(|call| SessionEvent {
        at: call.at.into(),
        kind: "call".into(),
        method: call.method.to_owned(),
        path: call.path,
        status: call.status,
        reference: None,
        rule: None,
        said: String::new(),
    });
    let refusals = guard.incidents_of(id);
    let refusals = refusals.iter().map(|incident| SessionEvent {
        at: incident.at.into(),
        kind: if incident.waived { "watched" } else { "refusal" }.into(),
        method: incident.method.clone(),
        path: incident.path.clone(),
        status: (!incident.waived).then(|| incident.refusal.problem().status),
        reference: Some(incident.reference.to_string()),
        rule: incident.rule.clone(),
        said: incident.explanation.clone(),
    });
    let mut events: Vec<SessionEvent> = calls.chain(refusals).collect();
    events.sort_by_key(|event| event.at);
    let fingerprints = gate.connections().fingerprints(&guard.connections_of(id));
    Reply::ok(&SessionTimeline {
        session: shown(&summary),
        ja4: fingerprints.iter().map(ToString::to_string).collect(),
        events,
        points: lines(&ledger),
    })
}

pub(super) fn revoke(gate: &Gate, peer: Peer, id: &str) -> Result<Reply, ControlError> {
    let id: SessionId = id.parse()?;
    let now = gate.now();
    let effects = gate.guard().revoke(id, now).ok_or(ControlError::SessionUnknown(id))?;
    let connections_closed = effects.iter().map(connections).sum();
    gate.change(effects, peer.did("revoke", &id, "", now.wall), Undo::Never)?;
    Reply::ok(&SessionEnded {
        session: id.to_string(),
        connections_closed,
    })
}

/// `POST /v1/sessions/ID/restore`
pub(super) fn restore(gate: &Gate, peer: Peer, id: &str) -> Result<Reply, ControlError> {
    let id: SessionId = id.parse()?;
    let now = gate.now();
    let effects = gate
        .guard()
        .reinstate(id, now)
        .ok_or(ControlError::SessionNotEnded(id))?;
    gate.change(effects, peer.did("restore", &id, "", now.wall), Undo::Never)?;
    Reply::ok(&SessionRestored {
        session: id.to_string(),
    })
}

/// `POST /v1/session-keys`
pub(super) fn rotate_key(gate: &Gate, peer: Peer) -> Result<Reply, ControlError> {
    let rotated = gate.rotate_key().ok_or(ControlError::NotFound)??;
    let key = format!("{:08x}", rotated.number);
    gate.record(
        Vec::new(),
        peer.did("rotate-key", &key, "", gate.now().wall),
        Undo::Never,
    )?;
    Reply::created(&KeyRotated {
        key,
        previous: rotated.previous,
    })
}

fn connections(effect: &Effect) -> usize {
    match effect {
        Effect::DropFlows { connections, .. } => connections.len(),
        Effect::Ban(_)
        | Effect::Unban(_)
        | Effect::Allow(_)
        | Effect::Disallow(_)
        | Effect::SessionEnded { .. }
        | Effect::SessionRestored(_)
        | Effect::Report(_) => 0,
    }
}

fn shown(session: &SessionSummary) -> Session {
    let banned_seconds = match session.status {
        SessionStatus::Banned(left) => Some(seconds_left(left)),
        SessionStatus::Active | SessionStatus::Suspended | SessionStatus::Revoked | SessionStatus::Over => None,
    };
    Session {
        id: session.id.to_string(),
        opened: session.opened.into(),
        expires: session.expires.into(),
        idle_seconds: session.idle.as_secs(),
        address: session.client.ip(),
        user_agent: session.user_agent.clone(),
        user: session.user.clone(),
        score: session.score,
        streams: session.streams,
        connections: session.connections,
        calls: session.calls,
        state: session.status.into(),
        banned_seconds,
    }
}
