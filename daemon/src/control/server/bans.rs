//! `/v1/bans`

use std::cmp::Reverse;
use std::iter;
use std::ops::Bound;
use std::time::Duration;

use ipnet::IpNet;
use portcullis_guard::blacklist::{self, BanOrder, BanRefused, Holder, KeptClaim, LONGEST_BAN, Origin};
use portcullis_guard::time::{Now, WallMillis};

use super::audit::Peer;
use super::changes;
use super::dispatch::{Question, Reply};
use super::error::ControlError;
use super::status::mode;
use crate::clock;
use crate::control::api::{Ban, BanAdded, BanEdit, BanList, BanRequest, Hits, parse_network};
use crate::enforcer::{self, Target};
use crate::gate::Gate;
use crate::store::{Item, Undo};

/// Bans in one answer, unless told otherwise.
const PAGE: usize = 1000;
/// The most that one answer has.
const LARGEST_PAGE: usize = 100_000;

/// In which order bans are listed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Network,
    Until,
    Since,
}

const ORDERS: [(&str, Order); 3] = [
    ("network", Order::Network),
    ("until", Order::Until),
    ("since", Order::Since),
];

pub(super) fn list(gate: &Gate, question: &Question) -> Result<Reply, ControlError> {
    let wanted = Wanted::of(question)?;
    let now = gate.now();
    let (bans, more) = wanted.find(gate, now);
    let next = bans
        .last()
        .filter(|_| more && wanted.order == Order::Network)
        .map(|ban| ban.network);
    let targets = bans.iter().map(|ban| Target::Prefix(ban.network));
    let hits = gate.kernel().map(|kernel| kernel.hits(targets)).unwrap_or_default();
    let hits = hits.into_iter().chain(iter::repeat(None));
    let shown = bans.iter().zip(hits).map(|(ban, hits)| Ban {
        hits: hits.map(|hits| shown_hits(&hits, now)),
        ..shown(ban, now)
    });
    Reply::ok(&BanList {
        bans: shown.collect(),
        next,
        total: gate.guard().ban_count().0,
    })
}

/// What a list is to show.
struct Wanted {
    holder: Holder,
    within: Option<IpNet>,
    text: Option<String>,
    order: Order,
    limit: usize,
    after: Option<IpNet>,
}

impl Wanted {
    fn of(question: &Question) -> Result<Self, ControlError> {
        let network = |name| question.parameter(name).map(|text| parse_network(&text)).transpose();
        let order = question.parameter("sort").map_or(Ok(Order::Network), |text| {
            let known = ORDERS.iter().find(|(name, _)| *name == text);
            known.map(|(_, order)| *order).ok_or(ControlError::ParameterInvalid {
                name: "sort",
                expected: "network, until or since",
            })
        });
        let limit = question.parameter("limit").map_or(Ok(PAGE), |text| text.parse());
        Ok(Self {
            holder: changes::holder(question)?,
            within: network("within")?,
            text: question.parameter("text").map(|text| text.to_lowercase()),
            order: order?,
            limit: limit.unwrap_or(0).clamp(1, LARGEST_PAGE),
            after: network("after")?,
        })
    }

    fn is_wanted(&self, ban: &blacklist::Ban) -> bool {
        let has = |text: &str| {
            self.text
                .as_deref()
                .is_none_or(|wanted| text.to_lowercase().contains(wanted))
        };
        self.holder.origin.is_none_or(|origin| origin == ban.origin)
            && (self.holder.source.is_none() || self.holder.source == ban.source)
            && self.within.is_none_or(|within| within.contains(&ban.network))
            && (has(&ban.reason) || ban.by.as_deref().is_some_and(has))
    }

    /// The bans, and whether there are more.
    fn find(&self, gate: &Gate, now: Now) -> (Vec<blacklist::Ban>, bool) {
        let mut found: Vec<blacklist::Ban> = Vec::new();
        let mut from = Some(self.start());
        while let Some(start) = from {
            let (some, next) = gate.guard().bans_from(start, now);
            found.extend(some.into_iter().filter(|ban| self.is_wanted(ban)));
            from = next;
            // By network, the first are the ones; else only the best of all are kept on the way.
            match self.order {
                Order::Network if found.len() > self.limit => break,
                Order::Network => {}
                Order::Until | Order::Since if found.len() > 2 * self.limit + PAGE => self.cut(&mut found),
                Order::Until | Order::Since => {}
            }
        }
        let more = found.len() > self.limit;
        self.cut(&mut found);
        (found, more)
    }

