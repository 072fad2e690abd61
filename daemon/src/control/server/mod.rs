//! The side of the daemon: accepts, reads within limits, and answers.
//!
//! The few operators never crowd it; the limits are for whoever got hold of a shell in their group.

mod allow;
mod audit;
mod bans;
mod changes;
mod check;
mod dispatch;
mod error;
mod follow;
mod formats;
mod import;
mod incidents;
mod mode;
mod recording;
mod rules;
mod sessions;
mod status;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Either, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};

use crate::conclusion::{self, conclude};
use crate::control::routes;
use crate::gate::Gate;
use crate::memory;
use audit::Peer;
use dispatch::{Question, Reply, answer};
use error::ControlError;
use follow::Lines;

const CONNECTIONS: u32 = 32;
const LONGEST_HEAD: usize = 16 << 10;
const LONGEST_BODY: usize = 16 << 10;
/// Where lists are sent.
const IMPORT: &str = "/bans/import";
/// A list of millions.
const LONGEST_LIST: usize = 256 << 20;
/// For a head, a body, and an idle connection.
const PATIENCE: Duration = Duration::from_secs(10);
/// After a failed accept: out of descriptors, most likely.
const BREATHER: Duration = Duration::from_millis(100);

/// Answers operators until `stopped` turns true, or whoever could turn it is gone; then what they asked before.
pub async fn serve(gate: Arc<Gate>, listener: UnixListener, mut stopped: watch::Receiver<bool>) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS as usize));
    loop {
        let (stream, slot) = tokio::select! {
            _ = stopped.wait_for(|stopped| *stopped) => break,
            accepted = accept(&listener, &slots) => accepted,
        };
        tokio::spawn(converse(Arc::clone(&gate), stream, slot, stopped.clone()));
    }
    conclude(&slots, CONNECTIONS).await;
}

async fn accept(listener: &UnixListener, slots: &Arc<Semaphore>) -> (UnixStream, Option<OwnedSemaphorePermit>) {
    // The semaphore is never closed, so there always is a slot in the end.
    let slot = Arc::clone(slots).acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, slot),
            Err(error) => {
                tracing::warn!(%error, "failed to accept on the control socket");
                tokio::time::sleep(BREATHER).await;
            }
        }
    }
}

async fn converse(
    gate: Arc<Gate>,
    stream: UnixStream,
    _slot: Option<OwnedSemaphorePermit>,
    stopped: watch::Receiver<bool>,
) {
    let peer = match Peer::of(&stream) {
        Ok(peer) => peer,
        Err(error) => return tracing::warn!(%error, "failed to learn who uses the control socket"),
    };
    let asked = Notify::new();
    let service = service_fn(|request| {
        asked.notify_one();
        let (gate, stopped) = (Arc::clone(&gate), stopped.clone());
        async move { Ok::<_, Infallible>(respond(gate, peer, request, stopped).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(LONGEST_HEAD)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = conclusion::converse(connection, &asked, stopped.clone()).await {
        tracing::debug!(%error, "a conversation on the control socket broke off");
    }
}

/// A document, or lines without an end.
type Answer = Response<Either<Full<Bytes>, Lines>>;

async fn respond(gate: Arc<Gate>, peer: Peer, request: Request<Incoming>, stopped: watch::Receiver<bool>) -> Answer {
    if request.method() == Method::GET && request.uri().path() == routes::EVENTS {
        return match follow::follow(&gate, stopped) {
            Ok(response) => response.map(Either::Right),
            Err(error) => problem(&error).map(Either::Left),
        };
    }
    let is_large = request.uri().path().ends_with(IMPORT);
    let reply = match read(request).await {
        // Listing what the kernel holds takes a while when there is much of it.
        Ok(question) => tokio::task::spawn_blocking(move || answer(&gate, peer, &question))
            .await
            .unwrap_or_else(|error| Err(ControlError::Internal(error.to_string()))),
        Err(error) => Err(error),
    };
    if is_large {
        // The list was read by this thread.
        memory::give_back();
    }
    let response = match reply {
        Ok(reply) => json(reply.status, "application/json", reply.body),
        Err(error) => problem(&error),
    };
    response.map(Either::Left)
}

async fn read(request: Request<Incoming>) -> Result<Question, ControlError> {
    let (head, body) = request.into_parts();
    let limit = if head.uri.path().ends_with(IMPORT) {
        LONGEST_LIST
    } else {
        LONGEST_BODY
    };
    let body = tokio::time::timeout(PATIENCE, Limited::new(body, limit).collect())
        .await
        .map_err(|_| ControlError::TimedOut)?
        .map_err(|_| ControlError::BodyTooLarge { limit })?;
    Ok(Question {
        method: head.method,
        uri: head.uri,
        body: body.to_bytes(),
    })
}

fn problem(error: &ControlError) -> Response<Full<Bytes>> {
    let problem = error.problem();
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = Reply::of(status, &problem).map(|reply| reply.body).unwrap_or_default();
    json(status, "application/problem+json", body)
}

fn json(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
