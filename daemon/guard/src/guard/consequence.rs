//! What follows from a refusal: points, bans, and a memory for the operator.
//!
//! The ladder (invariant I6): request → session → its flows → address. Each step is taken only when the one before did
//! not help, and an address from which other sessions call cleanly is not banned as a whole.

use std::fmt::Write;
use std::time::Duration;

use http::{HeaderMap, HeaderValue};

use super::permit::Permit;
use super::{Guard, Judgement};
use crate::blacklist::{BanOrder, Origin};
use crate::effect::{Effect, KernelBan};
use crate::incident::{Incident, METHOD_KEPT, PATH_KEPT, kept};
use crate::policy::Mode;
use crate::reauth::Return;
use crate::refusal::Refusal;
use crate::request::{Reference, Request};
use crate::score::{Points, points};
use crate::sequence::{Action, Violation};
use crate::session::SessionId;
use crate::session::record::Record;
use crate::session::work::Demand;
use crate::signature::input::SIGNATURE_INPUT;
use crate::time::Now;

/// A refused request and how it is answered.
#[derive(Debug)]
pub struct Refused {
    /// The cause.
    pub refusal: Refusal,
    /// For the client to quote and for the operator to look up.
    pub reference: Reference,
    /// Session id and nonce of the gate's choice, for `Accept-Signature`.
    pub fresh: Option<(String, String)>,
    /// How the session comes back, if it is suspended.
    pub way_back: Option<Return>,
    /// What the client has to do for a session.
    pub work: Option<Demand>,
    /// The permit to forward it all the same: the gate only watches.
    pub waived: Option<Permit>,
}

/// A refusal on its way up, with what is known about whose fault it is. Boxed: the good way stays narrow.
pub(super) struct Fault {
    refusal: Refusal,
    /// Only a session that proved itself.
    session: Option<SessionId>,
    violation: Option<Violation>,
    fresh: Option<(String, String)>,
}

impl Fault {
    pub(super) fn of(refusal: Refusal) -> Box<Self> {
        Box::new(Self {
            refusal,
            session: None,
            violation: None,
            fresh: None,
        })
    }

    pub(super) fn by(refusal: Refusal, session: SessionId) -> Box<Self> {
        Box::new(Self {
            session: Some(session),
            ..*Self::of(refusal)
        })
    }

    pub(super) fn of_rule(session: SessionId, violation: Violation) -> Box<Self> {
        let refusal = violation.kind.refusal();
        Box::new(Self {
            violation: Some(violation),
            ..*Self::by(refusal, session)
        })
    }

    pub(super) fn with_fresh(mut self: Box<Self>, session_id: String, nonce: String) -> Box<Self> {
        self.fresh = Some((session_id, nonce));
        self
    }

    pub(super) fn refusal(&self) -> Refusal {
        self.refusal
    }

    fn points(&self, guard: &Guard, request: &Request<'_>) -> Points {
        let by_rule = self.violation.as_ref().map_or(0.0, |violation| violation.score);
        let general = points(self.refusal, &guard.policy.weights);
        let address = if is_from_a_foreign_page(request.headers) {
            0.0
        } else {
            general.address
        };
        Points {
            session: general.session + by_rule,
            address,
        }
    }
}

impl From<Refusal> for Box<Fault> {
    fn from(refusal: Refusal) -> Self {
        Fault::of(refusal)
    }
}

/// The account of one refusal while its consequences are drawn.
struct Account<'a, 'r> {
    request: &'a Request<'r>,
    refusal: Refusal,
    session: Option<SessionId>,
    points: Points,
    effects: Vec<Effect>,
    notes: String,
    enforced: bool,
    now: Now,
}

impl Account<'_, '_> {
    fn note(&mut self, note: std::fmt::Arguments<'_>) {
        let separator = if self.notes.is_empty() { "" } else { "; " };
        // Writing to a String does not fail.
        let _ = write!(self.notes, "{separator}{note}");
    }

    fn drop_flows(&mut self, connections: Vec<crate::request::ConnectionId>, ttl: Duration) {
        if self.enforced && !connections.is_empty() {
            self.effects.push(Effect::DropFlows {
                connections,
                ttl,
                reference: self.request.reference,
            });
        }
    }
}

