//! Asking the guard about a request and its body, and doing what it says.

use bytes::Bytes;
use http::header::CONNECTION;
use http::{HeaderValue, Response, Version};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use portcullis_guard::guard::{Admission, Caller, Expected, Judgement, Passage, Permit, Preflight, Refused};
use portcullis_guard::policy::BodyMode;
use portcullis_guard::refusal::Refusal;

use super::body::{self, CallBody};
use super::passing::Passing;
use super::{Answered, Call, Outcome, Proxy, form, problem};
use crate::clock;

impl Proxy {
    /// Takes a request through the guard. The body of a signed call is read only when the head was found good.
    pub(super) async fn judge(&self, call: &Call<'_>, body: Incoming) -> Outcome {
        let judgement = self.guard.judge_head(&call.view(), clock::now());
        let bound = match self.settle(call, judgement)? {
            Admission::Forward(permit) => return Ok((permit, self.let_pass(call, body, None, false)?)),
            Admission::Bound(bound) => bound,
        };
        if call.head.has_body {
            form::check_head(call.parts).map_err(|refusal| Box::new(self.refuse(call, refusal)))?;
        }
        // What rules judge must be known, so that the names in a form are read whatever the route says.
        let passes = bound.body() != BodyMode::Verify && !form::is_plain(call.parts);
        if call.head.has_body && passes {
            let mut permit = self.admit(call, bound, None).await?;
            let expected = permit.take_expected();
            let body = self.let_pass(call, body, expected, form::is_multipart(&call.parts.headers))?;
            return Ok((permit, body));
        }
        let bytes = if call.head.has_body {
            let bytes = Box::pin(self.read_body(call, body)).await?;
            form::check(call.parts, &bytes).map_err(|refusal| Box::new(self.refuse(call, refusal)))?;
            bytes
        } else {
            Bytes::new()
        };
        let body = call.head.has_body.then_some(&*bytes);
        let permit = self.admit(call, bound, body).await?;
        Ok((permit, Either::Left(Full::new(bytes))))
    }

    /// The same for a request that somebody else forwards. Also tells whether its body has to be compared there.
    pub(super) async fn judge_unread(&self, call: &Call<'_>) -> Result<(Permit, bool), Answered> {
        let judgement = self.guard.judge_head(&call.view(), clock::now());
        match self.settle(call, judgement)? {
            Admission::Forward(permit) => Ok((permit, false)),
            Admission::Bound(bound) => {
                let (bound, has_digest) = bound.without_body();
                Ok((self.admit(call, bound, None).await?, has_digest))
            }
        }
    }

    async fn read_body(&self, call: &Call<'_>, body: Incoming) -> Result<Bytes, Answered> {
        let patience = self.http().body_timeout;
        let read = body::read(body, self.body_limit(call), patience, &self.timer).await;
        if read.is_ok() {
            call.connection.activity.body_came();
        }
        read.map_err(|refusal| Box::new(self.refuse(call, refusal)))
    }

    fn body_limit(&self, call: &Call<'_>) -> usize {
        self.guard.policy().route(&call.head.path).max_body
    }

    fn let_pass(
        &self,
        call: &Call<'_>,
        body: Incoming,
        expected: Option<Expected>,
        form: bool,
    ) -> Result<CallBody, Answered> {
        if !call.head.has_body {
            return Ok(Either::Left(Full::default()));
        }
        let passing = Passing::new(body, self.body_limit(call), expected, form, call.connection);
        passing
            .map(|passing| Either::Right(Box::new(passing)))
            .map_err(|refusal| Box::new(self.refuse(call, refusal)))
    }

    /// Carries out what the guard wants, and turns a refusal into an answer unless the gate only watches.
    pub(super) fn settle<T: Waivable>(&self, call: &Call<'_>, judgement: Judgement<T>) -> Result<T, Answered> {
        // A kernel that refuses is logged; the answer to this client is the same.
        let _ = self.gate.perform(judgement.effects);
        judgement.outcome.or_else(|mut refused| match refused.waived.take() {
            Some(permit) => Ok(T::waived(permit)),
            None => Err(Box::new(self.answer_refused(call, &refused))),
        })
    }

    pub(super) fn refuse(&self, call: &Call<'_>, refusal: Refusal) -> Response<Full<Bytes>> {
        let judgement = self.guard.refuse_for(&call.view(), refusal, clock::now());
        let _ = self.gate.perform(judgement.effects);
        let Err(refused) = judgement.outcome;
        self.answer_refused(call, &refused)
    }

    /// The same for a head that cannot be read in one way. Where the next request begins, somebody in between may see
    /// otherwise.
    pub(super) fn refuse_unread(&self, call: &Call<'_>, refusal: Refusal) -> Response<Full<Bytes>> {
        let mut answer = self.refuse(call, refusal);
        if refusal == Refusal::FramingInvalid && call.parts.version != Version::HTTP_2 {
            let headers = answer.headers_mut();
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        answer
    }

    pub(super) fn answer_refused(&self, call: &Call<'_>, refused: &Refused) -> Response<Full<Bytes>> {
        problem::answer(refused, call.head.has_body, clock::now().wall)
    }

    /// Answers for a body that turned out wrong while it passed. `None` if the gate only watches.
    pub(super) fn refuse_passing(
        &self,
        call: &Call<'_>,
        caller: Option<&Caller>,
        refusal: Refusal,
    ) -> Option<Response<Full<Bytes>>> {
        let guard = &self.guard;
        let judgement = guard.refuse_passing(caller, &call.view(), refusal, clock::now());
        let _ = self.gate.perform(judgement.effects);
        let Err(refused) = judgement.outcome;
        refused.waived.is_none().then(|| self.answer_refused(call, &refused))
    }
}

/// What monitor mode makes of a refusal.
pub(super) trait Waivable {
    fn waived(permit: Permit) -> Self;
}

/// What needs no permit is done all the same.
impl Waivable for () {
    fn waived(_: Permit) -> Self {}
}

impl Waivable for Preflight {
    fn waived(_: Permit) -> Self {
        Self::Leave
    }
}

impl Waivable for Permit {
    fn waived(permit: Permit) -> Self {
        permit
    }
}

impl Waivable for Passage {
    fn waived(permit: Permit) -> Self {
        Self::Forward(permit)
    }
}

impl Waivable for Admission {
    fn waived(permit: Permit) -> Self {
        Self::Forward(permit)
    }
}
