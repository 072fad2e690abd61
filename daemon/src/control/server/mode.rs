//! `/v1/mode` and `/v1/confirm`: whether verdicts have consequences, and changes on trial.

use std::time::Duration;

use portcullis_guard::policy::{self, Share};

use super::audit::Peer;
use super::dispatch::{Question, Reply};
use super::error::ControlError;
use super::status::mode;
use crate::control::api::{ConfirmRequest, Ended, Mode, ModeRequest, ModeState, TakenBack, Trial};
use crate::gate::Gate;
use crate::gate::trial::{self, Before};
use crate::store::Undo;

/// The longest time that a change may be on trial, in seconds.
const LONGEST_TRIAL: u64 = 86_400;

pub(super) fn show(gate: &Gate) -> Result<Reply, ControlError> {
    Reply::ok(&state(gate))
}

pub(super) fn state(gate: &Gate) -> ModeState {
    let guard = gate.guard();
    let policy = guard.policy();
    ModeState {
        mode: mode(gate),
        share_percent: gate.guard().enforced_share().as_percent(),
        configured: named(policy.mode),
        configured_share_percent: policy.enforced.as_percent(),
        trial: gate.trials().current().map(|trial| shown(gate, trial)),
        taken_back: gate.trials().taken_back().map(|back| TakenBack {
            what: back.what,
            at: back.at.into(),
            in_files: back.is_in_files,
        }),
    }
}

fn shown(gate: &Gate, trial: trial::Trial) -> Trial {
    Trial {
        left_seconds: trial.until.0.saturating_sub(gate.now().wall.0).div_ceil(1000),
        until: trial.until.into(),
        what: trial.what,
        who: trial.who,
    }
}

pub(super) fn change(gate: &Gate, peer: Peer, question: &Question) -> Result<Reply, ControlError> {
    let request: ModeRequest = question.json()?;
    let span = span_of_trial(request.confirm_seconds)?;
    let percent = request.share_percent.unwrap_or(100.0);
    if !(0.01..=100.0).contains(&percent) {
        return Err(ControlError::ParameterInvalid {
            name: "share_percent",
            expected: "0.01 to 100",
        });
    }
    let (wanted, share) = match request.mode {
        Mode::Monitor => (policy::Mode::Monitor, Share::ALL),
        Mode::Enforce => (policy::Mode::Enforce, Share::percent(percent)),
    };
    let what = match (request.mode, request.share_percent) {
        (Mode::Enforce, Some(percent)) => format!("enforce for {percent}%"),
        (mode, _) => mode.to_string(),
    };
    let before = Before::Enforcement(gate.guard().mode(), gate.guard().enforced_share());
    let mut in_kernel = Ok(());
    gate.try_change(span, &format!("mode {what}"), &peer.name(), || {
        in_kernel = gate.set_mode(wanted, share);
        Ok::<_, ControlError>(before)
    })?;
    let deed = peer.did("mode", &what, &on_trial(span), gate.now().wall);
    let stored = gate.record(Vec::new(), deed, Undo::Never);
    in_kernel.map_err(crate::gate::ChangeError::from)?;
    stored?;
    show(gate)
}

/// Ends the trial: the change stands, or is taken back.
pub(super) fn confirm(gate: &Gate, peer: Peer, question: &Question) -> Result<Reply, ControlError> {
    let request: ConfirmRequest = question.json_if_any()?;
    let (action, trial) = if request.take_back {
        let trial = gate.take_back().ok_or(ControlError::NothingOnTrial)?;
        ("take-back", trial?)
    } else {
        ("confirm", gate.confirm().ok_or(ControlError::NothingOnTrial)?)
    };
    let deed = peer.did(action, &trial.what, "", gate.now().wall);
    gate.record(Vec::new(), deed, Undo::Never)?;
    Reply::ok(&Ended {
        what: trial.what,
        stays: !request.take_back,
    })
}

/// The time of a trial; `None`: the change is for good.
pub(super) fn span_of_trial(seconds: Option<u64>) -> Result<Option<Duration>, ControlError> {
    match seconds {
        Some(seconds) if !(1..=LONGEST_TRIAL).contains(&seconds) => Err(ControlError::ParameterInvalid {
            name: "confirm_seconds",
            expected: "1 to 86400",
        }),
        seconds => Ok(seconds.map(Duration::from_secs)),
    }
}

/// What the audit trail says of it.
pub(super) fn on_trial(span: Option<Duration>) -> String {
    span.map_or_else(String::new, |span| {
        format!("unless confirmed, for {} s", span.as_secs())
    })
}

fn named(mode: policy::Mode) -> Mode {
    match mode {
        policy::Mode::Monitor => Mode::Monitor,
        policy::Mode::Enforce => Mode::Enforce,
    }
}