/// A request that another site makes a visitor's browser send, like a picture: it says so (W3C Fetch Metadata), and no
/// page can add a signature to it. Visitors must not pay for the pages they look at.
fn is_from_a_foreign_page(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    matches!(site, Some(b"cross-site" | b"same-site")) && !headers.contains_key(SIGNATURE_INPUT)
}

/// Whether a score is as good as at its threshold. Points fade from the first millisecond on, so that four times 50 are
/// never quite 200.
fn reaches(score: f32, threshold: f32) -> bool {
    score >= 0.99 * threshold
}

impl Guard {
    /// Never anything but a refusal, whatever it would have led to.
    pub(super) fn refuse<T>(&self, request: &Request<'_>, fault: Box<Fault>, now: Now) -> Judgement<T> {
        let enforced = self.policy.mode == Mode::Enforce;
        let mut account = Account {
            request,
            refusal: fault.refusal,
            session: fault.session,
            points: fault.points(self, request),
            effects: Vec::new(),
            notes: fault.violation.as_ref().map_or_else(
                || fault.refusal.explanation().to_owned(),
                |violation| violation.explanation.clone(),
            ),
            enforced,
            now,
        };
        self.charge_session(&mut account);
        self.charge_address(&mut account);
        if matches!(fault.refusal, Refusal::SessionBanned(_)) {
            account.drop_flows(vec![request.connection], self.policy.thresholds.flow_ban);
        }
        let waived = !enforced && fault.refusal.can_be_waived();
        let effects = self.record(account, fault.violation.as_ref(), waived);
        let refused = Refused {
            refusal: fault.refusal,
            reference: request.reference,
            fresh: fault.fresh,
            way_back: fault.refusal.suspends().then(|| self.policy.logins.way_back()),
            work: (fault.refusal.asks_for_work() && !waived).then(|| self.demand_work(request.client.source(), now)),
            waived: waived.then(Permit::unsigned),
        };
        Judgement {
            outcome: Err(Box::new(refused)),
            effects,
        }
    }

    /// Session: collects points; at the threshold it is banned and its connections are dropped at the card.
    fn charge_session(&self, account: &mut Account<'_, '_>) {
        let Some(session) = account.session.filter(|_| account.points.session > 0.0) else {
            return;
        };
        let thresholds = &self.policy.thresholds;
        let now = account.now;
        let mut shard = self.sessions.shard(session);
        let Some(record) = shard.get(session) else { return };
        let score = record.score.add(account.points.session, thresholds.half_life, now.mono);
        if !reaches(score, thresholds.session) {
            return account.note(format_args!("session score {score:.0} of {:.0}", thresholds.session));
        }
        let would = if account.enforced { "" } else { "would be " };
        account.note(format_args!("session score {score:.0}: session {would}banned"));
        if !account.enforced {
            return;
        }
        let ended = shard.end(session, Some(thresholds.session_ban), thresholds.half_life, now);
        drop(shard);
        self.sources.disown(account.request.client.source(), session);
        account.points.address += self.policy.weights.session_banned;
        account.effects.push(Effect::SessionEnded {
            session,
            ttl: thresholds.session_ban,
        });
        let connections = ended.map(|record| record.connections().to_vec()).unwrap_or_default();
        account.drop_flows(connections, thresholds.flow_ban);
    }

    /// Address: collects points; at the threshold it is banned, unless neighbours would suffer.
    fn charge_address(&self, account: &mut Account<'_, '_>) {
        if account.points.address <= 0.0 {
            return;
        }
        let thresholds = self.policy.thresholds;
        let source = account.request.client.source();
        let (half_life, guard, mono) = (thresholds.half_life, thresholds.nat_guard, account.now.mono);
        let tally = self
            .sources
            .add(source, account.points.address, account.session, half_life, guard, mono);
        let score = tally.score;
        if !reaches(score, thresholds.address) {
            return account.note(format_args!("address score {score:.0} of {:.0}", thresholds.address));
        }
        if tally.has_clean_neighbour {
            account.note(format_args!(
                "address score {score:.0}: spared, others call cleanly from {source}"
            ));
            return account.drop_flows(vec![account.request.connection], thresholds.flow_ban);
        }
        if !account.enforced {
            return account.note(format_args!("address score {score:.0}: {source} would be banned"));
        }
        self.ban_source(account, score, thresholds.address_ban, thresholds.flow_ban);
    }