    fn start(&self) -> Bound<IpNet> {
        match (self.after, self.within) {
            (Some(after), _) => Bound::Excluded(after),
            (None, Some(within)) => Bound::Included(IpNet::new(within.network(), 0).unwrap_or(within)),
            (None, None) => Bound::Unbounded,
        }
    }

    fn cut(&self, found: &mut Vec<blacklist::Ban>) {
        match self.order {
            Order::Network => {}
            Order::Until => found.sort_by_key(|ban| ban.until),
            Order::Since => found.sort_by_key(|ban| Reverse(ban.since)),
        }
        found.truncate(self.limit);
    }
}

/// What a ban kept away, as it travels.
pub(super) fn shown_hits(hits: &enforcer::Hits, now: Now) -> Hits {
    let ago = clock::since_boot(now.mono).saturating_sub(hits.last_since_boot);
    let ago = u64::try_from(ago.as_millis()).unwrap_or(u64::MAX);
    Hits {
        packets: hits.packets,
        bytes: hits.bytes,
        last_seen: WallMillis(now.wall.0.saturating_sub(ago)).into(),
    }
}

pub(super) fn add(gate: &Gate, peer: Peer, request: &BanRequest) -> Result<Reply, ControlError> {
    let now = gate.now();
    let network = parse_network(&request.network)?;
    if let Some(caller) = request
        .caller
        .filter(|caller| !request.force && network.contains(&caller.to_canonical()))
    {
        return Err(ControlError::LockOut { network, caller });
    }
    let order = BanOrder {
        network,
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
    gate.change(effects, deed, Undo::Kept)?;
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
    if let Some(store) = gate.store() {
        // It was wrong, or is forgiven.
        store.note([Item::Strikes(network)]);
    }
    gate.change(effects, peer.did("unban", &network, &ban.reason, now.wall), Undo::Kept)?;
    Reply::ok(&shown(&ban, now))
}

/// Changes the ban that holds, whoever wanted it, and leaves no other claim beside it.
pub(super) fn edit(gate: &Gate, peer: Peer, network: &str, edit: &BanEdit) -> Result<Reply, ControlError> {
    let (network, now) = (parse_network(network)?, gate.now());
    let Some(ban) = gate.guard().ban_of(network, now) else {
        let covering = covering(gate, network, now);
        return Err(ControlError::NotBanned { network, covering });
    };
    let ttl = edit.for_seconds.map_or(ban.remaining(now), Duration::from_secs);
    if ttl < Duration::from_secs(1) || ttl > LONGEST_BAN {
        return Err(BanRefused::Duration.into());
    }
    let reason = edit.reason.as_deref().unwrap_or(&ban.reason);
    let changed = KeptClaim {
        origin: ban.origin,
        reason: reason.into(),
        source: ban.source.clone(),
        by: Some(peer.name().into()),
        reference: ban.reference,
        since: whole_seconds(ban.since),
        until: whole_seconds(now.wall.after(ttl)),
    };
    // Nothing of before stays: the end may come earlier.
    let effect = gate.guard().put_back(network, &[changed], WallMillis(u64::MAX), now);
    let object = format!("{network} to {}s from now", ttl.as_secs());
    gate.change(vec![effect], peer.did("edit", &object, reason, now.wall), Undo::Kept)?;
    let ban = gate.guard().ban_of(network, now);
    let ban = ban.ok_or_else(|| ControlError::Internal("the ban is gone".into()))?;
    Reply::ok(&shown(&ban, now))
}

fn whole_seconds(at: WallMillis) -> u32 {
    u32::try_from(at.seconds()).unwrap_or(u32::MAX)
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
        list: ban.source.as_deref().map(str::to_owned),
        by: ban.by.as_deref().map(str::to_owned),
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
