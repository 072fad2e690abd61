//! WebSockets: the upgrade is a request like any other, and is judged like one. Then bytes go both ways unread, until
//! one side has enough, the session ends, or its time is over; in the last two cases the client gets a close frame that
//! says why, between two frames of the application.

mod frame;
mod upgrade;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::Response;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use portcullis_guard::session::SessionId;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use self::frame::Frames;
pub(super) use self::upgrade::Upgrade;
use super::Proxy;
use super::lane::Streamed;
use crate::gate::Gate;
use crate::listener::activity::Underway;
use crate::listener::connections::{Connection, Ending};
use crate::listener::limits::Limit;
use crate::listener::timer::CoarseTimer;

/// Bytes that are under way in each direction.
const BUFFER: usize = 16 << 10;
/// How long the rest of a frame and the close frame may take.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How long a WebSocket may live.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// At all; then it needs a new authorisation.
    pub(super) lifetime: Duration,
    /// Without a byte in either direction.
    pub(super) idle: Duration,
}

/// Why it ends, as the client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Close {
    /// The session was banned or revoked.
    Session,
    /// The lifetime is over.
    Lifetime,
    /// Nothing was said.
    Idle,
    /// The daemon stops.
    Shutdown,
}

impl Close {
    /// What was met, if it was a limit.
    fn limit(self) -> Option<Limit> {
        match self {
            Self::Lifetime => Some(Limit::SocketLifetime),
            Self::Idle => Some(Limit::SocketIdle),
            Self::Session | Self::Shutdown => None,
        }
    }

    /// Codes from 4000 on are for applications; their last digits are those of the HTTP status (docs/protocol.md).
    fn frame(self) -> Vec<u8> {
        match self {
            Self::Session => frame::close(4403, "the session has ended"),
            Self::Lifetime => frame::close(4401, "authorise again"),
            Self::Idle => frame::close(1001, "idle"),
            Self::Shutdown => frame::close(1001, "going away"),
        }
    }
}

impl Proxy {
    /// Leaves the connections of both sides to their WebSocket, which ends with the session.
    pub(super) fn splice(&self, upgrade: Upgrade, session: Option<SessionId>, response: &mut Response<Box<Streamed>>) {
        let Some(application) = response.extensions_mut().remove() else {
            return;
        };
        let (mut status, is_stream) = (response.status(), upgrade.is_stream());
        upgrade.grant(&mut status, response.headers_mut());
        *response.status_mut() = status;
        let http = self.http();
        let limits = Limits {
            lifetime: http.websocket_lifetime,
            idle: http.websocket_idle,
        };
        let connection = Arc::clone(&upgrade.connection);
        if let Some(session) = session {
            self.gate.connections().belong(&connection, session);
        }
        let splice = Splice {
            client: upgrade.client,
            application,
            connection: Arc::clone(&connection),
            timer: self.timer.clone(),
            gate: Arc::clone(&self.gate),
            limits,
        };
        if !is_stream {
            return connection.continue_with(Box::pin(splice.run()));
        }
        let gate = Arc::clone(&self.gate);
        tokio::spawn(async move {
            let mut underway = Underway::over(connection.whole());
            splice.run().await;
            gate.connections().close(&connection);
            underway.answered();
        });
    }
}

/// Both sides of one WebSocket, when both have agreed.
pub(super) struct Splice {
    pub(super) client: OnUpgrade,
    pub(super) application: OnUpgrade,
    pub(super) connection: Arc<Connection>,
    pub(super) timer: CoarseTimer,
    pub(super) gate: Arc<Gate>,
    pub(super) limits: Limits,
}

