//! What of a message's body is still to come on a connection. The same for both sides.

use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http_body::{Frame, SizeHint};
use tokio::io::AsyncRead;

use super::Error;
use super::chunks::Chunks;
use super::framing::Framing;
use crate::scratch;

/// How the rest of a body is read.
#[derive(Debug)]
pub(crate) enum Remaining {
    /// So many, and whether there was more than could be read the last time.
    Bytes(u64, bool),
    Chunks(Box<Chunks>),
    UntilClose,
    /// The chunks are over, and these trailers have not been given yet.
    Trailers(Box<http::HeaderMap>),
    /// What has come since the last frame that was given cannot be read.
    Unreadable(Option<Error>),
    Over,
}

impl Remaining {
    pub(super) fn new(framing: Framing) -> Self {
        match framing {
            Framing::Length(0) => Self::Over,
            Framing::Length(length) => Self::Bytes(length, false),
            Framing::Chunked => Self::Chunks(Box::default()),
            Framing::UntilClose => Self::UntilClose,
        }
    }

    /// Whether nothing more comes.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self, Self::Over)
    }

    /// What is known of its length.
    pub(crate) fn size_hint(&self) -> SizeHint {
        match self {
            Self::Bytes(length, _) => SizeHint::with_exact(*length),
            Self::Over => SizeHint::with_exact(0),
            _ => SizeHint::default(),
        }
    }

    /// The whole of a body that has come together with its head, or `None`: nothing is taken then.
    pub(crate) fn at_once(&mut self, rest: &mut BytesMut) -> Option<Bytes> {
        match self {
            Self::Bytes(length, _) if *length <= rest.len() as u64 => {
                let length = *length as usize;
                *self = Self::Over;
                Some(split(rest, length))
            }
            _ => None,
        }
    }

    /// The next of it: first from what has been read already, then from the stream. It may be followed by nothing although
    /// [`Remaining::is_over`] was not true before.
    pub(crate) fn poll_frame(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
        rest: &mut BytesMut,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        loop {
            match self {
                Self::Over => return Poll::Ready(None),
                Self::Unreadable(why) => {
                    return Poll::Ready(Some(Err(why.take().unwrap_or(Error::Closed))));
                }
                Self::Trailers(trailers) => {
                    let trailers = std::mem::take(&mut **trailers);
                    *self = Self::Over;
                    return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
                }
                Self::Bytes(left, much) => {
                    let most = usize::try_from(*left).unwrap_or(usize::MAX);
                    let data = match rest.is_empty() {
                        true => ready!(scratch::poll_bytes(stream, context, *left, much)),
                        false => Ok(split(rest, most.min(rest.len()))),
                    };
                    return Poll::Ready(Some(self.counted(data)));
                }
                Self::UntilClose => {
                    let data = match rest.is_empty() {
                        true => ready!(scratch::poll_read(stream, context, Bytes::copy_from_slice)),
                        false => Ok(std::mem::take(rest).freeze()),
                    };
                    return Poll::Ready(match data {
                        Ok(data) if data.is_empty() => {
                            *self = Self::Over;
                            None
                        }
                        Ok(data) => Some(Ok(Frame::data(data))),
                        Err(error) => Some(Err(error.into())),
                    });
                }
                Self::Chunks(chunks) => {
                    let mut data = Vec::new();
                    let read = match rest.is_empty() {
                        true => ready!(scratch::poll_read(stream, context, |bytes| {
                            if bytes.is_empty() {
                                return Err(Error::Closed);
                            }
                            data.reserve(bytes.len());
                            let used = chunks.read(bytes, &mut data)?;
                            rest.extend_from_slice(&bytes[used..]);
                            Ok(())
                        })),
                        false => {
                            data.reserve(rest.len());
                            Ok(chunks
                                .read(rest, &mut data)
                                .map(|used| scratch::advance(rest, used)))
                        }
                    };
                    match read.map_err(Error::from).flatten() {
                        Ok(()) if chunks.are_over() => match chunks.trailers() {
                            Ok(None) => *self = Self::Over,
                            Ok(Some(trailers)) => *self = Self::Trailers(Box::new(trailers)),
                            Err(error) => *self = Self::Unreadable(Some(error)),
                        },
                        Ok(()) => {}
                        Err(error) => *self = Self::Unreadable(Some(error)),
                    }
                    if !data.is_empty() {
                        return Poll::Ready(Some(Ok(Frame::data(data.into()))));
                    }
                }
            }
        }
    }

    fn counted(&mut self, data: std::io::Result<Bytes>) -> Result<Frame<Bytes>, Error> {
        let data = data?;
        if data.is_empty() {
            return Err(Error::Closed);
        }
        if let Self::Bytes(left, _) = self {
            *left -= data.len() as u64;
            if *left == 0 {
                *self = Self::Over;
            }
        }
        Ok(Frame::data(data))
    }
}

