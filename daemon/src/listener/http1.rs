//! HTTP/1.1 over one connection, in turns. After a request, when nothing has come for a moment, what hyper needs for
//! requests goes, and comes back with the next one: a connection that waits costs hundreds of bytes, not two buffers.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use portcullis_guard::refusal::Refusal;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

use super::activity::{Look, Quiet};
use super::connections::{Connection, Ending};
use super::conversation::{Conversation, LAST_ANSWER, say_goodbye};
use super::farewell;
use super::limits::Limit;
use super::line::Line;
use super::seldom::Seldom;
use super::timer::CoarseTimer;
use crate::memory;

/// How long a connection is silent before its buffers go.
const REST: Duration = Duration::from_millis(500);

/// What happens while hyper has a connection.
enum Event {
    /// Hyper has come to an end.
    Over(hyper::Result<()>),
    /// It must.
    Ending(Ending),
    /// Nothing goes on.
    Quiet(Quiet),
}

/// Waits for what ends a turn of hyper from outside.
async fn interruption(
    stop: &mut watch::Receiver<bool>,
    connection: &Connection,
    start: Look,
    timer: &CoarseTimer,
    patience: Duration,
) -> Event {
    tokio::select! {
        biased;
        ending = connection.ended() => Event::Ending(ending),
        () = say_goodbye(stop, connection, timer) => Event::Ending(Ending::Shutdown),
        quiet = connection.activity.quiet(start, timer, REST, patience) => Event::Quiet(quiet),
    }
}

impl Conversation {
    /// Answers requests until the end, or until something else is spoken.
    pub(super) async fn speak_http1<S>(&mut self, stream: S, connection: &Arc<Connection>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let idle = self.proxy.get().http().header_timeout;
        let mut line = Line::new(stream, Bytes::new());
        loop {
            // In a box, so that a connection that rests has no room for it.
            let Some(resting) = Box::pin(self.serve(line, connection)).await else {
                return;
            };
            line = resting;
            memory::let_go();
            let goes_on = tokio::select! {
                biased;
                heard = line.listen() => heard,
                _ = connection.ended() => false,
                () = say_goodbye(&mut self.stop, connection, &self.timer) => false,
                () = self.timer.after(idle) => {
                    self.count(Limit::Idle);
                    false
                }
            };
            if !goes_on {
                return farewell::close(line.into_stream(), &self.timer).await;
            }
        }
    }

    /// One turn of hyper. What comes back may rest; `None` when the connection is over, or upgraded.
    async fn serve<S>(&mut self, line: Line<S>, connection: &Arc<Connection>) -> Option<Line<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut builder = Builder::new();
        let patience = {
            let current = self.proxy.get();
            // A timer of hyper's costs each request a new sleep: who is late is found below.
            builder
                .header_read_timeout(None)
                .max_buf_size(current.http().max_header_bytes);
            current.http().header_timeout
        };
        let proxy = Arc::clone(&self.proxy);
        let service = service_fn(|request| proxy.get().answer(Arc::clone(connection), request));
        let conversation = builder.serve_connection(TokioIo::new(line), service);
        let mut conversation = Box::pin(conversation.with_upgrades());
        // Hyper may answer the first request before anything else is asked.
        let start = connection.activity.look();
        let event = {
            let interruption = pin!(interruption(&mut self.stop, connection, start, &self.timer, patience));
            tokio::select! {
                biased;
                result = conversation.as_mut() => Event::Over(result),
                event = Seldom::new(interruption) => event,
            }
        };
        let is_late = matches!(event, Event::Quiet(Quiet::Late));
        let result = match event {
            Event::Over(result) => result,
            Event::Ending(Ending::Shutdown) => {
                conversation.as_mut().graceful_shutdown();
                conversation.as_mut().await
            }
            Event::Ending(Ending::Verdict) => {
                conversation.as_mut().graceful_shutdown();
                let last = tokio::time::timeout(LAST_ANSWER, conversation.as_mut()).await;
                last.unwrap_or(Ok(()))
            }
            Event::Quiet(Quiet::Late) => Ok(()),
            Event::Quiet(Quiet::Rest) => {
                // It has read no part of a body that is left, and written everything: `quiet` looks at that.
                conversation.as_mut().graceful_shutdown();
                conversation.as_mut().await.ok()?;
                let parts = Pin::into_inner(conversation).into_parts()?;
                return Some(parts.io.into_inner().take_back(&parts.read_buf));
            }
        };
        let parts = Pin::into_inner(conversation).into_parts()?;
        let stream = parts.io.into_inner().into_stream();
        let limit = match result {
            Ok(()) if is_late && parts.read_buf.is_empty() => Some(Limit::Idle),
            Ok(()) if is_late => Some(Limit::HeadTime),
            Ok(()) if connection.activity.has_rest_of_body() => {
                farewell::let_go(stream, &self.timer).await;
                return None;
            }
            Ok(()) => None,
            Err(error) if error.is_parse_too_large() => Some(Limit::HeadSize),
            Err(error) if error.is_parse() => Some(Limit::Malformed),
            Err(_) => None,
        };
        self.part(stream, limit).await;
        None
    }

    /// Ends a connection that met a limit or is over, and says why if nobody has.
    async fn part<S>(&self, stream: S, limit: Option<Limit>)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        if let Some(limit) = limit {
            self.count(limit);
        }
        match limit {
            Some(Limit::HeadTime) => farewell::tell(stream, Refusal::BodyLate, &self.timer).await,
            Some(Limit::HeadSize | Limit::Malformed) => farewell::let_go(stream, &self.timer).await,
            Some(_) | None => farewell::close(stream, &self.timer).await,
        }
    }
}
