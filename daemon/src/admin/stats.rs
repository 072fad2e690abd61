//! What the page shows, as JSON. Counters, not rates: the page makes the difference.

use std::ops::Bound;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use portcullis_guard::policy::Mode;
use portcullis_guard::time::{MonoMillis, Now, WallMillis};
use serde::Serialize;

use super::health;
use crate::control::api::Moment;
use crate::enforcer::{Enforcer, Target};
use crate::gate::Gate;

/// Offenders that are shown.
const SHOWN: usize = 12;
/// Refusals that are shown.
const REFUSALS: usize = 12;
/// How old the list of offenders may be: it takes a walk through all bans.
const OFFENDERS_AGE: Duration = Duration::from_secs(10);

/// The bans that keep away most, remembered for a while.
#[derive(Default)]
pub(super) struct Offenders(Mutex<Option<(MonoMillis, Vec<Offender>)>>);

#[derive(Clone, Serialize)]
struct Offender {
    network: String,
    reason: String,
    origin: &'static str,
    until: Moment,
    packets: u64,
    bytes: u64,
    last_seen: Moment,
}

#[derive(Serialize)]
struct Stats {
    version: &'static str,
    enforcing: bool,
    at_ms: u64,
    started: Moment,
    missing: Vec<String>,
    admitted: u64,
    refused: u64,
    causes: Vec<(&'static str, u64)>,
    packets_passed: u64,
    packets_dropped: u64,
    drops: Vec<(&'static str, u64)>,
    bans: usize,
    bans_capacity: usize,
    sessions: usize,
    connections: usize,
    map: Option<(u32, u32)>,
    enforced_ratio: Option<f64>,
    interfaces: Vec<(String, String)>,
    offenders: Vec<Offender>,
    refusals: Vec<Refusal>,
}

#[derive(Serialize)]
struct Refusal {
    at: Moment,
    reference: String,
    cause: &'static str,
    address: String,
    method: String,
    path: String,
    waived: bool,
}

pub(super) fn json(gate: &Gate, offenders: &Offenders) -> Vec<u8> {
    serde_json::to_vec(&stats(gate, offenders)).unwrap_or_default()
}

fn stats(gate: &Gate, offenders: &Offenders) -> Stats {
    let (guard, kernel, now) = (gate.guard(), gate.kernel(), gate.now());
    let mut causes: Vec<_> = guard
        .refusal_counts()
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .collect();
    causes.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let counters = kernel.and_then(|kernel| kernel.counters().ok());
    let (mut passed, mut drops) = (0, Vec::new());
    for (reason, count, _) in counters
        .as_ref()
        .map(crate::enforcer::Counters::iter)
        .into_iter()
        .flatten()
    {
        if reason.is_drop() {
            drops.push((reason.name(), count.packets));
        } else {
            passed += count.packets;
        }
    }
    let (bans, bans_capacity) = guard.ban_count();
    let usage = kernel.map(Enforcer::usage);
    let interfaces = kernel.map(Enforcer::interfaces).unwrap_or_default();
    Stats {
        version: env!("CARGO_PKG_VERSION"),
        enforcing: guard.mode() == Mode::Enforce,
        at_ms: now.mono.0,
        started: gate.started().into(),
        missing: health::missing(gate),
        admitted: guard.admitted(),
        refused: causes.iter().map(|(_, count)| count).sum(),
        causes,
        packets_passed: passed,
        packets_dropped: drops.iter().map(|(_, count)| count).sum(),
        drops,
        bans,
        bans_capacity,
        sessions: guard.session_count(),
        connections: gate.connections().len(),
        map: usage.map(|usage| (usage.hosts, usage.capacity)),
        enforced_ratio: gate.enforcement().map(|last| last.found.ratio()),
        interfaces: interfaces
            .into_iter()
            .map(|interface| (interface.name, interface.attach_mode.to_string()))
            .collect(),
        offenders: offenders.get(gate, now),
        refusals: refusals(gate),
    }
}

fn refusals(gate: &Gate) -> Vec<Refusal> {
    let recent = gate.guard().recent_incidents(REFUSALS);
    let shown = recent.into_iter().map(|incident| Refusal {
        at: incident.at.into(),
        reference: incident.reference.to_string(),
        cause: incident.refusal.cause(),
        address: incident.client.ip().to_string(),
        method: incident.method.to_string(),
        path: incident.path.to_string(),
        waived: incident.waived,
    });
    shown.collect()
}

impl Offenders {
    fn get(&self, gate: &Gate, now: Now) -> Vec<Offender> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, list)) = known.as_ref().filter(|(at, _)| now.mono.since(*at) < OFFENDERS_AGE) {
            tracing::trace!(at = at.0, "the offenders are still known");
            return list.clone();
        }
        let list = gate.kernel().map(|kernel| worst(gate, kernel, now)).unwrap_or_default();
        *known = Some((now.mono, list.clone()));
        list
    }
}

fn worst(gate: &Gate, kernel: &Enforcer, now: Now) -> Vec<Offender> {
    let mut worst: Vec<Offender> = Vec::new();
    let mut from = Some(Bound::Unbounded);
    while let Some(start) = from {
        let (bans, next) = gate.guard().bans_from(start, now);
        let hits = kernel.hits(bans.iter().map(|ban| Target::Prefix(ban.network)));
        for (ban, hits) in bans.iter().zip(hits) {
            let Some(hits) = hits else { continue };
            let ago = Duration::from_millis(now.mono.0).saturating_sub(hits.last_since_boot);
            let ago = u64::try_from(ago.as_millis()).unwrap_or(u64::MAX);
            worst.push(Offender {
                network: ban.network.to_string(),
                reason: ban.reason.to_string(),
                origin: ban.origin.as_str(),
                until: ban.until.into(),
                packets: hits.packets,
                bytes: hits.bytes,
                last_seen: WallMillis(now.wall.0.saturating_sub(ago)).into(),
            });
        }
        worst.sort_by_key(|offender| std::cmp::Reverse(offender.packets));
        worst.truncate(SHOWN);
        from = next;
    }
    worst
}