/// So much from the beginning of what has been read.
fn split(rest: &mut BytesMut, length: usize) -> Bytes {
    match length == rest.len() {
        true => std::mem::take(rest).freeze(),
        false => rest.split_to(length).freeze(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    /// All data, how many trailers, what is left, and whether it broke off.
    async fn read(framing: Framing, rest: &[u8], stream: &[u8]) -> (String, usize, usize, bool) {
        let (mut remaining, mut rest, mut stream) = (Remaining::new(framing), BytesMut::from(rest), stream);
        let (mut data, mut trailers) = (Vec::new(), 0);
        loop {
            match poll_fn(|context| remaining.poll_frame(&mut stream, &mut rest, context)).await {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(more) => data.extend_from_slice(&more),
                    Err(frame) => trailers += frame.into_trailers().unwrap().len(),
                },
                ended => {
                    let left = rest.len() + stream.len();
                    return (String::from_utf8(data).unwrap(), trailers, left, ended.is_some());
                }
            }
        }
    }

    #[tokio::test]
    async fn bodies_end_where_they_say() {
        use Framing::{Chunked, Length, UntilClose};
        for (framing, bytes, expected) in [
            (Length(0), "rest", ("", 0, 4, false)),
            (Length(2), "hirest", ("hi", 0, 4, false)),
            (Length(9), "hi", ("hi", 0, 0, true)),
            (UntilClose, "hi", ("hi", 0, 0, false)),
            (Chunked, "2\r\nhi\r\n0\r\n\r\nrest", ("hi", 0, 4, false)),
            (Chunked, "2\r\nhi\r\n0\r\na: b\r\n\r\nrest", ("hi", 1, 4, false)),
            (Chunked, "2\r\nhi\r\n0\r\n", ("hi", 0, 0, true)),
            (Chunked, "2\r\nhi\r\nx", ("hi", 0, 0, true)),
        ] {
            for split in 0..=bytes.len() {
                let (rest, stream) = bytes.as_bytes().split_at(split);
                let (data, trailers, left, broke) = read(framing, rest, stream).await;
                let found = (data.as_str(), trailers, left, broke);
                match expected.3 {
                    true => assert_eq!((found.0, broke), ("hi", true), "{bytes:?} at {split}"),
                    false => assert_eq!(found, expected, "{bytes:?} at {split}"),
                }
            }
        }
    }

    #[test]
    fn what_came_with_the_head_is_there_at_once() {
        for (length, taken) in [(2, Some("hi")), (6, None)] {
            let (mut remaining, mut rest) = (Remaining::new(Framing::Length(length)), BytesMut::from("hi!"));
            let body = remaining.at_once(&mut rest);
            assert_eq!(body.as_deref(), taken.map(str::as_bytes));
            assert_eq!(remaining.is_over(), taken.is_some());
            assert_eq!(rest.len(), if taken.is_some() { 1 } else { 3 });
        }
    }
}