    fn ban_source(&self, account: &mut Account<'_, '_>, score: f32, ttl: Duration, flow_ttl: Duration) {
        let source = account.request.client.source();
        let network = source.network();
        let order = BanOrder {
            network,
            ttl,
            reason: format!("{}, score {score:.0}", account.refusal.cause()),
            origin: Origin::Score,
            source: None,
            reference: Some(account.request.reference),
            force: false,
        };
        match self.blacklist_mut().ban(order, account.now) {
            Ok(ban) => {
                account.note(format_args!("address score {score:.0}: {source} banned"));
                let ban = KernelBan::of(&ban, account.now);
                account.effects.push(Effect::Ban(ban));
                self.sources.clear_score(source);
            }
            Err(refused) => account.note(format_args!("address score {score:.0}: not banned: {refused}")),
        }
        account.drop_flows(vec![account.request.connection], flow_ttl);
    }

    /// Counts and remembers a refusal and returns the effects, the report last.
    fn record(&self, account: Account<'_, '_>, violation: Option<&Violation>, waived: bool) -> Vec<Effect> {
        let incident = Incident {
            rule: violation.map(|violation| violation.rule.to_string()),
            explanation: account.notes,
            session_points: account.points.session,
            address_points: account.points.address,
            waived,
            ..self.incident_of(account.request, account.refusal, account.session, account.now)
        };
        self.remember(incident.clone());
        let mut effects = account.effects;
        effects.push(Effect::Report(incident));
        effects
    }

    /// A rule that lets the call pass was broken: it costs points if the rule says so, and is remembered.
    pub(super) fn observe(&self, request: &Request<'_>, session: SessionId, seen: &Violation, now: Now) -> Vec<Effect> {
        let costs = seen.enforced && seen.action == Action::Score;
        let why = if seen.enforced {
            seen.action.to_string()
        } else {
            "the rule only watches".into()
        };
        let mut account = Account {
            request,
            refusal: seen.kind.refusal(),
            session: Some(session),
            points: Points {
                session: if costs { seen.score } else { 0.0 },
                address: 0.0,
            },
            effects: Vec::new(),
            notes: format!("{}; {why}", seen.explanation),
            enforced: self.policy.mode == Mode::Enforce,
            now,
        };
        self.charge_session(&mut account);
        self.record(account, Some(seen), true)
    }

    fn incident_of(&self, request: &Request<'_>, refusal: Refusal, session: Option<SessionId>, now: Now) -> Incident {
        Incident {
            reference: request.reference,
            at: now.wall,
            refusal,
            client: request.client,
            session,
            method: kept(request.method.as_str(), METHOD_KEPT),
            path: kept(request.raw_path, PATH_KEPT),
            rule: None,
            explanation: String::new(),
            session_points: 0.0,
            address_points: 0.0,
            waived: false,
        }
    }

    pub(super) fn remember(&self, incident: Incident) {
        let mut ledger = self.ledger();
        *ledger.counts.entry(incident.refusal.cause()).or_default() += 1;
        ledger.incidents.record(incident);
    }

    /// Whether it is time to tell the source table that this session behaves: at most every few seconds, so that clean
    /// traffic does not meet at one lock.
    pub(super) fn deserves_a_word(&self, record: &mut Record, now: Now) -> bool {
        const INTERVAL: Duration = Duration::from_secs(5);
        let thresholds = &self.policy.thresholds;
        let is_clean = record.score.value(thresholds.half_life, now.mono) < thresholds.session / 2.0;
        let is_due = record.vouched.is_none_or(|at| now.mono.since(at) >= INTERVAL);
        if is_clean && is_due {
            record.vouched = Some(now.mono);
        }
        is_clean && is_due
    }
}
