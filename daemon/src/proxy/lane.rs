//! One connection to the application. Whoever waits for an answer drives it: no task of its own has to be woken.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Either;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use portcullis_guard::guard::{Guard, Reading};
use portcullis_guard::refusal::Refusal;
use portcullis_guard::session::SessionId;
use tokio::io::{AsyncRead, AsyncWrite};

use super::bell::Bell;
use super::body::{CallBody, Outgoing};
use super::idle::Idle;
use super::meter::{Meter, Metered};
use super::passing::Progress;
use super::pool::Counted;
use crate::clock;
use crate::gate::Gate;
use crate::listener::activity::Underway;
use crate::listener::connections::Connection;
use crate::listener::timer::{CoarseSleep, CoarseTimer};

/// How often a connection and what comes of it are polled in turns, as long as one wakes the other.
const TURNS: usize = 4;
/// How often a body that passes is looked after.
const LOOK: Duration = Duration::from_millis(500);

type Driver = Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>;

/// A connection that carries one call at a time.
pub(super) struct Lane {
    sender: SendRequest<CallBody>,
    driver: Driver,
    bell: Arc<Bell>,
    /// The same, as what all is polled with.
    rope: Waker,
    /// Whether the driver has come to its end; then it must not be asked again.
    has_ended: bool,
    /// Whether the body of the call passes, so that the answer may come before its end.
    passes: bool,
    deadline: CoarseSleep,
    timer: CoarseTimer,
    meter: Meter,
}

/// Why there is no answer.
pub(super) enum Broken {
    /// Not a byte of the call was sent; here it is again.
    Unsent(Outgoing),
    /// It may have been seen.
    Sent(hyper::Error),
    /// There was none in time.
    TimedOut,
    /// The client takes too long with the body.
    BodyLate,
}

/// How long an answer may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience<'a> {
    /// From the end of the call.
    pub(super) answer: Duration,
    /// For a body that passes while it comes.
    pub(super) body: Duration,
    /// That body.
    pub(super) progress: Option<&'a Progress>,
    /// Whether the connection becomes another's after the answer, which only HTTP/1.1 can do.
    pub(super) upgrades: bool,
}

impl Patience<'_> {
    /// For a call that is whole.
    pub(super) fn simple(answer: Duration) -> Self {
        Self {
            answer,
            body: answer,
            progress: None,
            upgrades: false,
        }
    }

    /// How long to wait before looking again.
    pub(super) fn step(&self) -> Duration {
        self.progress.map_or(self.answer, |_| LOOK)
    }

    /// What is over, after a step.
    pub(super) fn over(&self) -> Option<Broken> {
        let Some(progress) = self.progress else {
            return Some(Broken::TimedOut);
        };
        let now = clock::monotonic();
        match progress.ended() {
            Some(ended) if now.since(ended) > self.answer => Some(Broken::TimedOut),
            None if progress.is_late(self.body, now) => {
                progress.fail(Refusal::BodyLate);
                Some(Broken::BodyLate)
            }
            Some(_) | None => None,
        }
    }
}

impl Lane {
    /// Speaks HTTP/1.1 over something that is connected.
    ///
    /// # Errors
    /// What hyper says.
    pub(super) async fn over(
        io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        timer: &CoarseTimer,
    ) -> hyper::Result<Self> {
        let meter = Meter::default();
        let io = TokioIo::new(Metered::new(io, meter.clone()));
        let (sender, connection) = handshake(io).await?;
        let bell = Arc::new(Bell::default());
        Ok(Self {
            sender,
            driver: Box::pin(connection.with_upgrades()),
            rope: Waker::from(Arc::clone(&bell)),
            bell,
            has_ended: false,
            passes: false,
            deadline: timer.never(),
            timer: timer.clone(),
            meter,
        })
    }

    /// Sends a call and waits for the head of its answer.
    ///
    /// # Errors
    /// [`Broken`]; the connection is of no use then.
    pub(super) async fn exchange(
        &mut self,
        request: Outgoing,
        patience: &Patience<'_>,
    ) -> Result<Response<Incoming>, Broken> {
        self.timer.move_to(&mut self.deadline, Some(patience.step()));
        self.meter.start();
        self.passes = matches!(request.body(), Either::Right(_));
        let mut answer = pin!(self.sender.try_send_request(*request));
        let outcome = poll_fn(|cx| {
            if let Poll::Ready(answer) = self.poll(cx, |rope| answer.as_mut().poll(rope)) {
                return Poll::Ready(Ok(answer));
            }
            while Pin::new(&mut self.deadline).poll(cx).is_ready() {
                if let Some(over) = patience.over() {
                    return Poll::Ready(Err(over));
                }
                self.timer.move_to(&mut self.deadline, Some(patience.step()));
            }
            Poll::Pending
        });
        let outcome = outcome.await;
        match outcome {
            Ok(Ok(answer)) => {
                self.meter.stop();
                Ok(answer)
            }
            Ok(Err(mut error)) => Err(match error.take_message() {
                Some(request) => Broken::Unsent(Box::new(request)),
                None => Broken::Sent(error.into_error()),
            }),
            Err(over) => Err(over),
        }
    }

    /// Polls what comes of the connection, and the connection itself if there is nothing yet.
    fn poll<T>(&mut self, cx: &Context<'_>, mut next: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
        self.bell.attend();
        let mut rope = Context::from_waker(&self.rope);
        if let Poll::Ready(next) = next(&mut rope) {
            return Poll::Ready(next);
        }
        // What wakes the other meanwhile is a reason to look again, but not for ever: others have a turn too.
        for _ in 0..TURNS {
            self.bell.attend();
            if !self.has_ended {
                self.has_ended = self.driver.as_mut().poll(&mut rope).is_ready();
            }
            if let Poll::Ready(next) = next(&mut rope) {
                return Poll::Ready(next);
            }
            if !self.bell.rang() {
                break;
            }
        }
        self.bell.wait(cx);
        Poll::Pending
    }

