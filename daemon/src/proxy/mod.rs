//! The way of a request: intake → guard (head) → body → guard (rules) → upstream → guard (outcome) → answer.
//!
//! It asks the guard and does what the guard says. It never sees the kernel maps.

mod bell;
mod body;
mod cors;
mod form;
mod forward;
mod held;
mod idle;
mod intake;
mod judge;
mod lane;
mod meter;
mod origin;
mod own;
mod passing;
pub mod pool;
pub mod problem;
mod reach;
mod scripts;
mod trace;
mod trunk;
pub mod upstream;
mod verdict;
mod way;
mod websocket;

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Version};
use http_body_util::{Either, Full};
use hyper::Request as HttpRequest;
use hyper::body::{Body, Incoming};
use portcullis_guard::forwarded::TrustedProxies;
use portcullis_guard::guard::{Caller, Guard, Permit, Reading, Receipt};
use portcullis_guard::path::NormalPath;
use portcullis_guard::reauth::{SessionWord, WordError};
use portcullis_guard::request::ClientAddress;
use tracing::Instrument;

use self::body::{AnswerBody, CallBody};
use self::cors::Reader;
use self::forward::Told;
pub use self::intake::FirstHost;
use self::intake::Head;
use self::lane::Leash;
use self::origin::Origin;
use self::pool::Pools;
use self::trace::Trace;
use self::upstream::{Failure, Upstream};
use self::way::{Call, Way};
use self::websocket::Upgrade;
use crate::config::{Config, ForwardAuth, Http, Scheme};
use crate::gate::Gate;
use crate::listener::activity::Underway;
use crate::listener::connections::Connection;
use crate::listener::timer::CoarseTimer;
use crate::throttle::{Leave, Throttle};
use crate::{clock, random};

const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Mistakes of the application that are written to the log, a second.
static WORDS_TOLD: Throttle = Throttle::new(1);

/// The proxy of one worker, by one version of the configuration: a request ends by the one that it began by.
pub struct Proxy {
    gate: Arc<Gate>,
    guard: Arc<Guard>,
    config: Arc<Config>,
    upstream: Upstream,
    timer: CoarseTimer,
    proxies: TrustedProxies,
    told: Told,
}

/// The answer that takes the place of what was asked for.
type Answered = Box<Response<Full<Bytes>>>;

/// A request that was read, or what is answered at once.
type Begun = Result<(Box<Way>, Incoming), Answered>;

/// An answer that is being made.
pub type Answering = Pin<Box<dyn Future<Output = Result<Response<AnswerBody>, Infallible>> + Send>>;

/// What became of a request: forward it like this, or answer.
type Outcome = Result<(Permit, CallBody), Answered>;

impl Proxy {
    /// A proxy with an empty connection pool.
    #[must_use]
    pub fn new(gate: Arc<Gate>, pools: Arc<Pools>, timer: CoarseTimer) -> Self {
        let config = gate.config();
        let upstream = Upstream::new(pools, &config.http, timer.clone());
        Self::with(gate, config, upstream, timer)
    }

    /// A proxy by the configuration of this moment. It goes on with the connections to servers that stay.
    #[must_use]
    pub fn renewed(&self, pools: Arc<Pools>) -> Self {
        let config = self.gate.config();
        let upstream = self.upstream.renewed(pools, &config.http);
        Self::with(Arc::clone(&self.gate), config, upstream, self.timer.clone())
    }

    fn with(gate: Arc<Gate>, config: Arc<Config>, upstream: Upstream, timer: CoarseTimer) -> Self {
        let http = &config.http;
        let proxies = TrustedProxies::new(http.trusted_proxies.clone(), http.client_address.clone());
        let told = Told {
            session: http.session_fields,
            trace: None,
            whole_answer: false,
        };
        Self {
            upstream,
            timer,
            proxies,
            told,
            guard: gate.guard(),
            config,
            gate,
        }
    }

    /// What holds for connections.
    #[must_use]
    pub fn http(&self) -> &Http {
        &self.config.http
    }

