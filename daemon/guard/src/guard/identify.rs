//! From a request's head to the session that proves to have sent it: present → prove → bind.

use super::Guard;
use super::consequence::{Fault, is_clean};
use super::notice::client_mark;
use super::permit::Identity;
use crate::binding::{Binding, Surroundings};
use crate::head::{Browser, Head};
use crate::policy::{BodyMode, Mode, RoutePolicy};
use crate::refusal::Refusal;
use crate::request::Request;
use crate::session::SessionId;
use crate::session::nonce::{Accepted, Nonce, NonceRefused};
use crate::session::record::Record;
use crate::session::table::Shard;
use crate::session::token;
use crate::signal::Signal;
use crate::signature::algorithm::Algorithm;
use crate::signature::base::{Message, signature_base};
use crate::signature::digest::{self, Claimed};
use crate::signature::input::{Fields, Presented};
use crate::signature::ticket::{self, Ticket};
use crate::signature::verify::Verifier;
use crate::time::Now;

/// A request whose signature is proved and whose surroundings fit its session. Its body was not looked at yet.
#[derive(Debug)]
pub struct Bound {
    pub(super) session: SessionId,
    /// What the body must be; `None` if the request has none, or nobody compares it.
    pub(super) digest: Option<Claimed>,
    /// How it is checked.
    pub(super) body: BodyMode,
    pub(super) identity: Identity,
}

impl Bound {
    /// How the body is checked.
    #[must_use]
    pub fn body(&self) -> BodyMode {
        self.body
    }

    /// The same where the body does not pass the gate, and whether somebody else has to compare it with what was signed.
    #[must_use]
    pub fn without_body(self) -> (Self, bool) {
        let is_signed = self.digest.is_some();
        let bound = Self {
            digest: None,
            body: BodyMode::Unsigned,
            ..self
        };
        (bound, is_signed)
    }

    /// Whether the body is compared while it passes.
    pub(super) fn passes_by(&self, body: Option<&[u8]>) -> bool {
        self.body == BodyMode::Stream && body.is_none()
    }
}

/// A request whose signature is proved and whose nonce is spent.
pub(super) struct Signed {
    pub(super) accepted: Accepted,
}

/// Everything that a signature is checked against, gathered before the session is locked.
pub(super) struct Claim<'a> {
    presented: &'a Presented<'a>,
    algorithm: Algorithm,
    pub(super) session: SessionId,
    nonce: Nonce<'a>,
    base: Vec<u8>,
    pub(super) binding: Binding,
    /// What holds for its path.
    pub(super) route: RoutePolicy,
}

impl Claim<'_> {
    /// Whether it is signed by the key of its session, in the session's algorithm.
    fn matches(&self, verifier: &Verifier) -> Result<(), Refusal> {
        if verifier.algorithm() != self.algorithm {
            Err(Refusal::AlgorithmMismatch)
        } else if verifier.matches(&self.base, self.presented.signature.as_slice()) {
            Ok(())
        } else {
            Err(Refusal::SignatureInvalid)
        }
    }
}

/// Whether there is a body, and somebody compares it with its digest.
fn is_compared(request: &Request<'_>, route: &RoutePolicy) -> bool {
    request.has_body && route.body != BodyMode::Unsigned
}

impl Guard {
    pub(super) fn identify(&self, request: &Request<'_>, head: Head<'_>, now: Now) -> Result<Bound, Box<Fault>> {
        if let Some(ticket) = request.ticket {
            return self.identify_by_ticket(ticket, request, &head.browser, now);
        }
        let fields = Fields::joined(head.input, head.signature)?;
        let presented = fields.present()?;
        let route = self.policy.route(request.path);
        let is_compared = is_compared(request, &route);
        presented.check_coverage(request.headers, is_compared)?;
        if request.has_body {
            presented.check_content_type(request.headers)?;
        }
        let claim = self.claim(&presented, request, &head.browser, route, now)?;
        let digest = is_compared.then(|| digest::claimed(request.headers)).transpose()?;
        self.bound(&claim, digest, request, now)
    }

