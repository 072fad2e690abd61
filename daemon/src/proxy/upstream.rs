//! Connections to the application: one pool for each worker, kept alive, each driven by a task of its own.

use std::collections::VecDeque;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use portcullis_guard::guard::Reading;
use portcullis_guard::refusal::Refusal;
use tokio::net::TcpStream;

use super::body::CallBody;
use super::passing::Progress;
use crate::clock;
use crate::config::{Http, Upstream as Address};
use crate::gate::Gate;
use crate::listener::activity::Underway;
use crate::listener::timer::CoarseTimer;

/// Idle connections that a worker keeps.
const IDLE_KEPT: usize = 256;

/// How often a body that passes is looked after.
const LOOK: Duration = Duration::from_millis(500);

type Sender = SendRequest<CallBody>;

/// The application's connections of one worker.
pub(super) struct Upstream {
    address: Address,
    timeout: Duration,
    body_timeout: Duration,
    timer: CoarseTimer,
    idle: Arc<Idle>,
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
}

impl Failure {
    /// What the client is told.
    pub(super) fn refusal(self) -> Refusal {
        match self {
            Self::NotSent | Self::BrokeOff => Refusal::UpstreamUnavailable,
            Self::TimedOut => Refusal::UpstreamTimeout,
        }
    }
}

#[derive(Default)]
struct Idle(Mutex<VecDeque<Sender>>);

impl Idle {
    /// A connection that can take a request now. Those that are still busy with the end of an answer wait their turn.
    fn take(&self) -> Option<Sender> {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|sender| !sender.is_closed());
        let ready = idle.iter().rposition(Sender::is_ready)?;
        idle.remove(ready)
    }

    fn put(&self, sender: Sender) {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() == IDLE_KEPT {
            idle.pop_front();
        }
        idle.push_back(sender);
    }
}

impl Upstream {
    /// A pool without connections yet.
    #[must_use]
    pub(super) fn new(http: &Http, timer: CoarseTimer) -> Self {
        Self {
            address: http.upstream.clone(),
            timeout: http.upstream_timeout,
            body_timeout: http.body_timeout,
            timer,
            idle: Arc::default(),
        }
    }

    /// Sends a request, looks after its body if that passes, and returns the head of the answer; the body follows as it comes.
    ///
    /// A kept connection may have been closed by the application at this very moment. Then the request goes out again
    /// over a new one, but only if not a byte of it was sent.
    ///
    /// # Errors
    /// [`Failure`] tells whether the application may have seen it.
    pub(super) async fn send(
        &self,
        request: Request<CallBody>,
        progress: Option<&Progress>,
    ) -> Result<Response<Streamed>, Failure> {
        let exchange = self.exchange(request);
        let Some(progress) = progress else {
            return self
                .timer
                .timeout(self.timeout, exchange)
                .await
                .unwrap_or(Err(Failure::TimedOut));
        };
        let mut exchange = pin!(exchange);
        loop {
            if let Ok(outcome) = self.timer.timeout(LOOK, exchange.as_mut()).await {
                return outcome;
            }
            let now = clock::monotonic();
            match progress.ended() {
                Some(ended) if now.since(ended) > self.timeout => return Err(Failure::TimedOut),
                None if progress.is_late(self.body_timeout, now) => {
                    progress.fail(Refusal::BodyIncomplete);
                    return Err(Failure::BrokeOff);
                }
                Some(_) | None => {}
            }
        }
    }

    async fn exchange(&self, mut request: Request<CallBody>) -> Result<Response<Streamed>, Failure> {
        while let Some(mut sender) = self.idle.take() {
            match sender.try_send_request(request).await {
                Ok(response) => return Ok(self.stream(response, sender)),
                Err(mut error) => request = error.take_message().ok_or(Failure::BrokeOff)?,
            }
        }
        let mut sender = self.connect().await.map_err(|error| {
            tracing::warn!(upstream = %self.address, error, "the application cannot be reached");
            Failure::NotSent
        })?;
        match sender.send_request(request).await {
            Ok(response) => Ok(self.stream(response, sender)),
            Err(error) => {
                tracing::warn!(upstream = %self.address, %error, "the application broke off");
                Err(Failure::BrokeOff)
            }
        }
    }

    async fn connect(&self) -> Result<Sender, String> {
        let stream = TcpStream::connect(self.address.authority())
            .await
            .map_err(|error| error.to_string())?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        let (sender, connection) = handshake(TokioIo::new(stream))
            .await
            .map_err(|error| error.to_string())?;
        tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "connection to the application ended");
            }
        });
        Ok(sender)
    }

    fn stream(&self, response: Response<Incoming>, sender: Sender) -> Response<Streamed> {
        // A connection that becomes something else takes no further request.
        let held = response.status() != StatusCode::SWITCHING_PROTOCOLS;
        response.map(|body| Streamed::new(body, held.then(|| (sender, Arc::clone(&self.idle)))))
    }
}

/// The body of an answer as it comes. When it has come whole, its connection is free for the next request; when it is
/// dropped before, the connection is closed with it.
pub struct Streamed {
    body: Incoming,
    held: Option<(Sender, Arc<Idle>)>,
    underway: Option<Underway>,
    reader: Option<Reader>,
}

/// Reads what passes for the ids that it shows.
struct Reader {
    gate: Arc<Gate>,
    reading: Reading,
}

impl Streamed {
    /// Shows the guard what passes, before the client gets it.
    pub(super) fn read_by(mut self, gate: &Arc<Gate>, reading: Option<Reading>) -> Self {
        self.reader = reading.map(|reading| Reader {
            gate: Arc::clone(gate),
            reading,
        });
        self
    }

    /// Tells what the client takes of it.
    pub(super) fn watched(mut self, underway: Option<Underway>) -> Self {
        self.underway = underway;
        self
    }

    fn new(body: Incoming, held: Option<(Sender, Arc<Idle>)>) -> Self {
        let mut streamed = Self {
            body,
            held,
            underway: None,
            reader: None,
        };
        if streamed.body.is_end_stream() {
            streamed.release();
        }
        streamed
    }

    fn release(&mut self) {
        if let Some((sender, idle)) = self.held.take() {
            idle.put(sender);
        }
    }
}

impl Body for Streamed {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if let Some(underway) = &mut self.underway {
            underway.asked();
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let Some(underway) = &mut self.underway {
            underway.gave();
        }
        if frame.is_none() || self.body.is_end_stream() {
            self.release();
        }
        if let (Some(reader), Some(Ok(frame))) = (&mut self.reader, &frame)
            && let Some(bytes) = frame.data_ref()
        {
            reader.gate.guard().read(&mut reader.reading, bytes, clock::now());
            if reader.reading.is_over() {
                self.reader = None;
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
