//! From a request's head to the session that proves to have sent it: present → prove → bind.

use super::Guard;
use super::consequence::Fault;
use crate::binding::{Binding, Surroundings};
use crate::refusal::Refusal;
use crate::request::Request;
use crate::session::SessionId;
use crate::session::nonce::{Accepted, Nonce, NonceRefused};
use crate::session::record::Record;
use crate::session::token;
use crate::signature::base::{Message, signature_base};
use crate::signature::digest::{self, BodyDigest};
use crate::signature::input::{Fields, Presented};
use crate::signature::{HMAC_SHA256, mac_matches};
use crate::time::Now;

/// A request whose signature is proved and whose surroundings fit its session. Its body was not looked at yet.
#[derive(Debug)]
pub struct Bound {
    pub(super) session: SessionId,
    /// What the body must be; `None` if the request has none.
    pub(super) digest: Option<BodyDigest>,
}

/// A request whose signature is proved and whose nonce is spent.
pub(super) struct Signed {
    pub(super) accepted: Accepted,
}

/// Everything that a signature is checked against, gathered before the session is locked.
pub(super) struct Claim<'a> {
    presented: &'a Presented<'a>,
    pub(super) session: SessionId,
    nonce: Nonce<'a>,
    base: Vec<u8>,
    pub(super) binding: Binding,
}

impl Guard {
    pub(super) fn identify(&self, request: &Request<'_>, now: Now) -> Result<Bound, Box<Fault>> {
        let fields = Fields::of(request.headers)?;
        let presented = fields.present()?;
        let claim = self.claim(&presented, request, now)?;
        let digest = request.has_body.then(|| digest::claimed(request.headers)).transpose()?;
        let mut shard = self.sessions.shard(claim.session);
        shard.check_ended(claim.session, now)?;
        if let Some(record) = shard.get(claim.session) {
            let signed = self.prove(&claim, record, now)?;
            self.bind(&signed, &claim, request, record, now)?;
            record.touch(request.client, request.headers, request.connection, now);
        } else {
            let grant = self.master.open(&presented.keyid).map_err(|_| Refusal::SessionForged)?;
            shard.check_horizon(grant.opened)?;
            let surroundings = Surroundings::new(&claim.binding, request.headers, now.mono);
            let mut record = Record::new(&grant, self.epoch, surroundings, request.client, now);
            // A wrong MAC leaves no trace. A fresh nonce that is asked for leaves none either: its answer brings state.
            self.prove(&claim, &mut record, now)?;
            record.touch(request.client, request.headers, request.connection, now);
            shard.insert(record, now);
        }
        Ok(Bound {
            session: claim.session,
            digest,
        })
    }

    fn claim<'a>(&self, presented: &'a Presented<'a>, request: &Request<'_>, now: Now) -> Result<Claim<'a>, Refusal> {
        presented.check_coverage(request.headers, request.has_body)?;
        if presented.alg != HMAC_SHA256 {
            return Err(Refusal::AlgorithmMismatch);
        }
        let nonce = Nonce::parse(&presented.nonce).map_err(|_| Refusal::NonceMalformed)?;
        let session = token::name_of(&presented.keyid).map_err(|_| Refusal::SessionForged)?;
        presented.check_freshness(&self.policy.freshness, now.wall)?;
        let message = Message {
            method: request.method,
            authority: request.authority,
            path: request.raw_path,
            query: request.query,
            headers: request.headers,
        };
        let components = presented.components.iter().map(AsRef::as_ref);
        let base = signature_base(&message, components, &presented.parameters)?;
        let binding = Binding::of(request.client, request.headers);
        Ok(Claim {
            presented,
            session,
            nonce,
            base,
            binding,
        })
    }

    /// The MAC first: only who holds the key may spend a nonce.
    fn prove(&self, claim: &Claim<'_>, record: &mut Record, now: Now) -> Result<Signed, Box<Fault>> {
        if record.expires <= now.wall {
            return Err(Fault::of(Refusal::SessionExpired));
        }
        // Browsers send the fields of a call once more when a connection breaks or an answer redirects them.
        let is_echo = record.binding.are(&claim.binding)
            && record
                .streams
                .spent_lately(claim.nonce, self.policy.freshness.echo, now.mono);
        if !mac_matches(&record.mac, &claim.base, &claim.presented.signature) {
            return Err(Fault::of(if is_echo {
                Refusal::SignatureEchoed
            } else {
                Refusal::SignatureInvalid
            }));
        }
        match record
            .streams
            .accept(claim.nonce, &self.issuer, claim.session, &claim.binding, now)
        {
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
