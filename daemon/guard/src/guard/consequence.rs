//! What follows from a refusal: points, bans, and a memory for the operator.
//!
//! The ladder (invariant I6): request → session → its flows → address → prefix. Each step is taken only when the one
//! before did not help, and an address from which other sessions call cleanly is not banned as a whole. Where the gate
//! only watches, the same steps are noted and not taken.

use std::fmt::Write;
use std::time::Duration;

use http::{HeaderMap, HeaderValue};

use super::permit::Permit;
use super::{Guard, Judgement};
use crate::effect::Effect;
use crate::incident::{Incident, METHOD_KEPT, PATH_KEPT, kept};
use crate::ledger::Line;
use crate::policy::{Mode, Thresholds};
use crate::reauth::Return;
use crate::refusal::Refusal;
use crate::request::{Reference, Request};
use crate::score::{Payer, signal_of};
use crate::sequence::{Action, Violation};
use crate::session::SessionId;
use crate::session::record::Record;
use crate::session::work::Demand;
use crate::signal::Signal;
use crate::signature::input::SIGNATURE_INPUT;
use crate::time::Now;
use crate::verdict::{Consequence, Mood, Spared};

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
    /// What a rule or the score wants beside the refusal.
    action: Action,
    /// Whether it has consequences, if that is not for the session or the source to say.
    mode: Option<Mode>,
}

impl Fault {
    pub(super) fn of(refusal: Refusal) -> Box<Self> {
        Box::new(Self {
            refusal,
            session: None,
            violation: None,
            fresh: None,
            action: Action::Deny,
            mode: None,
        })
    }

    pub(super) fn in_mode(mut self: Box<Self>, mode: Mode) -> Box<Self> {
        self.mode = Some(mode);
        self
    }

    pub(super) fn by(refusal: Refusal, session: SessionId) -> Box<Self> {
        Box::new(Self {
            session: Some(session),
            ..*Self::of(refusal)
        })
    }

    pub(super) fn of_rule(session: SessionId, violation: Violation) -> Box<Self> {
        let refusal = refusal_of(violation.action).unwrap_or(violation.kind.refusal());
        Box::new(Self {
            action: violation.action,
            violation: Some(violation),
            ..*Self::by(refusal, session)
        })
    }

    /// Somebody without a session stepped into a trap: the address answers for it.
    pub(super) fn of_trap(violation: Violation) -> Box<Self> {
        let refusal = violation.kind.refusal();
        Box::new(Self {
            action: violation.action,
            violation: Some(violation),
            ..*Self::of(refusal)
        })
    }

