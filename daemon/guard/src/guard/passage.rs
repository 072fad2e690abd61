//! From a bound request to the right to be forwarded: its body and the rules; and what the answer tells the rules.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use super::consequence::Fault;
use super::identify::Bound;
use super::notice::client_mark;
use super::permit::{Permit, Receipt};
use super::{Guard, Judgement};
use crate::effect::Effect;
use crate::refusal::Refusal;
use crate::request::Request;
use crate::sequence::{CallParts, Held, Moment, Outcome, Resolved, Rules, SharedUsage, Verdict, Violation, Watch, Who};
use crate::session::SessionId;
use crate::time::{MonoMillis, Now};

/// How far a bound request comes.
#[derive(Debug)]
pub enum Passage {
    /// It passes every check: forward it.
    Forward(Permit),
    /// A rule makes it wait: hold it, then [`Guard::resume`].
    Hold(Hold),
}

/// A bound request that waits until it is no longer too early, or until a call is answered that it requires.
#[derive(Debug)]
pub struct Hold {
    bound: Bound,
    arrived: MonoMillis,
    held: Held,
}

impl Hold {
    /// The session.
    #[must_use]
    pub fn session(&self) -> SessionId {
        self.bound.session
    }

    /// When to ask again at the latest.
    #[must_use]
    pub fn until(&self) -> MonoMillis {
        self.held.until
    }

    /// Whether to ask again whenever a call of the session was answered.
    #[must_use]
    pub fn for_answer(&self) -> bool {
        self.held.for_answer
    }

    /// Gives up: the next look refuses what waits still.
    #[must_use]
    pub fn without_patience(self) -> Self {
        Self {
            arrived: MonoMillis(0),
            ..self
        }
    }
}

/// An answer whose body shows ids that rules ask for. See [`Guard::read`].
#[derive(Debug)]
pub struct Reading {
    session: SessionId,
    watch: Watch,
}

impl Reading {
    /// Whether nothing of the answer is wanted any more.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.watch.is_over()
    }
}

/// What the rules say.
enum Passed {
    Permit(Permit),
    Held(Held),
}

/// A refusal, and what the violations lead to that did not refuse.
type Stopped = (Box<Fault>, Vec<Effect>);

impl Guard {
    /// Judges a bound request by its body and the rules. `body` is what arrived; `None` if nothing was to come, or if it
    /// is compared while it passes ([`Permit::take_expected`]).
    pub fn admit(&self, bound: Bound, request: &Request<'_>, body: Option<&[u8]>, now: Now) -> Judgement<Passage> {
        let here = bound.digest.as_ref().filter(|_| !bound.passes_by(body));
        let checked = here.map(|claimed| claimed.check(body.unwrap_or_default()));
        match checked {
            Some(Err(refusal)) => self.refuse(request, Fault::by(refusal, bound.session), now),
            Some(Ok(())) | None => self.pass(bound, request, body, None, now),
        }
    }

    /// Judges a request again that was held.
    pub fn resume(&self, hold: Hold, request: &Request<'_>, body: Option<&[u8]>, now: Now) -> Judgement<Passage> {
        self.pass(hold.bound, request, body, Some(hold.arrived), now)
    }

    fn pass(
        &self,
        bound: Bound,
        request: &Request<'_>,
        body: Option<&[u8]>,
        waiting_since: Option<MonoMillis>,
        now: Now,
    ) -> Judgement<Passage> {
        let arrived = waiting_since.unwrap_or(now.mono);
        match self.check_rules(&bound, request, body, waiting_since, now) {
            Ok((Passed::Permit(permit), effects)) => {
                self.admitted.fetch_add(1, Ordering::Relaxed);
                let expected = self.expected(&bound, request, body);
                Judgement {
                    outcome: Ok(Passage::Forward(permit.expecting(expected).of(bound.identity))),
                    effects,
                }
            }
            Ok((Passed::Held(held), effects)) => Judgement {
                outcome: Ok(Passage::Hold(Hold { bound, arrived, held })),
                effects,
            },
            Err((fault, effects)) => {
                let refused = self.refuse(request, fault, now);
                Judgement {
                    outcome: refused.outcome,
                    effects: effects.into_iter().chain(refused.effects).collect(),
                }
            }
        }
    }

