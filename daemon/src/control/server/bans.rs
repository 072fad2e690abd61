//! `/v1/bans`

use std::iter;
use std::time::Duration;

use ipnet::IpNet;
use portcullis_guard::blacklist::{self, BanOrder, Origin};
use portcullis_guard::time::{Now, WallMillis};

use super::audit::Peer;
use super::dispatch::Reply;
use super::error::ControlError;
use super::status::mode;
use crate::control::api::{Ban, BanAdded, BanList, BanRequest, Hits, parse_network};
use crate::enforcer::{self, Target};
use crate::gate::Gate;

pub(super) fn list(gate: &Gate) -> Result<Reply, ControlError> {
    let now = gate.now();
    let bans = gate.guard().bans(now);
    let targets = bans.iter().map(|ban| Target::Prefix(ban.network));
    let hits = gate.kernel().map(|kernel| kernel.hits(targets)).unwrap_or_default();
    let hits = hits.into_iter().chain(iter::repeat(None));
    let shown = bans.iter().zip(hits).map(|(ban, hits)| Ban {
        hits: hits.map(|hits| shown_hits(&hits, now)),
        ..shown(ban, now)
    });
    Reply::ok(&BanList { bans: shown.collect() })
}

/// What a ban kept away, as it travels.
pub(super) fn shown_hits(hits: &enforcer::Hits, now: Now) -> Hits {
    let ago = Duration::from_millis(now.mono.0).saturating_sub(hits.last_since_boot);
    let ago = u64::try_from(ago.as_millis()).unwrap_or(u64::MAX);
    Hits {
        packets: hits.packets,
        bytes: hits.bytes,
        last_seen: WallMillis(now.wall.0.saturating_sub(ago)).into(),
    }
}

pub(super) fn add(gate: &Gate, peer: Peer, request: &BanRequest) -> Result<Reply, ControlError> {
    let now = gate.now();
    let order = BanOrder {
        network: parse_network(&request.network)?,
        ttl: Duration::from_secs(request.for_seconds),
        reason: request.reason.clone(),
        origin: Origin::Operator,
        source: None,
        by: Some(peer.name().into()),
        reference: None,
        force: request.force,
    };
    let (ban, effects) = gate.guard().ban(order, now)?;
    let object = format!("{} for {}s", ban.network, request.for_seconds);
    let deed = peer.did("ban", &object, &request.reason, now.wall);
    gate.change(effects, deed, true)?;
    Reply::created(&BanAdded {
        ban: shown(&ban, now),
        mode: mode(gate),
        packet_layer: gate.kernel().is_some(),
    })
}

pub(super) fn delete(gate: &Gate, peer: Peer, network: &str) -> Result<Reply, ControlError> {
    let network = parse_network(network)?;
    let now = gate.now();
    let Some((ban, effects)) = gate.guard().unban(network) else {
        return Err(ControlError::NotBanned {
            network,
            covering: covering(gate, network, now),
        });
    };
    gate.change(effects, peer.did("unban", &network, &ban.reason, now.wall), true)?;
    Reply::ok(&shown(&ban, now))
}

/// A wider ban around a network, which deleting the network's own would not lift.
fn covering(gate: &Gate, network: IpNet, now: Now) -> Option<IpNet> {
    let bans = gate.guard().standing(network.addr(), now).bans;
    bans.iter()
        .map(|ban| ban.network)
        .find(|banned| banned.contains(&network))
}

/// A ban as it travels.
pub(super) fn shown(ban: &blacklist::Ban, now: Now) -> Ban {
    Ban {
        network: ban.network,
        reason: ban.reason.to_string(),
        origin: ban.origin.to_string(),
        since: ban.since.into(),
        until: ban.until.into(),
        remaining_seconds: seconds_left(ban.remaining(now)),
        reference: ban.reference.map(|reference| reference.to_string()),
        hits: None,
    }
}

/// Whole seconds, rounded up: what is in force has some time left.
pub(super) fn seconds_left(left: Duration) -> u64 {
    left.as_secs() + u64::from(left.subsec_nanos() > 0)
}
