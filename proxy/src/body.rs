//! The one body type of requests and responses: what a peer streams, handed on frame by frame without a copy, or a
//! few bytes of our own. What more is done to some bodies on their way is in `body/`.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use tokio::sync::mpsc;

use crate::http1;
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
    /// By HTTP/2, from either side.
    Http2(Incoming),
    /// By a client's HTTP/1 connection.
    Client(http1::Incoming),
    /// By a server's HTTP/1 connection, which is in the lease.
    Server(http1::Remaining),
    /// The same, by a task that still sends the request.
    Relayed(mpsc::Receiver<Result<Frame<Bytes>, Error>>),
    Fed(mpsc::Receiver<Bytes>),
    /// Nothing, but what comes behind the head is no HTTP. Without its own, the connection is in the lease.
    Tunnel(Option<OnUpgrade>),
    Wrapped(UnsyncBoxBody<Bytes, Error>),
}

/// An upstream that has agreed to carry bytes.
#[derive(Debug)]
pub(crate) enum Tunnel {
    Http1(Lease),
    Http2(OnUpgrade),
}

/// Why a body breaks off.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The peer that streams it by HTTP/2 has gone, or breaks the protocol.
    #[error(transparent)]
    Http2(#[from] hyper::Error),
    /// The same by HTTP/1.
    #[error(transparent)]
    Http1(#[from] http1::Error),
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

    /// What a client sends by HTTP/1.
    pub(crate) fn client(incoming: http1::Incoming) -> Self {
        Self::of(Kind::Client(incoming))
    }

    /// What a server sends by HTTP/1 on the connection in the lease, which is given back when it has ended.
    pub(crate) fn server(remaining: http1::Remaining, lease: Lease) -> Self {
        Self::leased(Kind::Server(remaining), lease)
    }

    /// The same, by way of a task.
    pub(crate) fn relayed(frames: mpsc::Receiver<Result<Frame<Bytes>, Error>>) -> Self {
        Self::of(Kind::Relayed(frames))
    }

    /// What a server sends by HTTP/2 in a stream that the lease counts.
    pub(crate) fn http2(incoming: Incoming, lease: Lease) -> Self {
        Self::leased(Kind::Http2(incoming), lease)
    }

    /// Bytes by way of the connection in the lease.
    pub(crate) fn tunnel(lease: Lease) -> Self {
        Self {
            lease: Some(lease),
            ..Self::of(Kind::Tunnel(None))
        }
    }

    /// Bytes by way of a stream of HTTP/2.
    pub(crate) fn http2_tunnel(stream: OnUpgrade) -> Self {
        Self::of(Kind::Tunnel(Some(stream)))
    }

    /// A body of our own that is made while it is sent; it ends with the channel.
    pub(crate) fn fed(chunks: mpsc::Receiver<Bytes>) -> Self {
        Self::of(Kind::Fed(chunks))
    }

    /// A body around another.
    pub(crate) fn wrapped(body: impl http_body::Body<Data = Bytes, Error = Error> + Send + 'static) -> Self {
        Self::of(Kind::Wrapped(UnsyncBoxBody::new(body)))
    }

    /// Whether nothing of it has to be waited for.
    fn is_here(&self) -> bool {
        matches!(self.kind, Kind::Empty | Kind::Text(_) | Kind::Tunnel(_)) || self.is_end_stream()
    }

    /// Whether the other side has agreed to carry bytes.
    pub(crate) fn is_tunnel(&self) -> bool {
        matches!(self.kind, Kind::Tunnel(_))
    }

    /// The body, and what bytes are carried by, if the other side has agreed to.
    pub(crate) fn or_tunnel(mut self) -> (Self, Option<Tunnel>) {
        let tunnel = match &mut self.kind {
            Kind::Tunnel(stream) => match stream.take() {
                Some(stream) => Some(Tunnel::Http2(stream)),
                None => self.lease.take().map(Tunnel::Http1),
            },
            _ => None,
        };
        (self, tunnel)
    }

    fn leased(kind: Kind, lease: Lease) -> Self {
        let mut body = Self {
            lease: Some(lease),
            ..Self::of(kind)
        };
        body.settle();
        body
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
            && !self.is_tunnel()
            && let Some(lease) = self.lease.take()
        {
            lease.finish();
        }
    }
}

impl From<Incoming> for Body {
    /// What a client sends by HTTP/2.
    fn from(incoming: Incoming) -> Self {
        Self::of(Kind::Http2(incoming))
    }
}

impl Kind {
    fn poll_frame(
        &mut self,
        lease: &mut Option<Lease>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        Poll::Ready(match self {
            Self::Empty | Self::Tunnel(_) => None,
            Self::Text(_) => match std::mem::take(self) {
                Self::Text(text) if !text.is_empty() => Some(Ok(Frame::data(text))),
                _ => None,
            },
            Self::Http2(incoming) => {
                ready!(Pin::new(incoming).poll_frame(context)).map(|frame| frame.map_err(Error::Http2))
            }
            Self::Client(incoming) => {
                ready!(incoming.poll_frame(context)).map(|frame| frame.map_err(Error::Http1))
            }
            Self::Server(remaining) => {
                // It is given back only when there is no more to read.
                let Some(wire) = lease.as_mut().and_then(Lease::wire) else {
                    return Poll::Ready(None);
                };
                let frame = ready!(remaining.poll_frame(&mut wire.stream, &mut wire.rest, context));
                frame.map(|frame| frame.map_err(Error::Http1))
            }
            Self::Relayed(frames) => ready!(frames.poll_recv(context)),
            Self::Fed(chunks) => ready!(chunks.poll_recv(context)).map(|chunk| Ok(Frame::data(chunk))),
            Self::Wrapped(body) => ready!(Pin::new(body).poll_frame(context)),
        })
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let body = self.get_mut();
        let Poll::Ready(frame) = body.kind.poll_frame(&mut body.lease, context) else {
            if let Some(deadline) = &mut body.deadline {
                ready!(deadline.poll(context));
                // Lets go of the connection, whose response nobody reads any more.
                *body = Self::default();
                return Poll::Ready(Some(Err(Error::Deadline)));
            }
            return Poll::Pending;
        };
        match &frame {
            None => {
                body.kind = Kind::Empty;
                body.settle();
            }
            // Dropping the lease unfinished closes the connection: what follows on it is not known.
            Some(Err(_)) => drop(body.lease.take()),
            Some(Ok(_)) => body.settle(),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Empty | Kind::Tunnel(_) => true,
            Kind::Text(text) => text.is_empty(),
            Kind::Http2(incoming) => incoming.is_end_stream(),
            Kind::Client(incoming) => incoming.is_over(),
            Kind::Server(remaining) => remaining.is_over(),
            Kind::Fed(_) | Kind::Relayed(_) => false,
            Kind::Wrapped(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Empty | Kind::Tunnel(_) => SizeHint::with_exact(0),
            Kind::Text(text) => SizeHint::with_exact(text.len() as u64),
            Kind::Http2(incoming) => incoming.size_hint(),
            Kind::Client(incoming) => incoming.size_hint(),
            Kind::Server(remaining) => remaining.size_hint(),
            Kind::Fed(_) | Kind::Relayed(_) => SizeHint::default(),
            Kind::Wrapped(body) => body.size_hint(),
        }
    }
}