    /// What it works for.
    #[must_use]
    pub fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }

    /// Whether somebody is believed whom he speaks for.
    #[must_use]
    pub fn trusts(&self, address: ClientAddress) -> bool {
        self.proxies.trust(address)
    }

    /// Answers one request. Never fails: whatever goes wrong is an answer. The head is read at once, so that what waits is
    /// small.
    pub fn answer(self: Arc<Self>, connection: Arc<Connection>, request: HttpRequest<Incoming>) -> Answering {
        let underway = Underway::over(connection);
        if let Some(by) = underway.connection().peer.asks {
            return Box::pin(self.answer_question(underway, request, by));
        }
        let reader = Reader::of(&self.guard, request.uri().path(), request.headers());
        if self.config.http.traceparent {
            let trace = Trace::of(request.headers(), underway.connection().peer.is_proxy);
            let span = trace.span();
            let begun = span.in_scope(|| self.begin(underway.connection(), request, Some(trace)));
            Box::pin(self.finish(begun, reader, underway).instrument(span))
        } else {
            let begun = self.begin(underway.connection(), request, None);
            Box::pin(self.finish(begun, reader, underway))
        }
    }

    async fn answer_question(
        self: Arc<Self>,
        mut underway: Underway,
        question: HttpRequest<Incoming>,
        by: ForwardAuth,
    ) -> Result<Response<AnswerBody>, Infallible> {
        let verdict = self.give_verdict(underway.connection(), question, by).await;
        underway.answered();
        Ok(verdict.map(Either::Left))
    }

    async fn finish(
        self: Arc<Self>,
        begun: Begun,
        reader: Option<Reader>,
        mut underway: Underway,
    ) -> Result<Response<AnswerBody>, Infallible> {
        let mut response = match begun {
            Ok((way, body)) => self.respond(way, body).await,
            Err(answer) => (*answer).map(Either::Left),
        };
        if let Some(reader) = reader {
            reader.may_read(response.headers_mut());
        }
        underway.connection().end_with(&mut response);
        match response.body_mut() {
            Either::Left(_) => underway.answered(),
            Either::Right(streamed) => streamed.watch(underway),
        }
        Ok(response)
    }

    async fn respond(&self, way: Box<Way>, body: Incoming) -> Response<AnswerBody> {
        if let Some(path) = own::path(&way.head.path) {
            return Box::pin(self.answer_own(&way.call(), path, body))
                .await
                .map(Either::Left);
        }
        match self.judge(&way.call(), body).await {
            Ok((permit, body)) => self.forward(way, permit, body).await,
            Err(answer) => (*answer).map(Either::Left),
        }
    }

    /// Reads a request. What is answered at once comes back as an answer.
    fn begin(&self, connection: &Arc<Connection>, request: HttpRequest<Incoming>, trace: Option<Trace>) -> Begun {
        let (mut parts, body) = request.into_parts();
        let upgrade = Upgrade::asked_by(&mut parts, connection, self.gate.connections());
        let ends_here = body.is_end_stream();
        if parts.version != Version::HTTP_2 {
            connection.activity.owe_body(!ends_here);
        }
        let origin = Origin::of(connection, &parts.headers, &self.proxies);
        let read = intake::read(&parts, &connection.host, origin.scheme.default_port(), ends_here);
        let (head, fault) = match read {
            Ok(head) => (self.named(head, connection, &parts.headers, origin.scheme), None),
            Err(refusal) => (Head::unreadable(), Some(refusal)),
        };
        let way = Box::new(Way {
            parts,
            head,
            connection: Arc::clone(connection),
            origin,
            upgrade,
            trace,
            reference: random::reference(),
        });
        if let Some(refusal) = fault {
            return Err(Box::new(self.refuse_unread(&way.call(), refusal)));
        }
        match self.answer_preflight(&way.call()) {
            Some(answer) => Err(Box::new(answer)),
            None => Ok((way, body)),
        }
    }

    /// The head with the name that the client asked for, where a trusted proxy asks by another.
    fn named(&self, head: Head, connection: &Connection, headers: &HeaderMap, scheme: Scheme) -> Head {
        if !connection.peer.is_proxy {
            return head;
        }
        let forwarded = headers.get(X_FORWARDED_HOST).and_then(|host| host.to_str().ok());
        let names = &self.guard.policy().authorities;
        let authority = names.behind_proxy(&head.authority, forwarded, scheme.default_port());
        Head {
            authority: authority.into(),
            ..head
        }
    }

    async fn forward(&self, mut way: Box<Way>, mut permit: Permit, body: CallBody) -> Response<AnswerBody> {
        let session = permit.session();
        let trace = way
            .trace
            .map(|trace| trace.settled(session.is_some(), &way.parts.headers));
        let told = Told {
            whole_answer: permit.wants_plain_answer(),
            trace,
            ..self.told
        };
        let caller = permit.take_caller();
        let progress = match &body {
            Either::Left(_) => None,
            Either::Right(passing) => Some(passing.progress()),
        };
        if let Some(field) = self.proxies.field() {
            way.parts.headers.remove(field);
        }
        let sent = match forward::request(&mut way, &permit, told, body) {
            Ok(mut request) => {
                if let Some(upgrade) = &way.upgrade {
                    upgrade.ask(request.headers_mut());
                }
                let upgrades = way.upgrade.is_some();
                let sending = self.upstream.send(&way.head, request, progress.as_deref(), upgrades);
                sending.await
            }
            Err(_) => Err(Failure::NotSent),
        };
        let upgrade = way.upgrade.take();
        // Without the fields, which went to the upstream.
        let call = way.call();
        let connection = &way.connection;
        if let Some(refusal) = progress.as_ref().and_then(|progress| progress.fault())
            && let Some(answer) = self.refuse_passing(&call, caller.as_ref(), refusal)
        {
            // The application may have acted on the beginning: the rules go on counting the call.
            return answer.map(Either::Left);
        }
        match sent {
            Ok(response) if !forward::is_framed_once(response.headers()) => {
                self.refuse(&call, Failure::BrokeOff.refusal()).map(Either::Left)
            }
            Ok(response) if response.status() == StatusCode::SWITCHING_PROTOCOLS && upgrade.is_none() => {
                // Nobody asked for it, and what follows would be read as answers.
                self.refuse(&call, Failure::BrokeOff.refusal()).map(Either::Left)
            }
            Ok(response)
                if upgrade
                    .as_ref()
                    .is_some_and(|upgrade| !upgrade.is_answered(response.status(), response.headers())) =>
            {
                self.refuse(&call, Failure::BrokeOff.refusal()).map(Either::Left)
            }
            Ok(mut response) => {
                *response.version_mut() = Version::HTTP_11;
                let word = SessionWord::take(response.headers_mut());
                let reading = self.complete(permit.take_receipt(), response.status());
                let mut leash = None;
                if let Some(session) = session.filter(|_| is_long(&response)) {
                    if connection.peer.is_proxy && response.status() != StatusCode::SWITCHING_PROTOCOLS {
                        leash = Some(Leash::of(&self.gate, connection, session));
                    } else {
                        self.gate.connections().belong(connection, session);
                    }
                }
                if let (Some(caller), Some(word)) = (caller, word)
                    && let Some(refused) = self.heed(&call, caller, word, response.status())
                {
                    return refused.map(Either::Left);
                }
                forward::remove_hop_by_hop(response.headers_mut());
                if let Some(upgrade) = upgrade
                    && response.status() == StatusCode::SWITCHING_PROTOCOLS
                {
                    self.splice(upgrade, session, &mut response);
                }
                let body = response.body_mut();
                body.show_to(&self.guard, reading);
                body.lead_by(leash);
                response.map(Either::Right)
            }
            Err(failure) => {
                let answer = self.refuse(&call, failure.refusal());
                if failure.is_without_effect() {
                    let _ = self.complete(permit.take_receipt(), answer.status());
                }
                // Otherwise the application may have done what it was asked: the rules go on counting the call.
                answer.map(Either::Left)
            }
        }
    }

    /// Tells the guard what the application says of the session. What comes back takes the place of the answer.
    fn heed(
        &self,
        call: &Call<'_>,
        caller: Caller,
        word: Result<SessionWord, WordError>,
        status: StatusCode,
    ) -> Option<Response<Full<Bytes>>> {
        let now = clock::now();
        match word {
            Ok(word) => {
                let judgement = self.guard.heed(caller, &word, status.as_u16(), &call.view(), now);
                let _ = self.gate.perform(judgement.effects);
                let refused = judgement.outcome.err().filter(|refused| refused.waived.is_none())?;
                Some(self.answer_refused(call, &refused))
            }
            Err(error) => {
                if let Leave::Granted(left_out) = WORDS_TOLD.ask(now.mono) {
                    tracing::warn!(%error, path = call.head.path.as_str(), left_out, "the application's word is ignored");
                }
                None
            }
        }
    }

    fn complete(&self, receipt: Option<Receipt>, status: StatusCode) -> Option<Reading> {
        let receipt = receipt?;
        let session = receipt.session();
        // A WebSocket that was granted is a success, whatever becomes of it.
        let status = if status == StatusCode::SWITCHING_PROTOCOLS {
            StatusCode::OK
        } else {
            status
        };
        let reading = self.guard.complete(receipt, status.as_u16(), clock::now());
        self.gate.waiting().ring(session);
        reading
    }
}

/// Whether an answer goes on for so long that a verdict on its session must be able to find it.
fn is_long<B>(response: &Response<B>) -> bool {
    let kind = response.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    kind.is_some_and(|kind| kind.starts_with(b"text/event-stream"))
}

impl Head {
    /// Stands for a head that could not be read, in the memory of refusals.
    fn unreadable() -> Self {
        Self {
            authority: "".into(),
            path: NormalPath::root(),
            query: None,
            ticket: None,
            operation: http::Method::GET,
            has_body: false,
        }
    }
}