    /// The score of a session reached a threshold while it did nothing that is refused by itself.
    pub(super) fn of_score(session: SessionId, action: Action) -> Box<Self> {
        let refusal = refusal_of(action).unwrap_or(Refusal::ScoreReached);
        Box::new(Self {
            action,
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

    fn charge(&self, guard: &Guard, request: &Request<'_>) -> Charge {
        if let Some(violation) = &self.violation {
            let is_trap = self.session.is_none();
            let is_visitor = is_from_a_foreign_page(request.headers);
            return Charge {
                signal: Signal::Rule,
                session: if is_trap { 0.0 } else { violation.score },
                address: if is_trap && !is_visitor { violation.score } else { 0.0 },
            };
        }
        let Some((signal, payer)) = signal_of(self.refusal) else {
            return Charge::NONE;
        };
        let points = signal.weight(&guard.policy.weights);
        let (session, address) = match payer {
            Payer::Session => (points, 0.0),
            Payer::Address if is_from_a_foreign_page(request.headers) => (0.0, 0.0),
            // It is a hint only, so it costs nothing without a deed.
            Payer::Address if guard.policy.suspects.include(request.headers) => (0.0, 2.0 * points),
            Payer::Address => (0.0, points),
        };
        Charge {
            signal,
            session,
            address,
        }
    }
}

impl From<Refusal> for Box<Fault> {
    fn from(refusal: Refusal) -> Self {
        Fault::of(refusal)
    }
}

/// What a refusal costs.
#[derive(Clone, Copy)]
pub(super) struct Charge {
    pub(super) signal: Signal,
    pub(super) session: f32,
    pub(super) address: f32,
}

impl Charge {
    const NONE: Self = Self {
        signal: Signal::Unsigned,
        session: 0.0,
        address: 0.0,
    };
}

/// The account of one refusal while its consequences are drawn.
pub(super) struct Account<'a, 'r> {
    pub(super) request: &'a Request<'r>,
    pub(super) refusal: Refusal,
    pub(super) session: Option<SessionId>,
    pub(super) violation: Option<&'a Violation>,
    pub(super) charge: Charge,
    pub(super) effects: Vec<Effect>,
    pub(super) consequences: Vec<Consequence>,
    pub(super) notes: String,
    pub(super) mode: Mode,
    pub(super) now: Now,
}

impl Account<'_, '_> {
    pub(super) fn note(&mut self, note: std::fmt::Arguments<'_>) {
        let separator = if self.notes.is_empty() { "" } else { "; " };
        // Writing to a String does not fail.
        let _ = write!(self.notes, "{separator}{note}");
    }

    pub(super) fn is_enforced(&self) -> bool {
        self.mode == Mode::Enforce
    }

    pub(super) fn mood(&self) -> Mood {
        match self.mode {
            Mode::Enforce => Mood::Did,
            Mode::Monitor => Mood::Would,
        }
    }

    pub(super) fn line(&self, signal: Signal, points: f32) -> Line {
        Line {
            at: self.now.wall,
            signal,
            points,
            times: 1,
            reference: Some(self.request.reference),
            session: self.session,
            rule: self.violation.map(|violation| violation.rule.clone()),
        }
    }

    /// A step that is taken; `why` is the score that led to it.
    pub(super) fn take(&mut self, why: std::fmt::Arguments<'_>, consequence: Consequence) {
        let told = consequence.told(self.mood());
        self.note(format_args!("{why}: {told}"));
        self.consequences.push(consequence);
    }

    pub(super) fn spare(&mut self, why: std::fmt::Arguments<'_>, network: ipnet::IpNet, spared: Spared) {
        self.take(why, Consequence::Spared(network, spared));
    }

    pub(super) fn drop_flows(&mut self, connections: Vec<crate::request::ConnectionId>, ttl: Duration) {
        if connections.is_empty() {
            return;
        }
        self.consequences
            .push(Consequence::FlowsDropped(connections.len(), ttl));
        if self.is_enforced() {
            self.effects.push(Effect::DropFlows {
                connections,
                ttl,
                reference: self.request.reference,
            });
        }
    }
}

/// How a call is refused whose session has to do something first.
fn refusal_of(action: Action) -> Option<Refusal> {
    match action {
        Action::Reauth => Some(Refusal::Distrusted),
        Action::Challenge => Some(Refusal::Challenged),
        Action::Log | Action::Score | Action::Delay | Action::Deny | Action::Ban(_) => None,
    }
}

/// A request that another site makes a visitor's browser send, like a picture: it says so (W3C Fetch Metadata), and no
/// page can add a signature to it. Visitors must not pay for the pages they look at.
pub(super) fn is_from_a_foreign_page(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    matches!(site, Some(b"cross-site" | b"same-site")) && !headers.contains_key(SIGNATURE_INPUT)
}

/// Whether a session with so many points behaves.
pub(super) fn is_clean(score: f32, thresholds: &Thresholds) -> bool {
    score < thresholds.session / 2.0
}

impl Guard {
    /// Never anything but a refusal, whatever it would have led to.
    pub(super) fn refuse<T>(&self, request: &Request<'_>, fault: Box<Fault>, now: Now) -> Judgement<T> {
        let mode = fault.mode;
        let mode = mode.unwrap_or_else(|| self.mode_for(fault.session, request.client));
        let mut account = Account {
            request,
            refusal: fault.refusal,
            session: fault.session,
            violation: fault.violation.as_ref(),
            charge: fault.charge(self, request),
            effects: Vec::new(),
            consequences: Vec::new(),
            notes: fault.violation.as_ref().map_or_else(
                || fault.refusal.explanation().to_owned(),
                |violation| violation.explanation.clone(),
            ),
            mode,
            now,
        };
        self.charge_session(&mut account);
        let cause = account.refusal.cause();
        self.carry_out(&mut account, fault.action, format_args!("{cause}"));
        self.charge_address(&mut account);
        if matches!(fault.refusal, Refusal::SessionBanned(_) | Refusal::ClientBanned(_)) {
            self.drop_this_flow(&mut account);
        }
        let waived = mode == Mode::Monitor && fault.refusal.can_be_waived();
        let effects = self.record(account, waived);
        let refused = Refused {
            refusal: fault.refusal,
            reference: request.reference,
            fresh: fault.fresh,
            way_back: fault.refusal.suspends().then(|| self.policy.logins.way_back()),
            work: (fault.refusal.asks_for_work() && !waived).then(|| self.demand_work(request, now)),
            waived: waived.then(Permit::unsigned),
        };
        Judgement {
            outcome: Err(Box::new(refused)),
            effects,
        }
    }

    /// Counts and remembers a refusal and returns the effects, the report last.
    fn record(&self, account: Account<'_, '_>, waived: bool) -> Vec<Effect> {
        let mood = account.mood();
        let incident = Incident {
            rule: account.violation.map(|violation| violation.rule.to_string()),
            explanation: account.notes,
            session_points: account.charge.session,
            address_points: account.charge.address,
            waived,
            consequences: account.consequences,
            mood,
            ..self.incident_of(account.request, account.refusal, account.session, account.now)
        };
        if let Some(session) = incident.session {
            self.recorder.suspect(session);
        }
        self.remember(incident.clone());
        let mut effects = account.effects;
        effects.push(Effect::Report(incident));
        effects
    }

    /// A rule that lets the call pass was broken: it costs points if the rule says so, and is remembered.
    /// Without a session, the address answers for it.
    pub(super) fn observe(
        &self,
        request: &Request<'_>,
        session: Option<SessionId>,
        seen: &Violation,
        now: Now,
    ) -> Vec<Effect> {
        // A gate that only watches tells what an enforced rule would have led to.
        let costs = seen.armed && seen.action != Action::Log;
        let is_visitor = is_from_a_foreign_page(request.headers);
        let why = match (seen.armed, seen.enforced) {
            (true, true) => seen.action.to_string(),
            (true, false) => format!("the gate only watches ({})", seen.action),
            (false, _) => "the rule only watches".into(),
        };
        let mut account = Account {
            request,
            refusal: seen.kind.refusal(),
            session,
            violation: Some(seen),
            charge: Charge {
                signal: Signal::Rule,
                session: if costs && session.is_some() { seen.score } else { 0.0 },
                address: if costs && session.is_none() && !is_visitor {
                    seen.score
                } else {
                    0.0
                },
            },
            effects: Vec::new(),
            consequences: Vec::new(),
            notes: format!("{}; {why}", seen.explanation),
            mode: self.mode_for(session, request.client),
            now,
        };
        self.charge_session(&mut account);
        if seen.armed {
            self.carry_out(&mut account, seen.action, format_args!("rule {}", seen.rule));
        }
        self.charge_address(&mut account);
        self.record(account, true)
    }

    fn incident_of(&self, request: &Request<'_>, refusal: Refusal, session: Option<SessionId>, now: Now) -> Incident {
        Incident {
            reference: request.reference,
            at: now.wall,
            refusal,
            client: request.client,
            fingerprint: request.fingerprint,
            session,
            method: kept(request.method.as_str(), METHOD_KEPT),
            path: kept(request.raw_path, PATH_KEPT),
            rule: None,
            explanation: String::new(),
            session_points: 0.0,
            address_points: 0.0,
            waived: false,
            consequences: Vec::new(),
            mood: Mood::Did,
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
        is_clean(record.score.value(thresholds.half_life, now.mono), thresholds)
            && record.is_vouch_due(INTERVAL, now.mono)
    }
}
