//! A client's connection whose heads are followed, and on which interim responses are written. Belongs to `heads`.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Heads;
use crate::http::interim::Interims;

/// A stream that looks at what is read from it, and writes interim responses where hyper has nothing unsent: hyper
/// flushes whenever it is polled, and before it takes the next request.
#[derive(Debug)]
pub(in crate::http) struct Followed<S> {
    stream: S,
    heads: Heads,
    framings: Arc<Framings>,
    interims: Arc<Interims>,
    /// The rest of interim responses, which nothing may come between.
    begun: Bytes,
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
    pub(in crate::http) fn new(stream: S, interims: Arc<Interims>) -> (Self, Arc<Framings>) {
        let framings = Arc::<Framings>::default();
        let followed = Self {
            stream,
            heads: Heads::default(),
            framings: framings.clone(),
            interims,
            begun: Bytes::new(),
        };
        (followed, framings)
    }
}

impl<S: AsyncWrite + Unpin> Followed<S> {
    /// Writes the interim responses that may be written now.
    fn poll_interims(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            while !self.begun.is_empty() {
                match ready!(Pin::new(&mut self.stream).poll_write(context, &self.begun))? {
                    0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    written => self.begun.advance(written),
                }
            }
            match self.interims.take() {
                Some(heads) => self.begun = heads,
                None => return Poll::Ready(Ok(())),
            }
        }
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
        ready!(self.poll_interims(context))?;
        self.interims.written();
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_interims(context))?;
        self.interims.written();
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        self.interims.sent();
        ready!(self.poll_interims(context))?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
