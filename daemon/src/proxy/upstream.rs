//! Sending a call to the application: a server is chosen, a kept connection taken or a new one made, and another server
//! tried where that cannot do twice what was asked for once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::{Method, Request, Response};
use http_body_util::Either;
use portcullis_guard::refusal::Refusal;

use super::body::Outgoing;
use super::idle::{Idle, Link};
use super::intake::Head;
use super::lane::{Broken, Patience, Streamed};
use super::passing::Progress;
use super::pool::{Counted, NoServer, Pool, Pools};
use crate::clock;
use crate::config::Http;
use crate::listener::timer::CoarseTimer;

/// Idle connections to a server that a worker keeps.
const IDLE_KEPT: usize = 256;
/// After so many calls the kept connections are looked at.
const SWEEP: usize = 1024;
/// Servers that are tried for one call.
const ATTEMPTS: usize = 3;

/// One worker's way to the application.
pub(super) struct Upstream {
    pools: Arc<Pools>,
    /// For each pool and server.
    idle: Vec<Vec<Arc<Idle>>>,
    timeout: Duration,
    body_timeout: Duration,
    timer: CoarseTimer,
    calls: AtomicUsize,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The application cannot have seen the request.
    NotSent,
    /// It may have seen it, and broke off.
    BrokeOff,
    /// It may be at work still.
    TimedOut,
    /// It has enough to do.
    Full,
    /// The operator has closed it for a while.
    Maintenance,
}

impl Failure {
    /// What the client is told.
    pub(super) fn refusal(self) -> Refusal {
        match self {
            Self::NotSent | Self::BrokeOff => Refusal::UpstreamUnavailable,
            Self::TimedOut => Refusal::UpstreamTimeout,
            Self::Full => Refusal::UpstreamFull,
            Self::Maintenance => Refusal::Maintenance,
        }
    }

    /// Whether the application cannot have done anything.
    pub(super) fn is_without_effect(self) -> bool {
        match self {
            Self::NotSent | Self::Full | Self::Maintenance => true,
            Self::BrokeOff | Self::TimedOut => false,
        }
    }
}

/// An attempt that brought no answer, and the call if it can be made again.
struct Missed(Failure, Option<Outgoing>);

impl Upstream {
    /// Without connections yet.
    #[must_use]
    pub(super) fn new(pools: Arc<Pools>, http: &Http, timer: CoarseTimer) -> Self {
        let idle_of = |pool: &Arc<Pool>| pool.servers().iter().map(|_| Arc::new(Idle::new(IDLE_KEPT))).collect();
        Self {
            idle: pools.iter().map(idle_of).collect(),
            pools,
            timeout: http.upstream_timeout,
            body_timeout: http.body_timeout,
            timer,
            calls: AtomicUsize::new(0),
        }
    }

    /// The way by another configuration. Connections to the servers of a pool that stays are kept.
    #[must_use]
    pub(super) fn renewed(&self, pools: Arc<Pools>, http: &Http) -> Self {
        let mut renewed = Self::new(pools, http, self.timer.clone());
        for (pool, idle) in renewed.pools.iter().zip(&mut renewed.idle) {
            let before = self.pools.iter().position(|before| Arc::ptr_eq(before, pool));
            if let Some(kept) = before.and_then(|before| self.idle.get(before)) {
                idle.clone_from(kept);
            }
        }
        renewed
    }

    /// Sends a request and returns the head of the answer; the body follows as it comes.
    ///
    /// A kept connection may have been closed by the application at this very moment. Then the request goes out again
    /// over a new one, if not a byte of it was sent; and to another server also if it asks for nothing to be done.
    ///
    /// # Errors
    /// [`Failure`] tells whether the application may have seen it.
    pub(super) async fn send(
        &self,
        head: &Head,
        request: Outgoing,
        progress: Option<&Progress>,
        upgrades: bool,
    ) -> Result<Response<Box<Streamed>>, Failure> {
        let patience = Patience {
            answer: self.timeout,
            body: self.body_timeout,
            progress,
            upgrades,
        };
        self.sweep();
        let (number, pool) = self.pools.of(&head.authority, &head.path).ok_or(Failure::NotSent)?;
        if pool.care().maintenance {
            return Err(Failure::Maintenance);
        }
        let mut tried = Vec::new();
        let mut request = request;
        let mut last = Failure::NotSent;
        while tried.len() < ATTEMPTS {
            let call = match pool.choose(&tried, clock::monotonic) {
                Ok(call) => call,
                Err(NoServer::Full) => return Err(Failure::Full),
                Err(NoServer::Tried) => break,
            };
            let server = call.server;
            match self
                .try_server(pool, &self.idle[number][server], call, request, &patience)
                .await
            {
                Ok(answer) => return Ok(answer),
                Err(Missed(failure, None)) => return Err(failure),
                Err(Missed(failure, Some(again))) => (request, last) = (again, failure),
            }
            tried.push(server);
        }
        Err(last)
    }