    /// The same, by a signature in the query.
    fn identify_by_ticket(
        &self,
        ticket: &str,
        request: &Request<'_>,
        browser: &Browser<'_>,
        now: Now,
    ) -> Result<Bound, Box<Fault>> {
        let route = self.policy.route(request.path);
        if !route.tickets || !ticket::is_for(request.method) {
            return Err(Fault::of(Refusal::TicketRefused));
        }
        let ticket = Ticket::decode(ticket)?;
        let read = ticket.present()?;
        read.check(request.headers, &self.policy.freshness, now.wall)?;
        let claim = self.claim(&read.presented, request, browser, route, now)?;
        let digest = is_compared(request, &route).then(|| read.claimed()).transpose()?;
        self.bound(&claim, digest, request, now)
    }

    fn bound(
        &self,
        claim: &Claim<'_>,
        digest: Option<Claimed>,
        request: &Request<'_>,
        now: Now,
    ) -> Result<Bound, Box<Fault>> {
        let identity = self.enter(claim, request, now)?;
        Ok(Bound {
            session: claim.session,
            digest,
            body: claim.route.body,
            identity,
        })
    }

    fn claim<'a>(
        &self,
        presented: &'a Presented<'a>,
        request: &Request<'_>,
        browser: &Browser<'_>,
        route: RoutePolicy,
        now: Now,
    ) -> Result<Claim<'a>, Refusal> {
        let algorithm = Algorithm::named(&presented.alg).ok_or(Refusal::AlgorithmMismatch)?;
        let nonce = Nonce::parse(&presented.nonce).map_err(|_| Refusal::NonceMalformed)?;
        let session = token::name_of(&presented.keyid)?;
        presented.check_freshness(&self.policy.freshness, now.wall)?;
        let message = Message {
            method: request.method,
            authority: request.authority,
            path: request.raw_path,
            query: request.query,
            headers: request.headers,
        };
        let base = signature_base(&message, presented.components.iter(), &presented.parameters)?;
        let binding = Binding::of_browser(request.client, request.fingerprint, browser);
        Ok(Claim {
            presented,
            algorithm,
            session,
            nonce,
            base,
            binding,
            route,
        })
    }

    /// Compares a claim with its session, which is locked but for the time that a public key takes.
    fn enter(&self, claim: &Claim<'_>, request: &Request<'_>, now: Now) -> Result<Identity, Box<Fault>> {
        let mut shard = self.sessions.shard(claim.session);
        self.check_ended(&mut shard, claim, now)?;
        let Some(record) = shard.get(claim.session) else {
            drop(shard);
            return self.enter_anew(claim, request, now);
        };
        record.check_expiry(self.policy.sessions.idle, now)?;
        let verifier = match &record.verifier {
            Some(verifier @ Verifier::Mac(_)) => {
                let matches = claim.matches(verifier);
                return self.go_on(claim, matches, record, request, now);
            }
            Some(verifier) => verifier.clone(),
            None => {
                drop(shard);
                return self.enter_anew(claim, request, now);
            }
        };
        drop(shard);
        let matches = claim.matches(&verifier);
        let mut shard = self.sessions.shard(claim.session);
        self.check_ended(&mut shard, claim, now)?;
        let record = shard.get(claim.session).ok_or(Refusal::SessionEvicted)?;
        self.go_on(claim, matches, record, request, now)
    }

    /// What a session was ended for holds for it, whoever uses its name and from wherever.
    fn check_ended(&self, shard: &mut Shard, claim: &Claim<'_>, now: Now) -> Result<(), Box<Fault>> {
        let ended = shard.check_ended(claim.session, now);
        ended.map_err(|refusal| Fault::of(refusal).in_mode(self.enforcement.of_session(claim.session)))
    }

    /// The first call of a session that is not in memory, or whose key is not: after a restart.
    fn enter_anew(&self, claim: &Claim<'_>, request: &Request<'_>, now: Now) -> Result<Identity, Box<Fault>> {
        let grant = self.master().open(&claim.presented.keyid).map_err(Refusal::from)?;
        let verifier = Verifier::of(&grant.key).ok_or(Refusal::SessionForged)?;
        let matches = claim.matches(&verifier);
        let mut shard = self.sessions.shard(claim.session);
        self.check_ended(&mut shard, claim, now)?;
        if let Some(record) = shard.get(claim.session) {
            // It was used before a restart, or another call of it was faster.
            record.check_expiry(self.policy.sessions.idle, now)?;
            record.know(verifier);
            return self.go_on(claim, matches, record, request, now);
        }
        shard.check_horizon(grant.opened)?;
        let surroundings = Surroundings::new(&claim.binding, request.headers, now.mono);
        let mut record = Record::new(&grant, verifier, self.epoch, surroundings, request.client, now);
        record.check_expiry(self.policy.sessions.idle, now)?;
        // A wrong signature leaves no trace. A fresh nonce that is asked for leaves none either: its answer brings state.
        let identity = self.go_on(claim, matches, &mut record, request, now)?;
        self.notice_program(&mut record, request, now);
        if self.policy.suspects.include(request.headers) {
            self.charge_quietly(&mut record, Signal::SuspectAgent, now);
        }
        shard.insert(record, now);
        drop(shard);
        self.notice_session(claim.session, request, now);
        Ok(identity)
    }

    fn go_on(
        &self,
        claim: &Claim<'_>,
        matches: Result<(), Refusal>,
        record: &mut Record,
        request: &Request<'_>,
        now: Now,
    ) -> Result<Identity, Box<Fault>> {
        let signed = self.prove(claim, matches, record, now)?;
        let is_watched = || self.mode_for(Some(claim.session), request.client) == Mode::Monitor;
        if let Some(until) = record
            .would_be_banned()
            .filter(|until| *until > now.mono && is_watched())
        {
            return Err(Fault::by(Refusal::SessionBanned(until.since(now.mono)), claim.session));
        }
        let identity = self.bind(&signed, claim, request, record, now)?;
        self.check_company(record, request, now)?;
        record.touch(request.client, request.headers, request.connection, now);
        Ok(identity)
    }

    /// Of a client that is distrusted, a session that misbehaved itself is refused sooner than others. One that did not
    /// may be somebody else's that looks the same.
    fn check_company(&self, record: &Record, request: &Request<'_>, now: Now) -> Result<(), Box<Fault>> {
        let Some((left, mode)) = self.campaigns.condemned(|| client_mark(request), now.mono) else {
            return Ok(());
        };
        let thresholds = &self.policy.thresholds;
        if is_clean(record.score.value(thresholds.half_life, now.mono), thresholds) {
            return Ok(());
        }
        Err(Fault::by(Refusal::ClientBanned(left), record.id).in_mode(mode))
    }

    /// The signature first: only who holds the key may spend a nonce.
    fn prove(
        &self,
        claim: &Claim<'_>,
        matches: Result<(), Refusal>,
        record: &mut Record,
        now: Now,
    ) -> Result<Signed, Box<Fault>> {
        // Browsers send the fields of a call once more when a connection breaks or an answer redirects them.
        let is_echo = || {
            let echo = self.policy.freshness.echo;
            record.binding.are(&claim.binding) && record.streams.spent_lately(claim.nonce, echo, now.mono)
        };
        if let Err(refusal) = matches {
            let is_echo = refusal == Refusal::SignatureInvalid && is_echo();
            return Err(Fault::of(if is_echo { Refusal::SignatureEchoed } else { refusal }));
        }
        let is_echo = is_echo();
        let streams = &mut record.streams;
        match streams.accept(claim.nonce, &self.issuer, claim.session, &claim.binding, now) {
            Ok(accepted) => Ok(Signed { accepted }),
            Err(NonceRefused::Replay) if is_echo => Err(Fault::by(Refusal::ReplayEchoed, claim.session)),
            Err(NonceRefused::Replay) => Err(Fault::by(Refusal::Replay, claim.session)),
            Err(NonceRefused::UnknownStream) => Err(self.ask_for_fresh(Refusal::StreamUnknown, claim, now)),
        }
    }

    pub(super) fn ask_for_fresh(&self, refusal: Refusal, claim: &Claim<'_>, now: Now) -> Box<Fault> {
        let nonce = self.issuer.issue(claim.session, &claim.binding, now);
        Fault::by(refusal, claim.session).with_fresh(claim.presented.keyid.to_string(), nonce)
    }
}