    fn check_rules(
        &self,
        bound: &Bound,
        request: &Request<'_>,
        body: Option<&[u8]>,
        waiting_since: Option<MonoMillis>,
        now: Now,
    ) -> Result<(Passed, Vec<Effect>), Stopped> {
        let session = bound.session;
        let moment = Moment {
            mode: self.mode_for(Some(session), request.client),
            now: now.mono,
            arrived: waiting_since.unwrap_or(now.mono),
        };
        let rules = self.rules();
        let resolved = rules.resolve(&self.binding_key, parts_of(request, body));
        let mut shard = self.sessions.shard(session);
        let evicted = || (Fault::of(Refusal::SessionEvicted), Vec::new());
        let record = shard.get(session).ok_or_else(evicted)?;
        if waiting_since.is_none()
            && let Some(action) = self.notice(record, request, now)
        {
            return Err((Fault::of_score(session, action), Vec::new()));
        }
        let (verdict, observed) = match resolved {
            Resolved::Free => (None, Vec::new()),
            Resolved::Unlisted => match rules.unlisted(moment.mode) {
                Some(violation) if violation.refuses() => (Some(Verdict::Refused(violation)), Vec::new()),
                violation => (None, violation.into_iter().collect()),
            },
            Resolved::Call(call) => {
                let who = Who {
                    session,
                    user: bound.identity.user.as_deref(),
                    client: request.client,
                    fingerprint: request.fingerprint,
                    headers: request.headers,
                    trusted: request.trusted,
                };
                let admission = record.facts().admit(call, &who, &self.shared_facts, moment);
                (Some(admission.verdict), admission.observed)
            }
        };
        let passes = matches!(verdict, None | Some(Verdict::Passed(_)));
        if passes {
            record.count_call();
        }
        let vouch = passes && self.deserves_a_word(record, now);
        let is_established = vouch && record.is_established(now);
        drop(shard);
        if vouch {
            self.sources.vouch(request.client.source(), session, now.mono);
        }
        if is_established {
            self.campaigns.vouch(client_mark(request), session, now.mono);
        }
        let effects = self.observe_all(request, session, &observed, now);
        let reservation = match verdict {
            None => None,
            Some(Verdict::Passed(reservation)) => Some(reservation),
            Some(Verdict::Held(held)) => return Ok((Passed::Held(held), effects)),
            Some(Verdict::Refused(violation)) => return Err((Fault::of_rule(session, violation), effects)),
        };
        let call = self
            .timelines
            .note(session, request.operation, request.path.as_str(), now.wall);
        let recorded = self
            .recorder
            .note(session, request.operation, request.path.as_str(), now);
        let receipt = Receipt {
            session,
            call,
            recorded,
            reservation,
        };
        Ok((Passed::Permit(Permit::signed(session, Some(receipt))), effects))
    }

    fn observe_all(&self, request: &Request<'_>, session: SessionId, observed: &[Violation], now: Now) -> Vec<Effect> {
        let mut effects = Vec::new();
        for seen in observed {
            effects.extend(self.observe(request, Some(session), seen, now));
        }
        effects
    }

    /// Tells the rules what became of a call. If rules want to see the body of the answer, give it to
    /// [`read`](Self::read) as it comes, before the client gets it.
    pub fn complete(&self, receipt: Receipt, status: u16, now: Now) -> Option<Reading> {
        let session = receipt.session;
        self.timelines.answered(session, receipt.call, status);
        if let Some(recorded) = receipt.recorded {
            self.recorder.answered(recorded, session, status);
        }
        let mut shard = self.sessions.shard(session);
        let record = shard.get(session)?;
        let outcome = Outcome { status, now: now.mono };
        let watch = receipt
            .reservation
            .and_then(|reservation| record.facts().complete(reservation, &self.shared_facts, outcome));
        self.notice_answer(record, status, now);
        Some(Reading { session, watch: watch? })
    }

    /// The same where nobody sees what the application answers. Rules that would ask were refused when they were loaded.
    pub fn complete_unseen(&self, receipt: Receipt, now: Now) {
        const ANY: u16 = 200;
        let mut shard = self.sessions.shard(receipt.session);
        if let (Some(record), Some(reservation)) = (shard.get(receipt.session), receipt.reservation) {
            let outcome = Outcome {
                status: ANY,
                now: now.mono,
            };
            let _ = record.facts().complete(reservation, &self.shared_facts, outcome);
        }
    }

    /// Reads a piece of an answer for the ids that it shows.
    pub fn read(&self, reading: &mut Reading, bytes: &[u8], now: Now) {
        let shown = reading.watch.push(&self.binding_key, bytes);
        if shown.is_empty() {
            return;
        }
        if let Some(record) = self.sessions.shard(reading.session).get(reading.session) {
            record.facts().see(&reading.watch, &shown, &self.shared_facts, now.mono);
        }
    }

    /// How full the facts are that rules keep of everybody but sessions.
    #[must_use]
    pub fn shared_facts(&self) -> SharedUsage {
        self.shared_facts.usage()
    }

    /// The rules in force.
    #[must_use]
    pub fn rules(&self) -> Rules {
        self.rules.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts other rules in force. Conditions that stay the same keep what they know; calls under way end by the rules
    /// that let them in.
    pub fn set_rules(&self, rules: Rules) {
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = rules;
    }
}

fn parts_of<'a>(request: &Request<'a>, body: Option<&'a [u8]>) -> CallParts<'a> {
    CallParts {
        method: request.operation,
        path: request.path,
        query: request.query,
        headers: request.headers,
        body,
    }
}
