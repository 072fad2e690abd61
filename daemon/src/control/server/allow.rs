//! `/v1/allow`

use std::time::Duration;

use ipnet::IpNet;
use portcullis_guard::blacklist::{self, BanRefused};
use portcullis_guard::effect::Effect;

use super::audit::Peer;
use super::dispatch::Reply;
use super::error::ControlError;
use crate::control::api::{AllowAdded, AllowList, AllowRequest, Allowed, parse_network};
use crate::gate::Gate;
use crate::store::Undo;

pub(super) fn list(gate: &Gate) -> Result<Reply, ControlError> {
    Reply::ok(&AllowList {
        allowed: gate.guard().allowed().iter().map(shown).collect(),
    })
}

pub(super) fn add(gate: &Gate, peer: Peer, request: &AllowRequest) -> Result<Reply, ControlError> {
    let network = parse_network(&request.network)?;
    let now = gate.now();
    let until = request
        .for_seconds
        .map(|seconds| now.wall.after(Duration::from_secs(seconds)));
    if request.for_seconds == Some(0) {
        return Err(BanRefused::Duration.into());
    }
    let entry = blacklist::Allowed {
        fixed: false,
        since: Some(now.wall),
        until,
        by: Some(peer.name().into()),
        ..blacklist::Allowed::fixed(network, &request.reason)
    };
    let effects = gate.guard().allow(entry, now)?;
    let lifted = effects.iter().filter_map(lifted).collect();
    gate.change(
        effects,
        peer.did("allow", &network, &request.reason, now.wall),
        Undo::Kept,
    )?;
    let entry = gate.guard().allowed_entry(network);
    let entry = entry.ok_or_else(|| ControlError::Internal("the entry is gone".into()))?;
    Reply::created(&AllowAdded {
        allowed: shown(&entry),
        lifted,
    })
}

pub(super) fn delete(gate: &Gate, peer: Peer, network: &str) -> Result<Reply, ControlError> {
    let now = gate.now();
    let (entry, effects) = gate.guard().disallow(parse_network(network)?, now)?;
    let deed = peer.did("disallow", &entry.network, &entry.reason, now.wall);
    gate.change(effects, deed, Undo::Kept)?;
    Reply::ok(&shown(&entry))
}

fn lifted(effect: &Effect) -> Option<IpNet> {
    match effect {
        Effect::Unban(network) => Some(*network),
        Effect::Ban(_)
        | Effect::Allow(_)
        | Effect::Disallow(_)
        | Effect::DropFlows { .. }
        | Effect::SessionEnded { .. }
        | Effect::SessionRestored(_)
        | Effect::Report(_) => None,
    }
}

/// An entry as it travels.
pub(super) fn shown(entry: &blacklist::Allowed) -> Allowed {
    Allowed {
        network: entry.network,
        reason: entry.reason.clone(),
        fixed: entry.fixed,
        since: entry.since.map(Into::into),
        until: entry.until.map(Into::into),
        by: entry.by.as_deref().map(str::to_owned),
    }
}
