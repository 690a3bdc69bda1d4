//! The reading side of a client's connection, which its task shares with whoever sends its request's body on.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Bytes, BytesMut};
use http_body::{Frame, SizeHint};
use tokio::net::tcp::OwnedReadHalf;

use super::Error;
use super::interims::Interims;
use super::remaining::Remaining;
use crate::scratch;

/// What of a body that nobody wants is read at most for the sake of the next request, in bytes.
const UNWANTED: usize = 64 << 10;

/// What a connection's task and the body of its request have in common.
#[derive(Debug)]
pub(super) struct Shared {
    reading: Mutex<Reading>,
    pub(super) interims: Arc<Interims>,
}

/// Where the reading of a client's connection is.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) half: OwnedReadHalf,
    /// What has been read, and belongs to nothing yet.
    pub(super) rest: BytesMut,
    /// The request's.
    pub(super) body: Remaining,
    /// Whether the client waits to be asked for it.
    pub(super) waits: bool,
    /// Whether somebody is to read it.
    pub(super) taken: bool,
    /// It cannot be read to its end, nor what would be behind it.
    pub(super) lost: bool,
    /// The connection's task, if it waits for the body's end.
    waiter: Option<Waker>,
}

impl Shared {
    pub(super) fn new(half: OwnedReadHalf, rest: BytesMut, interims: Arc<Interims>) -> Self {
        Self {
            reading: Mutex::new(Reading {
                half,
                rest,
                body: Remaining::Over,
                waits: false,
                taken: false,
                lost: false,
                waiter: None,
            }),
            interims,
        }
    }

    pub(super) fn reading(&self) -> MutexGuard<'_, Reading> {
        // Nothing panics while it is held.
        self.reading.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// The stream to read from, and what has been read of it.
    pub(super) fn into_rest(self) -> (OwnedReadHalf, BytesMut) {
        let reading = self.reading.into_inner().unwrap_or_else(PoisonError::into_inner);
        (reading.half, reading.rest)
    }
}

impl Reading {
    /// The end of the request, or that there is none: whether another request may be read. Whoever has taken the body has to
    /// have dropped it, or to read it in another task.
    pub(super) fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<bool> {
        if self.taken {
            self.waiter = Some(context.waker().clone());
            return Poll::Pending;
        }
        let mut unwanted = 0;
        while !self.body.is_over() && !self.lost {
            if unwanted > UNWANTED || self.waits {
                return Poll::Ready(false);
            }
            match self.body.poll_frame(&mut self.half, &mut self.rest, context) {
                Poll::Ready(Some(Ok(frame))) => unwanted += frame.data_ref().map_or(0, Bytes::len),
                Poll::Ready(Some(Err(_))) => self.lost = true,
                Poll::Ready(None) => {}
                Poll::Pending => return Poll::Ready(false),
            }
        }
        Poll::Ready(!self.lost)
    }

    /// The same without waiting for it, for the head of the response. A client that waits to be asked for its body is asked no
    /// more: that would come into the response.
    pub(super) fn poll_answered(&mut self, context: &mut Context<'_>) -> bool {
        self.lost |= self.waits;
        match self.poll_end(context) {
            Poll::Ready(can_follow) => can_follow,
            Poll::Pending => !self.lost,
        }
    }

    /// Whether the client has closed its side, once its request is here. One read at most is read ahead: behind that, and
    /// while the body is read by somebody else, this is pending without a wake, and others are waited for.
    pub(super) fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.skip_empty_lines();
        if !self.body.is_over() || !self.rest.is_empty() {
            return Poll::Pending;
        }
        let rest = &mut self.rest;
        let read = scratch::poll_read(&mut self.half, context, |bytes| {
            rest.extend_from_slice(bytes);
            bytes.is_empty()
        });
        match ready!(read) {
            Ok(false) => Poll::Pending,
            Ok(true) | Err(_) => Poll::Ready(()),
        }
    }

    /// Old clients send one behind a body, which belongs to nothing (RFC 9112, section 2.2).
    pub(super) fn skip_empty_lines(&mut self) {
        while let Some(length) = match &self.rest[..] {
            [b'\r', b'\n', ..] => Some(2),
            [b'\n', ..] => Some(1),
            _ => None,
        } {
            scratch::advance(&mut self.rest, length);
        }
    }

    /// Whether the client has nothing more to say to this request.
    pub(super) fn is_at_an_end(&self) -> bool {
        self.body.is_over() && self.rest.is_empty() && !self.lost
    }

    /// Reads until the client closes its side, for nothing.
    pub(super) fn poll_discard(&mut self, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        while !ready!(scratch::poll_read(&mut self.half, context, <[u8]>::is_empty))? {}
        Poll::Ready(Ok(()))
    }

    /// Nobody reads the body any more, or there is no more of it.
    fn ended(&mut self) {
        self.taken = false;
        if let Some(waiter) = self.waiter.take() {
            waiter.wake();
        }
    }
}

/// The body of a client's request.
#[derive(Debug)]
pub(crate) struct Incoming {
    shared: Arc<Shared>,
    over: bool,
    size: SizeHint,
}

impl Incoming {
    /// What `shared` is about to read.
    pub(super) fn new(shared: Arc<Shared>, reading: &mut Reading) -> Self {
        reading.taken = true;
        Self {
            shared,
            over: false,
            size: reading.body.size_hint(),
        }
    }

    /// The next of it. The first time the client is asked for it, if it waits for that.
    pub(crate) fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if self.over {
            return Poll::Ready(None);
        }
        let reading = &mut *self.shared.reading();
        if reading.lost {
            self.over = true;
            reading.ended();
            return Poll::Ready(Some(Err(Error::Closed)));
        }
        if std::mem::take(&mut reading.waits) {
            self.shared.interims.ask_to_continue();
        }
        let frame = ready!(
            reading
                .body
                .poll_frame(&mut reading.half, &mut reading.rest, context)
        );
        reading.lost |= matches!(frame, Some(Err(_)));
        self.over = reading.lost || reading.body.is_over();
        self.size = reading.body.size_hint();
        if self.over {
            reading.ended();
        }
        Poll::Ready(frame)
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        self.size
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if !self.over {
            self.shared.reading().ended();
        }
    }
}
