//! The deadline of an HTTP/2 connection's first bytes: hyper waits for the client's preface without one.
//! Lies between the TLS handshake of `serve` and hyper; once the preface is complete, pings find out who is gone.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// The magic octets and the header of the SETTINGS frame that follows them (RFC 9113, 3.4 and 4.1).
const PREFACE: usize = 24 + 9;

/// A connection whose reads fail with `TimedOut` if the preface has not arrived within `limit` from now.
pub(super) fn within<I>(io: I, limit: Duration) -> Opening<I> {
    Opening {
        io,
        waiting: Some((PREFACE, Box::pin(tokio::time::sleep(limit)))),
    }
}

pub(super) struct Opening<I> {
    io: I,
    /// How many bytes are missing, and until when; `None` once they are here.
    waiting: Option<(usize, Pin<Box<Sleep>>)>,
}

impl<I: AsyncRead + Unpin> AsyncRead for Opening<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { io, waiting } = &mut *self;
        let Some((missing, deadline)) = waiting else {
            return Pin::new(io).poll_read(cx, buffer);
        };
        if deadline.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "no HTTP/2 preface in time",
            )));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(io).poll_read(cx, buffer))?;
        *missing = missing.saturating_sub(buffer.filled().len() - before);
        if *missing == 0 {
            *waiting = None;
        }
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Opening<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
