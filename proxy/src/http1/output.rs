//! A message on its way out: its head, and its body as it comes. Head and data go in one system call, and nothing of a body
//! is copied.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::Body as _;
use tokio::io::AsyncWrite;

use super::write;
use crate::body::{self, Body};

/// Data up to this length, in bytes, is copied behind the head: that is faster than to have two pieces collected.
const COPIED: usize = 1024;
/// How much may wait before more of a body is taken, in bytes.
const ROOM: usize = 4096;

/// How a body is framed on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framed {
    /// So many bytes are still to come.
    Length(u64),
    Chunked,
    UntilClose,
}

/// What is to be written before more of the body is looked at.
#[derive(Debug, Default)]
pub(super) struct Output {
    before: Vec<u8>,
    data: Bytes,
    after: &'static [u8],
    /// How much of it has been written.
    written: usize,
}

/// A message that is being sent.
#[derive(Debug)]
pub(super) struct Sending {
    output: Output,
    body: Body,
    framed: Framed,
    /// Whether the body has ended.
    over: bool,
    /// Why it broke off: what has come before is written first.
    failed: Option<body::Error>,
}

/// Why a message was not sent to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unsent {
    /// The body broke off, or is not as long as was said.
    #[error(transparent)]
    Body(#[from] body::Error),
    /// The other side takes no more.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Output {
    pub(super) fn new(before: Vec<u8>) -> Self {
        Self {
            before,
            ..Self::default()
        }
    }

    fn len(&self) -> usize {
        self.before.len() + self.data.len() + self.after.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether more of the body may come behind it.
    fn has_room(&self) -> bool {
        self.data.is_empty() && self.before.len() <= ROOM
    }

    /// Writes all of it.
    pub(super) fn poll_write(
        &mut self,
        stream: &mut (impl AsyncWrite + Unpin),
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while self.written < self.len() {
            let mut skip = self.written;
            let parts = [&self.before[..], &self.data[..], self.after].map(|part| {
                let skipped = skip.min(part.len());
                skip -= skipped;
                IoSlice::new(&part[skipped..])
            });
            // Of a single part a system call is asked that looks at no list.
            let mut some = parts.iter().filter(|part| !part.is_empty());
            let written = match (some.next(), some.next()) {
                (Some(part), None) => Pin::new(&mut *stream).poll_write(context, part),
                _ => Pin::new(&mut *stream).poll_write_vectored(context, &parts),
            };
            match ready!(written)? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.written += count,
            }
        }
        ready!(Pin::new(stream).poll_flush(context))?;
        self.before.clear();
        (self.data, self.after, self.written) = (Bytes::new(), b"", 0);
        Poll::Ready(Ok(()))
    }
}

impl Sending {
    pub(super) fn new(head: Vec<u8>, body: Body, framed: Framed) -> Self {
        let mut sending = Self {
            output: Output::new(head),
            body,
            framed,
            over: false,
            failed: None,
        };
        if sending.body.is_end_stream() && sending.framed == Framed::Length(0) {
            sending.over = true;
        }
        sending
    }

    /// Writes what there is. Ready when all has been written.
    pub(super) fn poll(
        &mut self,
        stream: &mut (impl AsyncWrite + Unpin),
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Unsent>> {
        loop {
            let mut waits = false;
            if !self.over && self.failed.is_none() && self.output.has_room() {
                match self.take_frame(context) {
                    Ok(taken) => waits = !taken,
                    Err(error) => self.failed = Some(error),
                }
            }
            if self.output.is_empty() {
                match self.failed.take() {
                    Some(error) => return Poll::Ready(Err(error.into())),
                    None if self.over => return Poll::Ready(Ok(())),
                    None if waits => return Poll::Pending,
                    None => continue,
                }
            }
            ready!(self.output.poll_write(stream, context))?;
        }
    }

    /// Whether there was one.
    fn take_frame(&mut self, context: &mut Context<'_>) -> Result<bool, body::Error> {
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Pending => return Ok(false),
            Poll::Ready(Some(frame)) => match frame?.into_data() {
                Ok(data) => self.data(data)?,
                Err(frame) => {
                    let trailers = frame.into_trailers().ok();
                    if let (Framed::Chunked, Some(trailers)) = (self.framed, trailers) {
                        write::trailers(&mut self.output.before, &trailers);
                        self.over = true;
                    }
                }
            },
            Poll::Ready(None) => self.end()?,
        }
        if !self.over && self.body.is_end_stream() {
            self.end()?;
        }
        Ok(true)
    }

