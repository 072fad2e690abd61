//! Opening sessions: who may, for how much work.

use std::time::Duration;

use super::consequence::Fault;
use super::notice::client_mark;
use super::{Guard, Judgement};
use crate::policy::Mode;
use crate::refusal::Refusal;
use crate::request::{ClientAddress, Request};
use crate::session::SessionId;
use crate::session::agreement::{Agreed, AgreementRequest, SessionEntropy, agree};
use crate::session::token::SessionGrant;
use crate::session::work::{Answer, Demand};
use crate::time::{Now, WallMillis};

/// A session that was opened.
pub struct Opened {
    /// What the client calls it.
    pub session_id: String,
    /// Its end.
    pub expires: WallMillis,
    /// What the client needs to come to the same key.
    pub agreed: Agreed,
}

impl Guard {
    /// Whether somebody may open a session now: he is not banned, and has done the work that his reputation asks for.
    pub fn may_open(&self, request: &Request<'_>, answer: Option<&Answer>, now: Now) -> Judgement<()> {
        let checked = self
            .check_caller(request, now)
            .and_then(|()| self.check_opener(request).map_err(Fault::of))
            .and_then(|()| self.check_work(request, answer, now).map_err(Fault::of));
        match checked {
            Ok(()) => Judgement::clean(()),
            Err(fault) => self.refuse(request, fault, now),
        }
    }

    /// Opens a session for somebody who may ([`Guard::may_open`]). Costs no memory.
    ///
    /// # Errors
    /// [`Refusal::SessionRequestMalformed`] for a key that is none.
    pub fn open_session(
        &self,
        request: &AgreementRequest,
        entropy: &SessionEntropy,
        client: ClientAddress,
        now: Now,
    ) -> Result<Opened, Refusal> {
        let agreed = agree(request, &entropy.secret, entropy.salt);
        let (key, agreed) = agreed.map_err(|_| Refusal::SessionRequestMalformed)?;
        // A token says it in whole seconds.
        let lifetime = Duration::from_secs(self.policy.sessions.lifetime.as_secs());
        let expires = now.wall.after(lifetime);
        let grant = SessionGrant {
            id: SessionId(entropy.id),
            opened: now.wall,
            expires,
            epoch: self.epoch,
            key,
        };
        let session_id = self.master().seal(&grant).ok_or(Refusal::SessionRequestMalformed)?;
        self.mints.count(client.source(), now.mono);
        Ok(Opened {
            session_id,
            expires,
            agreed,
        })
    }

    fn check_work(&self, request: &Request<'_>, answer: Option<&Answer>, now: Now) -> Result<(), Refusal> {
        let Some(bits) = self.work_due(request, now) else {
            return Ok(());
        };
        let answer = answer.ok_or(Refusal::WorkRequired)?;
        self.work.check(answer, request.client.source(), bits, now)
    }

    /// What somebody has to do before he asks again.
    pub(super) fn demand_work(&self, request: &Request<'_>, now: Now) -> Demand {
        let bits = self.work_due(request, now).unwrap_or(self.policy.work.bits);
        self.work.issue(request.client.source(), bits, now)
    }

    fn work_due(&self, request: &Request<'_>, now: Now) -> Option<u8> {
        let source = request.client.source();
        let points = self.sources.score(source, self.policy.thresholds.half_life, now.mono);
        let opened = self.mints.recent(source, now.mono);
        let due = self.policy.work.bits_for(points, opened);
        let condemned = self.campaigns.condemned(|| client_mark(request), now.mono);
        match condemned {
            Some((_, Mode::Enforce)) => due.max(self.policy.work.bits_for_distrusted()),
            Some((_, Mode::Monitor)) | None => due,
        }
    }
}
