//! The one body type of requests and responses: what a peer streams, handed on frame by frame without a copy, or a
//! few bytes of our own.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::sync::mpsc;

use crate::pool::Lease;

/// A body, and for a response what is held until it has ended: the pooled connection and the endpoint's count.
#[derive(Debug, Default)]
pub struct Body {
    kind: Kind,
    lease: Option<Lease>,
}

#[derive(Debug, Default)]
enum Kind {
    #[default]
    Empty,
    Text(Bytes),
    Streamed(Incoming),
    Fed(mpsc::Receiver<Bytes>),
}

impl Body {
    /// A body of our own.
    pub fn text(text: impl Into<Bytes>) -> Self {
        Self {
            kind: Kind::Text(text.into()),
            lease: None,
        }
    }

    /// A body that a client streams.
    pub fn streamed(incoming: Incoming) -> Self {
        Self {
            kind: Kind::Streamed(incoming),
            lease: None,
        }
    }

    /// A body of our own that is made while it is sent; it ends with the channel.
    pub(crate) fn fed(chunks: mpsc::Receiver<Bytes>) -> Self {
        Self {
            kind: Kind::Fed(chunks),
            lease: None,
        }
    }

    /// A body that an upstream streams; `lease` is given back when it has ended.
    pub(crate) fn leased(incoming: Incoming, lease: Lease) -> Self {
        let mut body = Self {
            kind: Kind::Streamed(incoming),
            lease: Some(lease),
        };
        body.settle();
        body
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

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let frame = match &mut self.kind {
            Kind::Empty => None,
            Kind::Text(_) => match std::mem::take(&mut self.kind) {
                Kind::Text(text) if !text.is_empty() => Some(Ok(Frame::data(text))),
                _ => None,
            },
            Kind::Streamed(incoming) => ready!(Pin::new(incoming).poll_frame(context)),
            Kind::Fed(chunks) => ready!(chunks.poll_recv(context)).map(|chunk| Ok(Frame::data(chunk))),
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
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Empty => SizeHint::with_exact(0),
            Kind::Text(text) => SizeHint::with_exact(text.len() as u64),
            Kind::Streamed(incoming) => incoming.size_hint(),
            Kind::Fed(_) => SizeHint::default(),
        }
    }
}
