//! A response's body that has to be through in time. Belongs to `body`.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::future::BoxFuture;
use http_body::{Body as _, Frame, SizeHint};

use super::{Body, Error};

/// A body that breaks off when a time has passed.
struct Timed {
    body: Body,
    passed: BoxFuture<'static, ()>,
}

/// Breaks the body off when `passed` ends before it.
pub(crate) fn timed(body: Body, passed: BoxFuture<'static, ()>) -> Body {
    if body.is_end_stream() {
        return body;
    }
    Body::wrapped(Timed { body, passed })
}

impl http_body::Body for Timed {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            return Poll::Ready(frame);
        }
        self.passed.as_mut().poll(context).map(|()| {
            // Lets go of the connection, whose response nobody reads any more.
            self.body = Body::default();
            Some(Err(Error::Deadline))
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
