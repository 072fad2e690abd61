//! A client's stream as hyper has it for a while: what was read too much comes first, and hyper does not close it.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What is read at once of a connection that was silent: most heads whole.
const FIRST: usize = 1024;

/// The stream.
pub(super) struct Line<S> {
    stream: S,
    ahead: Bytes,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Line<S> {
    /// A stream of which these bytes were read already.
    pub(super) fn new(stream: S, ahead: Bytes) -> Self {
        Self { stream, ahead }
    }

    /// What it is made of.
    pub(super) fn into_stream(self) -> S {
        self.stream
    }

    /// Takes back what hyper has read and not used, but not the buffer that it is in.
    pub(super) fn take_back(self, unused: &[u8]) -> Self {
        let ahead = [unused, &self.ahead].concat().into();
        Self { ahead, ..self }
    }

    /// Waits until the client says something. False at its end.
    pub(super) async fn listen(&mut self) -> bool {
        if !self.ahead.is_empty() {
            return true;
        }
        poll_fn(|cx| self.poll_listen(cx)).await.unwrap_or(false)
    }

    /// The buffer is there only while there is something to read.
    fn poll_listen(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut room = [0; FIRST];
        let mut buffer = ReadBuf::new(&mut room);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
        self.ahead = Bytes::copy_from_slice(buffer.filled());
        Poll::Ready(Ok(!self.ahead.is_empty()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Line<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        let length = self.ahead.len().min(buffer.remaining());
        buffer.put_slice(&self.ahead[..length]);
        self.ahead.advance(length);
        if self.ahead.is_empty() {
            self.ahead = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Line<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buffer)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// Only its owner ends it.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn what_was_heard_is_read_first_and_nothing_is_closed() {
        let (mut client, ours) = tokio::io::duplex(100);
        let mut line = Line::new(ours, Bytes::new()).take_back(b"a");
        assert!(line.listen().await);
        let mut seen = [0; 1];
        line.read_exact(&mut seen).await.unwrap();
        client.write_all(b"bc").await.unwrap();
        assert!(line.listen().await);
        line.shutdown().await.unwrap();
        line.write_all(b"still open").await.unwrap();
        let mut rest = [0; 2];
        line.read_exact(&mut rest).await.unwrap();
        assert_eq!((&seen, &rest), (b"a", b"bc"));
        drop(client);
        assert!(!line.listen().await);
    }
}
