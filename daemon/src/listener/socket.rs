//! A client's socket. When its connection is doomed it closes by a reset, so that nothing lingers half open.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use super::connections::Connection;
use super::timer::{CoarseSleep, CoarseTimer};

/// What a connection goes over.
pub enum Transport {
    /// TCP.
    Tcp(TcpStream),
    /// A unix socket.
    Unix(UnixStream),
}

/// Both kinds do the same.
macro_rules! either {
    ($transport:expr, $stream:ident => $act:expr) => {
        match $transport {
            Transport::Tcp($stream) => $act,
            Transport::Unix($stream) => $act,
        }
    };
}

impl Transport {
    /// Reads more into `ahead`.
    ///
    /// # Errors
    /// Also when the peer sends no more.
    pub(super) async fn fill(&mut self, ahead: &mut BytesMut) -> io::Result<()> {
        let read = either!(self, stream => stream.read_buf(ahead).await)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }
}

impl AsyncRead for Transport {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        either!(&mut *self, stream => Pin::new(stream).poll_read(cx, buffer))
    }
}

impl AsyncWrite for Transport {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        either!(&mut *self, stream => Pin::new(stream).poll_write(cx, buffer))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(&mut *self, stream => write_pieces(Pin::new(stream), cx, buffers))
    }

    fn is_write_vectored(&self) -> bool {
        either!(self, stream => stream.is_write_vectored())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(&mut *self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(&mut *self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}

/// Pieces that are as short as this together are made one.
const SHORT: usize = 1024;

/// Writes pieces at once. One goes out by `send`, which is cheaper in the kernel than a list, so that it pays to copy short
/// ones.
fn write_pieces(
    stream: Pin<&mut impl AsyncWrite>,
    cx: &mut Context<'_>,
    pieces: &[io::IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    if let [piece] = pieces {
        return stream.poll_write(cx, piece);
    }
    let (mut whole, mut length) = ([0; SHORT], 0);
    for piece in pieces {
        let Some(room) = whole.get_mut(length..length + piece.len()) else {
            return stream.poll_write_vectored(cx, pieces);
        };
        room.copy_from_slice(piece);
        length += piece.len();
    }
    stream.poll_write(cx, &whole[..length])
}

/// The stream of one client connection.
pub(super) struct Socket {
    transport: Transport,
    /// What was read to find out what the client speaks.
    ahead: BytesMut,
    connection: Arc<Connection>,
    timer: CoarseTimer,
    /// How long a client may take nothing of what it was sent.
    patience: Duration,
    stalled: Option<CoarseSleep>,
}

impl Socket {
    /// Wraps an accepted stream of which the bytes `ahead` were read.
    pub(super) fn new(
        transport: Transport,
        ahead: BytesMut,
        connection: Arc<Connection>,
        timer: CoarseTimer,
        patience: Duration,
    ) -> Self {
        Self {
            transport,
            ahead,
            connection,
            timer,
            patience,
            stalled: None,
        }
    }

    /// Reads until the first bytes say what follows them. They stay to be read.
    ///
    /// # Errors
    /// If the client sends no more.
    pub(super) async fn peek<T>(&mut self, tell: impl Fn(&[u8]) -> Option<T>) -> io::Result<T> {
        loop {
            if let Some(told) = tell(&self.ahead) {
                return Ok(told);
            }
            self.transport.fill(&mut self.ahead).await?;
        }
    }

    /// Ends a write that waits for too long: whoever does not read must not hold the connection, nor the one to the
    /// application behind it.
    fn unless_stalled(&mut self, written: Poll<io::Result<usize>>, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            if self.stalled.take().is_some() {
                self.connection.activity.clog(false);
            }
            return written;
        }
        let Self {
            timer,
            patience,
            connection,
            ..
        } = self;
        let stalled = self.stalled.get_or_insert_with(|| {
            connection.activity.clog(true);
            timer.after(*patience)
        });
        Pin::new(stalled).poll(cx).map(|()| {
            connection.activity.give_up();
            Err(io::ErrorKind::TimedOut.into())
        })
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let (Some(_), Transport::Tcp(stream)) = (self.connection.doom(), &self.transport) {
            // Fails only on a socket that is gone.
            let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            return Pin::new(&mut self.transport).poll_read(cx, buffer);
        }
        let length = self.ahead.len().min(buffer.remaining());
        buffer.put_slice(&self.ahead[..length]);
        self.ahead.advance(length);
        if self.ahead.is_empty() {
            self.ahead = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.transport).poll_write(cx, buffer);
        self.unless_stalled(written, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.transport).poll_write_vectored(cx, buffers);
        self.unless_stalled(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.transport.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_flush(cx)
    }

    /// A doomed connection sends no FIN: it ends by the reset of `drop`.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.connection.doom().is_some() {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.transport).poll_shutdown(cx)
    }
}
