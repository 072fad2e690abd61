//! How much the application says before its answer: answers before the answer (1xx) have no end by themselves, and who
//! reads them does nothing else.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that may come before the head of an answer has come whole; more than the largest head, with what came along.
const MOST: usize = 1 << 20;
/// Nothing is counted.
const FREE: usize = usize::MAX;

/// What may still come over a connection.
#[derive(Clone, Debug)]
pub(super) struct Meter(Arc<AtomicUsize>);

impl Default for Meter {
    fn default() -> Self {
        Self(Arc::new(AtomicUsize::new(FREE)))
    }
}

impl Meter {
    /// An answer is waited for.
    pub(super) fn start(&self) {
        self.0.store(MOST, Ordering::Relaxed);
    }

    /// Its head has come.
    pub(super) fn stop(&self) {
        self.0.store(FREE, Ordering::Relaxed);
    }

    fn left(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    fn take(&self, count: usize) {
        let left = self.left();
        if left != FREE {
            self.0.store(left.saturating_sub(count), Ordering::Relaxed);
        }
    }
}

/// A connection with a meter.
pub(super) struct Metered<S> {
    stream: S,
    meter: Meter,
}

impl<S> Metered<S> {
    pub(super) fn new(stream: S, meter: Meter) -> Self {
        Self { stream, meter }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.meter.left() == 0 {
            let error = "the application says too much before its answer";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error)));
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.meter.take(buffer.filled().len() - before);
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
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

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn only_so_much_comes_before_an_answer() {
        let endless = tokio::io::join(tokio::io::repeat(b'x'), tokio::io::sink());
        let meter = Meter::default();
        let mut stream = Metered::new(endless, meter.clone());
        let mut buffer = vec![0; MOST];
        stream.read_exact(&mut buffer).await.unwrap();
        meter.start();
        stream.read_exact(&mut buffer).await.unwrap();
        assert!(stream.read(&mut buffer).await.is_err());
        meter.stop();
        stream.read_exact(&mut buffer).await.unwrap();
    }
}