    fn data(&mut self, data: Bytes) -> Result<(), body::Error> {
        if data.is_empty() {
            return Ok(());
        }
        match &mut self.framed {
            Framed::Length(left) => {
                let longer = super::Error::Length("longer");
                *left = left.checked_sub(data.len() as u64).ok_or(longer)?;
            }
            Framed::Chunked => {
                write::chunk_size(&mut self.output.before, data.len());
                self.output.after = write::CHUNK_END;
            }
            Framed::UntilClose => {}
        }
        // Behind the size of a chunk comes its end, which a copy would change nothing of.
        match data.len() {
            ..=COPIED if self.framed != Framed::Chunked => self.output.before.extend_from_slice(&data),
            _ => self.output.data = data,
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), body::Error> {
        self.over = true;
        match self.framed {
            Framed::Length(0) | Framed::UntilClose => {}
            Framed::Length(_) => return Err(super::Error::Length("shorter").into()),
            Framed::Chunked if self.output.data.is_empty() => {
                self.output.before.extend_from_slice(write::END);
            }
            Framed::Chunked => self.output.after = write::LAST_CHUNK_END,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;
    use http_body::Frame;
    use http_body_util::StreamBody;
    use std::future::poll_fn;
    use tokio::io::AsyncReadExt;

    /// A body of these frames.
    fn body(frames: Vec<Frame<Bytes>>) -> Body {
        let frames = frames.into_iter().map(Ok::<_, body::Error>);
        Body::wrapped(StreamBody::new(futures::stream::iter(frames)))
    }

    fn data(text: &'static str) -> Frame<Bytes> {
        Frame::data(Bytes::from_static(text.as_bytes()))
    }

    /// What is written through a pipe that takes little at a time.
    async fn written(body: Body, framed: Framed) -> Result<String, Unsent> {
        let (mut near, mut far) = tokio::io::duplex(3);
        let reading = tokio::spawn(async move {
            let mut text = String::new();
            far.read_to_string(&mut text).await.map(|_| text)
        });
        let mut sending = Sending::new(b"head|".to_vec(), body, framed);
        poll_fn(|context| sending.poll(&mut near, context)).await?;
        drop(near);
        Ok(reading.await.unwrap().unwrap())
    }

    #[tokio::test]
    async fn bodies_are_framed() {
        let trailers = || Frame::trailers(HeaderMap::from_iter([(http::header::VIA, "x".parse().unwrap())]));
        for (frames, framed, expected) in [
            (vec![], Framed::Length(0), "head|"),
            (vec![data("hi"), data("!")], Framed::Length(3), "head|hi!"),
            (vec![data("hi"), trailers()], Framed::Length(2), "head|hi"),
            (vec![data("hi"), data("")], Framed::UntilClose, "head|hi"),
            (vec![], Framed::Chunked, "head|0\r\n\r\n"),
            (
                vec![data("hi"), data(""), data("0123456789")],
                Framed::Chunked,
                "head|2\r\nhi\r\nA\r\n0123456789\r\n0\r\n\r\n",
            ),
            (
                vec![data("hi"), trailers()],
                Framed::Chunked,
                "head|2\r\nhi\r\n0\r\nvia: x\r\n\r\n",
            ),
        ] {
            assert_eq!(written(body(frames), framed).await.unwrap(), expected);
        }
        let known = written(Body::text("hi"), Framed::Chunked).await.unwrap();
        assert_eq!(known, "head|2\r\nhi\r\n0\r\n\r\n");
    }

    #[tokio::test]
    async fn a_length_that_is_not_kept_is_an_error() {
        for length in [1, 3] {
            let sent = written(Body::text("hi"), Framed::Length(length)).await;
            assert!(matches!(sent, Err(Unsent::Body(_))), "{length}");
        }
    }
}
