//! A request's body that is kept while it is sent, so that it can be sent again. Belongs to `body`; used by
//! `http::tries`.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};

use super::{Body, Error};

/// What is kept of one body, in bytes. A longer one is sent once.
const KEPT: usize = 64 << 10;

/// A body of which each try gets a copy, one after another.
#[derive(Debug, Clone)]
pub(crate) struct Kept(Arc<Mutex<Source>>);

#[derive(Debug)]
struct Source {
    /// What has not come yet.
    rest: Body,
    pieces: Vec<Piece>,
    bytes: usize,
    /// More came than is kept.
    lost: bool,
    /// Counts the tries: only the last one reads.
    reader: u64,
    waiting: Option<Waker>,
}

#[derive(Debug, Clone)]
pub(super) enum Piece {
    Data(Bytes),
    Trailers(HeaderMap),
}

struct Reader {
    source: Arc<Mutex<Source>>,
    number: u64,
    at: usize,
}

impl Kept {
    pub(crate) fn new(body: Body) -> Self {
        Self(Arc::new(Mutex::new(Source {
            rest: body,
            pieces: Vec::new(),
            bytes: 0,
            lost: false,
            reader: 0,
            waiting: None,
        })))
    }

    /// The body from its beginning, for the next try; the last one's breaks off. `None` once it was longer than what
    /// is kept.
    pub(crate) fn again(&self) -> Option<Body> {
        let mut source = lock(&self.0);
        if source.lost {
            return None;
        }
        source.reader += 1;
        if let Some(waiting) = source.waiting.take() {
            waiting.wake();
        }
        Some(Body::wrapped(Reader {
            number: source.reader,
            source: self.0.clone(),
            at: 0,
        }))
    }

    /// Keeps no more of it: it will not be sent again.
    pub(crate) fn let_go(&self) {
        // What is here already may not have been read by this try. It goes with the next that comes.
        lock(&self.0).lost = true;
    }

    /// Whether [`Kept::again`] would still give it.
    pub(crate) fn is_whole(&self) -> bool {
        !lock(&self.0).lost
    }
}

impl Source {
    fn keep(&mut self, piece: &Piece) {
        if let Piece::Data(data) = piece {
            self.bytes += data.len();
        }
        self.lost |= self.bytes > KEPT;
        if self.lost {
            self.pieces = Vec::new();
        } else {
            self.pieces.push(piece.clone());
        }
    }
}

impl Piece {
    /// What of a frame is known, which is all that HTTP has.
    pub(super) fn of(frame: Frame<Bytes>) -> Option<Self> {
        match frame.into_data() {
            Ok(data) => Some(Self::Data(data)),
            Err(frame) => frame.into_trailers().ok().map(Self::Trailers),
        }
    }

    pub(super) fn frame(self) -> Frame<Bytes> {
        match self {
            Self::Data(data) => Frame::data(data),
            Self::Trailers(trailers) => Frame::trailers(trailers),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Data(data) => data.len(),
            Self::Trailers(_) => 0,
        }
    }
}

impl http_body::Body for Reader {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let shared = self.source.clone();
        let mut source = lock(&shared);
        if source.reader != self.number {
            return Poll::Ready(Some(Err(Error::TakenOver)));
        }
        if let Some(piece) = source.pieces.get(self.at) {
            self.at += 1;
            return Poll::Ready(Some(Ok(piece.clone().frame())));
        }
        let Poll::Ready(frame) = Pin::new(&mut source.rest).poll_frame(context) else {
            source.waiting = Some(context.waker().clone());
            return Poll::Pending;
        };
        Poll::Ready(match frame {
            Some(Ok(frame)) => Piece::of(frame).map(|piece| {
                source.keep(&piece);
                self.at = source.pieces.len();
                Ok(piece.frame())
            }),
            ended => ended,
        })
    }

    fn is_end_stream(&self) -> bool {
        let source = lock(&self.source);
        source.reader == self.number && self.at >= source.pieces.len() && source.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let source = lock(&self.source);
        let kept: usize = source.pieces.iter().skip(self.at).map(Piece::len).sum();
        let rest = source.rest.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower() + kept as u64);
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper + kept as u64);
        }
        hint
    }
}

/// Nothing panics while it is held; a poisoned body is a body all the same.
fn lock(source: &Mutex<Source>) -> MutexGuard<'_, Source> {
    source.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body::Body as _;
    use http_body_util::BodyExt;
    use tokio::sync::mpsc;

    async fn all(body: Body) -> Result<Bytes, Error> {
        body.collect().await.map(|body| body.to_bytes())
    }

    #[tokio::test]
    async fn every_try_gets_the_whole_body() {
        let (sender, chunks) = mpsc::channel(4);
        for chunk in ["one ", "two"] {
            sender.send(Bytes::from(chunk)).await.unwrap();
        }
        let kept = Kept::new(Body::fed(chunks));
        let mut first = kept.again().unwrap();
        assert_eq!(first.frame().await.unwrap().unwrap().into_data().unwrap(), "one ");
        let second = kept.again().unwrap();
        assert_eq!(second.size_hint().lower(), 4);
        assert!(matches!(first.frame().await, Some(Err(Error::TakenOver))));
        drop(sender);
        assert_eq!(all(second).await.unwrap(), "one two");
        assert_eq!(all(kept.again().unwrap()).await.unwrap(), "one two");
    }

    #[tokio::test]
    async fn a_try_that_waits_is_told_that_it_is_over() {
        let (sender, chunks) = mpsc::channel(1);
        let kept = Kept::new(Body::fed(chunks));
        let waiting = tokio::spawn(all(kept.again().unwrap()));
        tokio::task::yield_now().await;
        let next = kept.again().unwrap();
        assert!(matches!(waiting.await.unwrap(), Err(Error::TakenOver)));
        drop(sender);
        assert_eq!(all(next).await.unwrap(), "");
    }

    #[tokio::test]
    async fn what_is_too_long_is_sent_once() {
        let (sender, chunks) = mpsc::channel(3);
        for _ in 0..3 {
            sender.send(Bytes::from(vec![0; KEPT / 2])).await.unwrap();
        }
        drop(sender);
        let kept = Kept::new(Body::fed(chunks));
        assert_eq!(all(kept.again().unwrap()).await.unwrap().len(), KEPT / 2 * 3);
        assert!(!kept.is_whole() && kept.again().is_none());
    }

    #[tokio::test]
    async fn what_is_let_go_is_read_to_the_end_and_not_kept() {
        let (sender, chunks) = mpsc::channel(2);
        sender.send(Bytes::from("one ")).await.unwrap();
        let kept = Kept::new(Body::fed(chunks));
        let mut first = kept.again().unwrap();
        first.frame().await.unwrap().unwrap();
        let second = kept.again().unwrap();
        kept.let_go();
        assert!(kept.again().is_none());
        sender.send(Bytes::from("two")).await.unwrap();
        drop(sender);
        assert_eq!(all(second).await.unwrap(), "one two");
        assert!(lock(&kept.0).pieces.is_empty());
    }
}
