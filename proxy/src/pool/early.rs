//! A connection on which an answer is still read when the request can no longer be written: a server that refuses an
//! upload answers and closes, and what it said is what the client is to hear. Belongs to `http1`.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Takes what cannot be written any more for written, until the other side's end has been read.
#[derive(Debug)]
pub(super) struct Early<S> {
    stream: S,
    /// The other side takes no more.
    deaf: bool,
    /// Nor does it say more.
    over: bool,
}

impl<S> Early<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            deaf: false,
            over: false,
        }
    }

    fn written(&mut self, written: io::Result<usize>, length: usize) -> io::Result<usize> {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
        match written {
            Err(error)
                if !self.over && matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset) =>
            {
                self.deaf = true;
                Ok(length)
            }
            other => other,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Early<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = ready!(Pin::new(&mut self.stream).poll_read(context, buffer));
        self.over |= read.is_err() || buffer.filled().len() == before && buffer.remaining() > 0;
        Poll::Ready(read)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Early<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.deaf && !self.over {
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, bytes));
        Poll::Ready(self.written(written, bytes.len()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = bytes.iter().map(|bytes| bytes.len()).sum();
        if self.deaf && !self.over {
            return Poll::Ready(Ok(length));
        }
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(context, bytes));
        Poll::Ready(self.written(written, length))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = ready!(Pin::new(&mut self.stream).poll_flush(context));
        Poll::Ready(self.written(flushed.map(|()| 0), 0).map(|_| ()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn what_was_said_is_read_after_the_other_side_takes_no_more() {
        let (near, mut far) = tokio::io::duplex(64);
        let mut early = Early::new(near);
        far.write_all(b"no").await.unwrap();
        drop(far);
        early.write_all(b"a request that nobody reads").await.unwrap();
        let mut said = String::new();
        early.read_to_string(&mut said).await.unwrap();
        assert_eq!(said, "no");
        let late = early.write(b"more").await.unwrap_err();
        assert_eq!(late.kind(), io::ErrorKind::BrokenPipe);
    }
}
