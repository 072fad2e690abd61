//! `/v1/allow`

use ipnet::IpNet;
use portcullis_guard::blacklist;
use portcullis_guard::effect::Effect;

use super::audit::Peer;
use super::dispatch::Reply;
use super::error::ControlError;
use crate::control::api::{AllowAdded, AllowList, AllowRequest, Allowed, parse_network};
use crate::gate::Gate;

pub(super) fn list(gate: &Gate) -> Result<Reply, ControlError> {
    Reply::ok(&AllowList {
        allowed: gate.guard().allowed().iter().map(shown).collect(),
    })
}

pub(super) fn add(gate: &Gate, peer: Peer, request: &AllowRequest) -> Result<Reply, ControlError> {
    let network = parse_network(&request.network)?;
    let entry = blacklist::Allowed {
        fixed: false,
        ..blacklist::Allowed::fixed(network, &request.reason)
    };
    let now = gate.now();
    let effects = gate.guard().allow(entry, now)?;
    let lifted = effects.iter().filter_map(lifted).collect();
    gate.change(effects, peer.did("allow", &network, &request.reason, now.wall), true)?;
    let fixed = gate
        .guard()
        .allowed()
        .iter()
        .any(|entry| entry.network == network && entry.fixed);
    Reply::created(&AllowAdded {
        allowed: Allowed {
            network,
            reason: request.reason.clone(),
            fixed,
        },
        lifted,
    })
}

pub(super) fn delete(gate: &Gate, peer: Peer, network: &str) -> Result<Reply, ControlError> {
    let now = gate.now();
    let (entry, effects) = gate.guard().disallow(parse_network(network)?, now)?;
    let deed = peer.did("disallow", &entry.network, &entry.reason, now.wall);
    gate.change(effects, deed, true)?;
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
        | Effect::Report(_) => None,
    }
}

/// An entry as it travels.
pub(super) fn shown(entry: &blacklist::Allowed) -> Allowed {
    Allowed {
        network: entry.network,
        reason: entry.reason.clone(),
        fixed: entry.fixed,
    }
}
