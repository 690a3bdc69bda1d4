//! A client's connection whose heads are followed. Belongs to `heads`.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Heads;

/// A stream that looks at what is read from it.
#[derive(Debug)]
pub(in crate::http) struct Followed<S> {
    stream: S,
    heads: Heads,
    framings: Arc<Framings>,
}

/// What the stream tells those who answer the requests. Heads and requests have the same numbers: hyper closes the
/// connection after a head that it does not hand on. Both are counted in the connection's own task, one request at a time.
#[derive(Debug, Default)]
pub(in crate::http) struct Framings {
    /// The number of the head that is framed in two ways, or 0.
    ambiguous: AtomicU64,
    requests: AtomicU64,
}

impl Framings {
    /// For each request in turn: whether it is framed in two ways.
    pub(in crate::http) fn next_is_ambiguous(&self) -> bool {
        let number = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
        self.ambiguous.load(Ordering::Relaxed) == number
    }
}

impl<S> Followed<S> {
    pub(in crate::http) fn new(stream: S) -> (Self, Arc<Framings>) {
        let framings = Arc::<Framings>::default();
        let followed = Self {
            stream,
            heads: Heads::default(),
            framings: framings.clone(),
        };
        (followed, framings)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Followed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        if let Some(number) = self.heads.see(&buffer.filled()[before..]) {
            self.framings.ambiguous.store(number, Ordering::Relaxed);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Followed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