impl Splice {
    /// Lets bytes go both ways until the end.
    pub(super) async fn run(self) {
        let (Ok(client), Ok(application)) = tokio::join!(self.client, self.application) else {
            return;
        };
        let mut client = tokio::io::split(TokioIo::new(client));
        let application = tokio::io::split(TokioIo::new(application));
        let heard = AtomicU64::new(0);
        let mut down = Down {
            from: application.0,
            to: client.1,
            buffer: Box::new([0; BUFFER]),
            waiting: 0..0,
            frames: Frames::default(),
        };
        let up = copy(&mut client.0, application.1, &heard);
        let close = tokio::select! {
            _ = down.run(&heard) => return,
            _ = up => return,
            ending = self.connection.ended() => match ending {
                Ending::Verdict => Close::Session,
                Ending::Shutdown => Close::Shutdown,
            },
            () = self.timer.after(self.limits.lifetime) => Close::Lifetime,
            () = silence(&self.timer, self.limits.idle, &heard) => Close::Idle,
        };
        if let Some(limit) = close.limit() {
            self.gate.connections().limits().count(limit);
        }
        // A client that takes nothing any more is told nothing. The others have time to read, and are not heard.
        let farewell = async {
            down.close(&close.frame()).await?;
            tokio::io::copy(&mut client.0, &mut tokio::io::sink()).await
        };
        let _ = tokio::time::timeout(LAST_WORDS, farewell).await;
    }
}

/// Ends when nothing was heard for this long.
async fn silence(timer: &CoarseTimer, idle: Duration, heard: &AtomicU64) {
    loop {
        let before = heard.load(Ordering::Relaxed);
        timer.after(idle).await;
        if heard.load(Ordering::Relaxed) == before {
            return;
        }
    }
}

async fn copy(
    from: &mut (impl AsyncRead + Unpin),
    mut to: impl AsyncWrite + Unpin,
    heard: &AtomicU64,
) -> io::Result<()> {
    let mut buffer = Box::new([0; BUFFER]);
    loop {
        let read = from.read(&mut buffer[..]).await?;
        if read == 0 {
            return to.shutdown().await;
        }
        heard.fetch_add(1, Ordering::Relaxed);
        to.write_all(&buffer[..read]).await?;
        to.flush().await?;
    }
}

/// From the application to the client. It may be interrupted at any await, and knows where it was.
struct Down<R, W> {
    from: R,
    to: W,
    buffer: Box<[u8; BUFFER]>,
    /// What was read and not written yet.
    waiting: std::ops::Range<usize>,
    frames: Frames,
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Down<R, W> {
    async fn run(&mut self, heard: &AtomicU64) -> io::Result<()> {
        while self.step(false).await? {
            heard.fetch_add(1, Ordering::Relaxed);
        }
        self.to.shutdown().await
    }

    /// Reads or writes some bytes. False at the end.
    async fn step(&mut self, within_frame: bool) -> io::Result<bool> {
        if self.waiting.is_empty() {
            self.to.flush().await?;
            let read = self.from.read(&mut self.buffer[..]).await?;
            self.waiting = 0..read;
            return Ok(read > 0);
        }
        let mut waiting = &self.buffer[self.waiting.clone()];
        if within_frame {
            let mut ahead = self.frames;
            waiting = &waiting[..ahead.follow(waiting, true)];
        }
        let written = self.to.write(waiting).await?;
        let written = self.frames.follow(&waiting[..written], false);
        self.waiting.start += written;
        Ok(written > 0)
    }

    /// Brings the frame to its end, and then the connection.
    async fn close(&mut self, frame: &[u8]) -> io::Result<()> {
        while !self.frames.is_between() {
            if !self.step(true).await? {
                return Ok(());
            }
        }
        self.to.write_all(frame).await?;
        self.to.flush().await?;
        self.to.shutdown().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_close_frame_comes_between_two_frames() {
        let (mut application, from) = tokio::io::duplex(1000);
        let (to, mut client) = tokio::io::duplex(1000);
        let mut down = Down {
            from,
            to,
            buffer: Box::new([0; BUFFER]),
            waiting: 0..0,
            frames: Frames::default(),
        };
        application.write_all(b"\x82\x03abc\x82\x04de").await.unwrap();
        assert!(down.step(false).await.unwrap() && down.step(false).await.unwrap());
        application.write_all(b"fg\x82\x01h").await.unwrap();
        down.close(b"\x88\x00").await.unwrap();
        drop(down);
        let mut seen = Vec::new();
        client.read_to_end(&mut seen).await.unwrap();
        assert_eq!(seen, b"\x82\x03abc\x82\x04defg\x88\x00");
    }
}
