//! What live views show: the page of the admin listener and `portcullis top`. Counters, not rates: whoever draws makes
//! the difference.

use std::ops::Bound;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use portcullis_guard::incident::Incident;
use portcullis_guard::policy::Mode;
use portcullis_guard::time::{MonoMillis, Now, WallMillis};

use crate::admin;
use crate::clock;
use crate::control::api::{Offender, RecentRefusal, RuleCount, RuleList, Stats, WorstSession};
use crate::enforcer::{Enforcer, Target};
use crate::gate::Gate;

/// Offenders, and sessions, that are told.
const SHOWN: usize = 50;
/// Refusals that are told.
const REFUSALS: usize = 50;
/// Refusals that rules are looked for in.
const RECENT: usize = 200;
/// How old the lists of offenders and sessions may be: they take a walk through all bans and all sessions.
const OFFENDERS_AGE: Duration = Duration::from_secs(10);

/// The bans that keep away most and the sessions with the most points, remembered for a while.
#[derive(Default)]
pub struct Offenders(Mutex<Option<(MonoMillis, Worst)>>);

#[derive(Clone, Default)]
struct Worst {
    bans: Vec<Offender>,
    sessions: Vec<WorstSession>,
}

/// All of it. Cheap: offenders and sessions are looked for every ten seconds at most.
#[must_use]
pub fn stats(gate: &Gate) -> Stats {
    let (guard, kernel, now) = (gate.guard(), gate.kernel(), gate.now());
    let causes = guard.refusal_counts().into_iter().filter(|(_, count)| *count > 0);
    let mut causes: Vec<_> = causes.map(|(cause, count)| (cause.to_owned(), count)).collect();
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
            drops.push((reason.name().to_owned(), count.packets));
        } else {
            passed += count.packets;
        }
    }
    let (bans, bans_capacity) = guard.ban_count();
    let usage = kernel.map(Enforcer::usage);
    let interfaces = kernel.map(Enforcer::interfaces).unwrap_or_default();
    let recent = guard.recent_incidents(RECENT);
    let worst = gate.offenders().get(gate, now);
    Stats {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        enforcing: guard.mode() == Mode::Enforce,
        at_ms: now.mono.0,
        started: gate.started().into(),
        missing: admin::missing(gate),
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
        offenders: worst.bans,
        worst_sessions: worst.sessions,
        refusals: recent.iter().take(REFUSALS).map(refusal).collect(),
        rules: rules(gate, &recent),
    }
}

fn refusal(incident: &Incident) -> RecentRefusal {
    RecentRefusal {
        at: incident.at.into(),
        reference: incident.reference.to_string(),
        cause: incident.refusal.cause().to_owned(),
        address: incident.client.ip(),
        method: incident.method.clone(),
        path: incident.path.clone(),
        waived: incident.waived,
    }
}

fn rules(gate: &Gate, recent: &[Incident]) -> Vec<RuleCount> {
    let rules = RuleList::from(&gate.guard().rules()).rules.into_iter();
    let count = |id: &str| {
        recent
            .iter()
            .filter(|incident| incident.rule.as_deref() == Some(id))
            .count()
    };
    let counted = rules.map(|rule| RuleCount {
        recent: count(&rule.id),
        id: rule.id,
        mode: rule.mode,
    });
    counted.collect()
}

impl Offenders {
    fn get(&self, gate: &Gate, now: Now) -> Worst {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, worst)) = known.as_ref().filter(|(at, _)| now.mono.since(*at) < OFFENDERS_AGE) {
            tracing::trace!(at = at.0, "the offenders are still known");
            return worst.clone();
        }
        let worst = Worst {
            bans: gate
                .kernel()
                .map(|kernel| worst_bans(gate, kernel, now))
                .unwrap_or_default(),
            sessions: worst_sessions(gate, now),
        };
        *known = Some((now.mono, worst.clone()));
        worst
    }
}

fn worst_sessions(gate: &Gate, now: Now) -> Vec<WorstSession> {
    let mut sessions = gate.guard().sessions(now);
    sessions.sort_by(|a, b| b.score.total_cmp(&a.score).then(b.calls.cmp(&a.calls)));
    sessions.truncate(SHOWN);
    let worst = sessions.into_iter().map(|session| WorstSession {
        id: session.id.to_string(),
        address: session.client.ip(),
        score: session.score,
        calls: session.calls,
        idle_seconds: session.idle.as_secs(),
        state: session.status.into(),
    });
    worst.collect()
}

fn worst_bans(gate: &Gate, kernel: &Enforcer, now: Now) -> Vec<Offender> {
    let mut worst: Vec<Offender> = Vec::new();
    let mut from = Some(Bound::Unbounded);
    while let Some(start) = from {
        let (bans, next) = gate.guard().bans_from(start, now);
        let hits = kernel.hits(bans.iter().map(|ban| Target::Prefix(ban.network)));
        for (ban, hits) in bans.iter().zip(hits) {
            let Some(hits) = hits else { continue };
            let ago = clock::since_boot(now.mono).saturating_sub(hits.last_since_boot);
            let ago = u64::try_from(ago.as_millis()).unwrap_or(u64::MAX);
            worst.push(Offender {
                network: ban.network.to_string(),
                reason: ban.reason.to_string(),
                origin: ban.origin.to_string(),
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
