//! The one body type of requests and responses: what a peer streams, handed on frame by frame without a copy, or a
//! few bytes of our own. What more is done to some bodies on their way is in `body/`.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use tokio::sync::mpsc;

use crate::pool::Lease;

mod copied;
mod kept;
mod timed;
mod watched;

pub(crate) use copied::copied;
pub(crate) use kept::Kept;
pub(crate) use timed::{Deadline, timed};
pub(crate) use watched::{Progress, watched};

/// A body, and for a response what is held until it has ended, the pooled connection and the endpoint's count, and by when
/// that has to be.
#[derive(Debug, Default)]
pub struct Body {
    kind: Kind,
    lease: Option<Lease>,
    deadline: Option<Box<Deadline>>,
}

#[derive(Debug, Default)]
enum Kind {
    #[default]
    Empty,
    Text(Bytes),
    Streamed(Incoming),
    Fed(mpsc::Receiver<Bytes>),
    Wrapped(UnsyncBoxBody<Bytes, Error>),
}

/// Why a body breaks off.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The peer that streams it has gone, or breaks the protocol.
    #[error(transparent)]
    Peer(#[from] hyper::Error),
    /// The route's timeout.
    #[error("the time for the request is over")]
    Deadline,
    /// A later try of the same request sends it.
    #[error("another try sends the body")]
    TakenOver,
    /// It is a copy for a mirror, whose original broke off or was faster than the mirror by more than may wait.
    #[error("the copy for a mirror is not complete")]
    Incomplete,
}

impl Body {
    /// A body of our own.
    pub fn text(text: impl Into<Bytes>) -> Self {
        Self::of(Kind::Text(text.into()))
    }

    /// A body that a client streams.
    pub fn streamed(incoming: Incoming) -> Self {
        Self::of(Kind::Streamed(incoming))
    }

    /// A body of our own that is made while it is sent; it ends with the channel.
    pub(crate) fn fed(chunks: mpsc::Receiver<Bytes>) -> Self {
        Self::of(Kind::Fed(chunks))
    }

    /// A body around another.
    pub(crate) fn wrapped(body: impl http_body::Body<Data = Bytes, Error = Error> + Send + 'static) -> Self {
        Self::of(Kind::Wrapped(UnsyncBoxBody::new(body)))
    }

    /// A body that an upstream streams; `lease` is given back when it has ended.
    pub(crate) fn leased(incoming: Incoming, lease: Lease) -> Self {
        let mut body = Self {
            lease: Some(lease),
            ..Self::streamed(incoming)
        };
        body.settle();
        body
    }

    /// Whether nothing of it has to be waited for.
    fn is_here(&self) -> bool {
        matches!(self.kind, Kind::Empty | Kind::Text(_)) || self.is_end_stream()
    }

    fn of(kind: Kind) -> Self {
        Self {
            kind,
            ..Self::default()
        }
    }

    /// Gives the connection back once nothing more can come.
    fn settle(&mut self) {
        if self.is_end_stream()
            && let Some(lease) = self.lease.take()
        {
            lease.finish();
        }
    }
}

impl Kind {
    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        Poll::Ready(match self {
            Self::Empty => None,
            Self::Text(_) => match std::mem::take(self) {
                Self::Text(text) if !text.is_empty() => Some(Ok(Frame::data(text))),
                _ => None,
            },
            Self::Streamed(incoming) => {
                ready!(Pin::new(incoming).poll_frame(context)).map(|frame| frame.map_err(Error::Peer))
            }
            Self::Fed(chunks) => ready!(chunks.poll_recv(context)).map(|chunk| Ok(Frame::data(chunk))),
            Self::Wrapped(body) => ready!(Pin::new(body).poll_frame(context)),
        })
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Poll::Ready(frame) = self.kind.poll_frame(context) else {
            if let Some(deadline) = &mut self.deadline {
                ready!(deadline.poll(context));
                // Lets go of the connection, whose response nobody reads any more.
                *self = Self::default();
                return Poll::Ready(Some(Err(Error::Deadline)));
            }
            return Poll::Pending;
        };
        match &frame {
            None => {
                self.kind = Kind::Empty;
                self.settle();
            }
            // Dropping the lease unfinished closes the connection: what follows on it is not known.
            Some(Err(_)) => drop(self.lease.take()),
            Some(Ok(_)) => self.settle(),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Empty => true,
            Kind::Text(text) => text.is_empty(),
            Kind::Streamed(incoming) => incoming.is_end_stream(),
            Kind::Fed(_) => false,
            Kind::Wrapped(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Empty => SizeHint::with_exact(0),
            Kind::Text(text) => SizeHint::with_exact(text.len() as u64),
            Kind::Streamed(incoming) => incoming.size_hint(),
            Kind::Fed(_) => SizeHint::default(),
            Kind::Wrapped(body) => body.size_hint(),
        }
    }
}
