//! A request's body of which a mirror gets a copy while it is sent. Belongs to `body`; the original never waits for a
//! copy.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use tokio::sync::mpsc;

use super::kept::Piece;
use super::{Body, Error};

/// How much of a body may wait for a mirror, in bytes. One that falls further behind gets no more.
const WAITING: usize = 256 << 10;

struct Original {
    body: Body,
    copies: Vec<Copies>,
}

/// The way to one copy. `None` is the end.
struct Copies {
    pieces: mpsc::UnboundedSender<Option<Piece>>,
    waiting: Arc<AtomicUsize>,
}

struct Copy {
    pieces: mpsc::UnboundedReceiver<Option<Piece>>,
    waiting: Arc<AtomicUsize>,
    over: bool,
    /// The original's at its beginning.
    size: SizeHint,
}

/// The body, and as many copies as are wanted.
pub(crate) fn copied(body: Body, count: usize) -> (Body, Vec<Body>) {
    if body.is_end_stream() || count == 0 {
        return (body, (0..count).map(|_| Body::default()).collect());
    }
    let (mut copies, mut bodies) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let (sender, pieces) = mpsc::unbounded_channel();
        let waiting = Arc::<AtomicUsize>::default();
        copies.push(Copies {
            pieces: sender,
            waiting: waiting.clone(),
        });
        bodies.push(Body::wrapped(Copy {
            pieces,
            waiting,
            over: false,
            size: body.size_hint(),
        }));
    }
    (Body::wrapped(Original { body, copies }), bodies)
}

impl Original {
    fn hand_on(&mut self, piece: Option<&Piece>) {
        let length = piece.map_or(0, Piece::len);
        self.copies.retain(|copy| {
            let waiting = copy.waiting.fetch_add(length, Ordering::Relaxed);
            waiting + length <= WAITING && copy.pieces.send(piece.cloned()).is_ok()
        });
    }
}

impl http_body::Body for Original {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = match ready!(Pin::new(&mut self.body).poll_frame(context)) {
            Some(Ok(frame)) => Piece::of(frame).map(|piece| {
                self.hand_on(Some(&piece));
                Ok(piece.frame())
            }),
            other => other,
        };
        if frame.is_none() || self.body.is_end_stream() {
            self.hand_on(None);
            self.copies.clear();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl http_body::Body for Copy {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if self.over {
            return Poll::Ready(None);
        }
        Poll::Ready(match ready!(self.pieces.poll_recv(context)) {
            Some(Some(piece)) => {
                self.waiting.fetch_sub(piece.len(), Ordering::Relaxed);
                Some(Ok(piece.frame()))
            }
            Some(None) => {
                self.over = true;
                None
            }
            None => Some(Err(Error::Incomplete)),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.over
    }

    fn size_hint(&self) -> SizeHint {
        self.size
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    async fn all(body: Body) -> Result<Bytes, Error> {
        body.collect().await.map(|body| body.to_bytes())
    }

    #[tokio::test]
    async fn a_copy_has_what_the_original_had() {
        let (sender, chunks) = mpsc::channel(2);
        for chunk in ["one ", "two"] {
            sender.send(Bytes::from(chunk)).await.unwrap();
        }
        drop(sender);
        let (original, copies) = copied(Body::fed(chunks), 2);
        assert_eq!(all(original).await.unwrap(), "one two");
        for copy in copies {
            assert_eq!(all(copy).await.unwrap(), "one two");
        }
    }

    #[tokio::test]
    async fn the_original_waits_for_no_copy_and_a_copy_that_is_behind_breaks_off() {
        let (sender, chunks) = mpsc::channel(1);
        let (original, mut copies) = copied(Body::fed(chunks), 1);
        tokio::spawn(async move {
            for _ in 0..8 {
                sender.send(Bytes::from(vec![0; WAITING / 4])).await.unwrap();
            }
        });
        assert_eq!(all(original).await.unwrap().len(), WAITING * 2);
        assert!(matches!(all(copies.remove(0)).await, Err(Error::Incomplete)));
    }

    #[tokio::test]
    async fn a_copy_of_what_breaks_off_is_not_complete() {
        let (_sender, chunks) = mpsc::channel::<Bytes>(1);
        let (original, mut copies) = copied(Body::fed(chunks), 1);
        drop(original);
        assert!(matches!(all(copies.remove(0)).await, Err(Error::Incomplete)));
    }
}
