//! HTTP/2 over one connection.

use std::error::Error;
use std::future::{poll_fn, ready};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http_body_util::Either;
use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use portcullis_guard::refusal::Refusal;
use tokio::io::{AsyncRead, AsyncWrite};

use super::activity::State;
use super::connections::{Connection, Ending};
use super::conversation::{Conversation, LAST_ANSWER};
use super::limits::Limit;
use super::timer::CoarseTimer;
use super::{farewell, head};
use crate::conclusion;
use crate::proxy::Answering;

/// Streams that a client may reset before they were served, or that are reset because of what it does; more ends the
/// connection (CVE-2023-44487).
const RESETS: usize = 20;
/// Bytes of answers that wait for a client, for each stream.
const SEND_BUFFER: usize = 64 << 10;

impl Conversation {
    /// HTTP/2 has no timeout of its own: a connection is looked at in turns, and ends when it does nothing.
    pub(super) async fn speak_http2<S>(&mut self, stream: S, connection: &Arc<Connection>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let current = self.proxy.get();
        let http = current.http();
        let (idle, stuck) = (http.header_timeout, http.body_timeout);
        let mut builder = Builder::new(TokioExecutor::new());
        builder
            .timer(self.timer.clone())
            .enable_connect_protocol()
            .max_concurrent_streams(http.max_streams)
            .max_header_list_size(head::largest_list(http.max_header_bytes))
            .max_pending_accept_reset_streams(RESETS)
            .max_local_error_reset_streams(RESETS)
            .max_send_buf_size(SEND_BUFFER);
        // It is not kept for as long as the connection lives.
        drop(current);
        let proxy = Arc::clone(&self.proxy);
        let service = {
            let connection = Arc::clone(connection);
            service_fn(move |request| {
                let proxy = proxy.get();
                if head::is_too_large(&request, proxy.http().max_header_bytes) {
                    proxy.gate().connections().limits().count(Limit::HeadSize);
                    let answer = farewell::response(Refusal::HeadTooLarge).map(Either::Left);
                    return Box::pin(ready(Ok(answer))) as Answering;
                }
                proxy.answer(Arc::clone(&connection), request)
            })
        };
        let mut conversation = pin!(builder.serve_connection(TokioIo::new(stream), service));
        let ending = tokio::select! {
            result = conversation.as_mut() => return self.note(&result),
            ending = connection.ended() => Some(ending),
            () = conclusion::end(&mut self.stop) => Some(Ending::Shutdown),
            () = flood(connection) => {
                self.count(Limit::Flood);
                None
            }
            limit = fall_silent(connection, &self.timer, idle, stuck) => {
                self.count(limit);
                None
            }
        };
        conversation.as_mut().graceful_shutdown();
        match ending {
            Some(Ending::Shutdown) => {
                // WebSockets that go on over its streams have to be told.
                connection.leave();
                _ = conversation.await;
            }
            Some(Ending::Verdict) | None => _ = tokio::time::timeout(LAST_ANSWER, conversation).await,
        }
    }

    /// Counts what the client did to be left. It was told by GOAWAY.
    fn note(&self, result: &hyper::Result<()>) {
        let cause = result.as_ref().err().and_then(Error::source);
        let reason = cause.and_then(|cause| cause.downcast_ref::<h2::Error>()?.reason());
        match reason {
            None | Some(h2::Reason::NO_ERROR) => {}
            Some(h2::Reason::ENHANCE_YOUR_CALM) => self.count(Limit::Flood),
            Some(_) => self.count(Limit::Malformed),
        }
    }
}

/// Waits until the client gives up too many requests. Each reset wakes the task of the connection, which looks again.
async fn flood(connection: &Connection) {
    poll_fn(|_| {
        if connection.activity.is_flood() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}

/// Waits until nothing happened over a connection: no request for `idle`, or none of what it asked for taken for `stuck`.
async fn fall_silent(connection: &Connection, timer: &CoarseTimer, idle: Duration, stuck: Duration) -> Limit {
    let mut look = connection.activity.look();
    let mut silent = Duration::ZERO;
    let step = idle.min(stuck);
    loop {
        timer.after(step).await;
        match connection.activity.since(look) {
            State::Busy => (look, silent) = (connection.activity.look(), Duration::ZERO),
            State::Idle if silent + step >= idle => return Limit::Idle,
            State::Stuck if silent + step >= stuck => return Limit::SlowRead,
            State::Idle | State::Stuck => silent += step,
        }
    }
}
