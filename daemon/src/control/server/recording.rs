//! `/v1/recording`: calls that rules are learned from.

use std::time::Duration;

use portcullis_guard::learn;

use super::audit::Peer;
use super::dispatch::{Question, Reply};
use super::error::ControlError;
use crate::control::api::{RecordedCall, RecordedCalls, Recording, RecordingRequest};
use crate::gate::Gate;
use crate::store::Undo;

/// The longest recording, in seconds.
const LONGEST: u64 = 86_400;
/// Calls in one answer.
const PAGE: usize = 10_000;

pub(super) fn start(gate: &Gate, peer: Peer, question: &Question) -> Result<Reply, ControlError> {
    let request: RecordingRequest = question.json()?;
    if !(1..=LONGEST).contains(&request.for_seconds) {
        return Err(ControlError::ParameterInvalid {
            name: "for_seconds",
            expected: "1 to 86400",
        });
    }
    let now = gate.now();
    gate.guard()
        .recorder()
        .start(Duration::from_secs(request.for_seconds), now);
    let what = format!("calls for {} s", request.for_seconds);
    gate.record(Vec::new(), peer.did("record", &what, "", now.wall), Undo::Never)?;
    show(gate)
}

pub(super) fn show(gate: &Gate) -> Result<Reply, ControlError> {
    let state = gate.guard().recorder().state(gate.now());
    let state = state.ok_or(ControlError::NothingRecorded)?;
    Reply::ok(&Recording {
        left_seconds: state.left.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX),
        calls: state.calls,
        left_out: state.left_out,
    })
}

pub(super) fn calls(gate: &Gate, from: Option<&str>) -> Result<Reply, ControlError> {
    let from = from.map_or(Ok(0), str::parse);
    let from: usize = from.map_err(|_| ControlError::ParameterInvalid {
        name: "from",
        expected: "a number",
    })?;
    let found = gate.guard().recorder().calls(from, PAGE);
    let next = (found.len() == PAGE).then_some(from.saturating_add(PAGE));
    let calls = found.into_iter().map(shown).collect();
    Reply::ok(&RecordedCalls { calls, next })
}

pub(super) fn forget(gate: &Gate) -> Result<Reply, ControlError> {
    match gate.guard().recorder().forget() {
        true => Reply::ok(&()),
        false => Err(ControlError::NothingRecorded),
    }
}

fn shown((call, is_suspect): (learn::RecordedCall, bool)) -> RecordedCall {
    RecordedCall {
        at: call.at.0 as f64 / 1000.0,
        session: call.session.to_string(),
        method: call.method.to_string(),
        path: call.path.into(),
        status: call.status.unwrap_or(0),
        refused: is_suspect,
    }
}