    async fn try_server(
        &self,
        pool: &Pool,
        idle: &Arc<Idle>,
        call: Counted,
        mut request: Outgoing,
        patience: &Patience<'_>,
    ) -> Result<Response<Box<Streamed>>, Missed> {
        // Worth its price only where somebody else could answer.
        let copy = (pool.servers().len() > 1).then(|| copy_of(&request)).flatten();
        while let Some(link) = idle.take(patience.upgrades) {
            match self.exchange(idle, link, &call, request, patience).await {
                Ok(mut answer) => {
                    answer.body_mut().count(call);
                    return Ok(answer);
                }
                Err(Missed(Failure::NotSent, Some(unsent))) => request = unsent,
                Err(Missed(failure, _)) => {
                    call.failed();
                    return Err(Missed(failure, copy));
                }
            }
        }
        // Seldom, and large: in a box, so that calls over kept connections have no room for it.
        let link = match Box::pin(self.connect(pool, &call, patience.upgrades)).await {
            Ok(link) => link,
            Err(failure) => {
                call.failed();
                return Err(Missed(failure, Some(request)));
            }
        };
        if let Link::Trunk(trunk) = &link {
            idle.keep(Some(trunk.clone()));
        }
        match self.exchange(idle, link, &call, request, patience).await {
            Ok(mut answer) => {
                answer.body_mut().count(call);
                Ok(answer)
            }
            Err(Missed(failure, unsent)) => {
                call.failed();
                Err(Missed(failure, unsent.or(copy)))
            }
        }
    }

    async fn exchange(
        &self,
        idle: &Arc<Idle>,
        link: Link,
        call: &Counted,
        request: Outgoing,
        patience: &Patience<'_>,
    ) -> Result<Response<Box<Streamed>>, Missed> {
        let answer = match link {
            Link::Lane(mut lane) => {
                let answer = lane.exchange(request, patience).await;
                answer.map(|answer| Streamed::answer(answer, lane, idle))
            }
            Link::Trunk(trunk) => {
                let answer = Box::pin(trunk.exchange(request, patience)).await;
                if answer.is_err() {
                    // Whatever is wrong with it, the next call has a new one.
                    idle.keep(None);
                }
                answer.map(Streamed::shared)
            }
        };
        match answer {
            Ok(answer) => {
                call.answered();
                Ok(answer)
            }
            Err(Broken::Unsent(unsent)) => Err(Missed(Failure::NotSent, Some(unsent))),
            Err(Broken::Sent(error)) => {
                tracing::debug!(server = %call.server().reach, %error, "the application broke off");
                Err(Missed(Failure::BrokeOff, None))
            }
            Err(Broken::TimedOut) => Err(Missed(Failure::TimedOut, None)),
            Err(Broken::BodyLate) => Err(Missed(Failure::BrokeOff, None)),
        }
    }

    async fn connect(&self, pool: &Pool, call: &Counted, upgrades: bool) -> Result<Link, Failure> {
        let reach = &call.server().reach;
        let connecting = self
            .timer
            .timeout(pool.care().connect_timeout, reach.connect(&self.timer, upgrades));
        let error = match connecting.await {
            Ok(Ok(link)) => return Ok(link),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it takes too long".into(),
        };
        tracing::warn!(server = %reach, error, "the application cannot be reached");
        Err(Failure::NotSent)
    }

    fn sweep(&self) {
        if self.calls.fetch_add(1, Ordering::Relaxed) % SWEEP == SWEEP - 1 {
            self.idle.iter().flatten().for_each(|idle| idle.sweep());
        }
    }
}

/// The same call once more, if making it twice is as good as once and its body is at hand (RFC 9110 section 9.2.2).
fn copy_of(request: &Outgoing) -> Option<Outgoing> {
    let is_safe = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    let Either::Left(body) = request.body() else {
        return None;
    };
    if !is_safe {
        return None;
    }
    let mut copy = Request::new(Either::Left(body.clone()));
    copy.method_mut().clone_from(request.method());
    copy.uri_mut().clone_from(request.uri());
    copy.headers_mut().clone_from(request.headers());
    Some(Box::new(copy))
}

/// Looks after the servers of all pools, for ever.
pub async fn look_after(pools: Arc<Pools>, timer: CoarseTimer) {
    let mut checks = tokio::task::JoinSet::new();
    for pool in pools.iter() {
        let Some(path) = pool.care().health.clone() else {
            continue;
        };
        for server in 0..pool.servers().len() {
            checks.spawn(check(Arc::clone(pool), server, path.clone(), timer.clone()));
        }
    }
    while checks.join_next().await.is_some() {}
}

async fn check(pool: Arc<Pool>, server: usize, path: String, timer: CoarseTimer) {
    let interval = pool.care().health_interval;
    let mut due = tokio::time::interval(interval);
    due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        due.tick().await;
        let asked = timer.timeout(interval, ask(&pool, server, &path, &timer)).await;
        pool.checked(server, asked.unwrap_or(false));
    }
}

/// Whether a server answers `2xx` or `3xx`.
async fn ask(pool: &Pool, server: usize, path: &str, timer: &CoarseTimer) -> bool {
    let Some(server) = pool.servers().get(server) else {
        return false;
    };
    let Ok(link) = server.reach.connect(timer, false).await else {
        return false;
    };
    let body = Either::Left(http_body_util::Full::default());
    let request = Request::get(path).header(http::header::HOST, "localhost").body(body);
    let Ok(request) = request else { return false };
    let (request, patience) = (Box::new(request), &Patience::simple(pool.care().health_interval));
    let answer = match link {
        Link::Lane(mut lane) => lane.exchange(request, patience).await,
        Link::Trunk(trunk) => trunk.exchange(request, patience).await,
    };
    answer.is_ok_and(|answer| answer.status().is_success() || answer.status().is_redirection())
}