    /// Whether it can take a call now. Notices when the application has closed it.
    pub(super) fn is_free(&mut self) -> bool {
        self.bell.attend();
        if !self.has_ended {
            let mut rope = Context::from_waker(&self.rope);
            self.has_ended = self.driver.as_mut().poll(&mut rope).is_ready();
        }
        !self.has_ended && self.sender.is_ready()
    }
}

/// The body of an answer as it comes. When it has come whole, its connection is free for the next call; when it is
/// dropped before, the connection is closed with it.
pub struct Streamed {
    body: Incoming,
    held: Option<Held>,
    underway: Option<Underway>,
    reader: Option<Box<Reader>>,
    /// Until it has come whole, its server is at work.
    call: Option<Counted>,
    leash: Option<Box<Leash>>,
    is_cut: bool,
}

/// Ends an answer that would go on after its session was ended, over a connection that belongs to others as well.
pub(super) struct Leash {
    gate: Arc<Gate>,
    branch: Arc<Connection>,
    ended: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Leash {
    /// For an answer to a session over this connection.
    pub(super) fn of(gate: &Arc<Gate>, connection: &Arc<Connection>, session: SessionId) -> Self {
        let branch = gate.connections().branch(connection);
        gate.connections().belong(&branch, session);
        let until = Arc::clone(&branch);
        Self {
            gate: Arc::clone(gate),
            branch,
            ended: Box::pin(async move { _ = until.ended().await }),
        }
    }
}

impl Drop for Leash {
    fn drop(&mut self) {
        self.gate.connections().close(&self.branch);
    }
}

/// Reads what passes for the ids that it shows.
struct Reader {
    guard: Arc<Guard>,
    reading: Reading,
}

struct Held {
    lane: Lane,
    idle: Arc<Idle>,
}

impl Streamed {
    /// The body of an answer that came over a lane.
    pub(super) fn answer(response: Response<Incoming>, mut lane: Lane, idle: &Arc<Idle>) -> Response<Box<Self>> {
        lane.timer.move_to(&mut lane.deadline, None);
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            // It takes no further call, and becomes something else as soon as it has come to its end.
            tokio::spawn(lane.driver);
            return Self::shared(response);
        }
        let idle = Arc::clone(idle);
        let mut response = response.map(|body| Self::of(body, Some(Held { lane, idle })));
        if response.body().body.is_end_stream() {
            response.body_mut().release();
        }
        response
    }

    /// The body of an answer that came beside others.
    pub(super) fn shared(response: Response<Incoming>) -> Response<Box<Self>> {
        response.map(|body| Self::of(body, None))
    }

    fn of(body: Incoming, held: Option<Held>) -> Box<Self> {
        Box::new(Self {
            body,
            held,
            underway: None,
            reader: None,
            call: None,
            leash: None,
            is_cut: false,
        })
    }

    /// Ends with its session, if it has a leash.
    pub(super) fn lead_by(&mut self, leash: Option<Leash>) {
        self.leash = leash.map(Box::new);
    }

    /// Shows the guard what passes, before the client gets it.
    pub(super) fn show_to(&mut self, guard: &Arc<Guard>, reading: Option<Reading>) {
        self.reader = reading.map(|reading| {
            Box::new(Reader {
                guard: Arc::clone(guard),
                reading,
            })
        });
    }

    /// Counts as work of a server until it has come whole.
    pub(super) fn count(&mut self, call: Counted) {
        // One that has come whole already is done.
        self.call = (!self.body.is_end_stream()).then_some(call);
    }

    /// Tells what the client takes of it.
    pub(super) fn watch(&mut self, underway: Underway) {
        self.underway = Some(underway);
        if self.body.is_end_stream() {
            self.release();
        }
    }

    fn release(&mut self) {
        self.call = None;
        if let Some(underway) = &mut self.underway {
            underway.answered();
        }
        let Some(Held { mut lane, idle }) = self.held.take() else {
            return;
        };
        // One that waits for the rest of a body is of no use, and would hold the client's connection.
        let is_spoilt = lane.has_ended || (lane.passes && !lane.is_free());
        if !is_spoilt {
            idle.put(lane);
        }
    }

    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let body = &mut self.body;
        match &mut self.held {
            Some(held) => held.lane.poll(cx, |rope| Pin::new(&mut *body).poll_frame(rope)),
            None => Pin::new(body).poll_frame(cx),
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
        if let Some(leash) = &mut self.leash
            && leash.ended.as_mut().poll(cx).is_ready()
        {
            // What follows is not for the client any more; the application's connection is closed.
            self.leash = None;
            self.held = None;
            self.is_cut = true;
            if let Some(underway) = &mut self.underway {
                underway.answered();
            }
        }
        if self.is_cut {
            return Poll::Ready(None);
        }
        let frame = std::task::ready!(self.poll_body(cx));
        if let Some(underway) = &mut self.underway {
            underway.gave();
        }
        if frame.is_none() || self.body.is_end_stream() {
            self.release();
        }
        if let (Some(reader), Some(Ok(frame))) = (&mut self.reader, &frame)
            && let Some(bytes) = frame.data_ref()
        {
            reader.guard.read(&mut reader.reading, bytes, clock::now());
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
