//! A response's body that ends its request's record. Belongs to `access`.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};

use super::Record;
use crate::body::{Body, Error};

struct Counted {
    body: Body,
    record: Record,
}

/// Counts what is sent of the body; the record is written when the body is let go of.
pub(super) fn counted(body: Body, mut record: Record) -> Body {
    if body.is_end_stream() {
        record.complete();
        return body;
    }
    Body::wrapped(Counted { body, record })
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        match &frame {
            Some(Ok(frame)) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                self.record.sent(bytes);
                if self.body.is_end_stream() {
                    self.record.complete();
                }
            }
            Some(Err(error)) => self.record.broken(error),
            None => self.record.complete(),
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
