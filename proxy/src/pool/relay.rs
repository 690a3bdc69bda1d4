//! A response that has begun before its request has ended, as where both are streams: a task carries the two, so that
//! neither waits for the other. Belongs to `http1`.

use std::future::poll_fn;
use std::task::Poll;

use bytes::Bytes;
use http_body::Frame;
use tokio::sync::mpsc;

use super::Lease;
use crate::body::{Body, Error};
use crate::http1::{Remaining, Upload};

/// How much of a response waits for its client, in frames.
const WAITING: usize = 1;

/// Sends the rest of a request whose response has none; the connection is given back when it has ended.
pub(super) fn upload(mut lease: Lease, mut upload: Upload) {
    tokio::spawn(async move {
        finish(None, &mut upload, &mut lease)
            .await
            .then(|| lease.finish());
    });
}

/// The body of the response, of which `begun` is here already; the connection is given back when both have ended.
pub(super) fn both(lease: Lease, upload: Upload, remaining: Remaining, begun: Option<Bytes>) -> Body {
    let (frames, body) = mpsc::channel(WAITING);
    tokio::spawn(carry(lease, upload, remaining, begun, frames));
    Body::relayed(body)
}

async fn carry(
    mut lease: Lease,
    mut upload: Upload,
    mut remaining: Remaining,
    begun: Option<Bytes>,
    frames: mpsc::Sender<Result<Frame<Bytes>, Error>>,
) {
    let mut sent = None;
    let mut next = begun.map(|data| Ok(Frame::data(data)));
    loop {
        let given = match next.take() {
            Some(frame) => {
                let broken = frame.is_err();
                let mut giving = std::pin::pin!(frames.send(frame));
                let given = poll_fn(|context| {
                    go_on(&mut sent, &mut upload, &mut lease, context);
                    giving.as_mut().poll(context)
                });
                given.await.is_ok() && !broken
            }
            None => true,
        };
        // Nobody wants the rest, or there is none.
        if !given {
            return;
        }
        let mut unwanted = std::pin::pin!(frames.closed());
        let read = poll_fn(|context| {
            go_on(&mut sent, &mut upload, &mut lease, context);
            if unwanted.as_mut().poll(context).is_ready() {
                return Poll::Ready(Err(()));
            }
            let Some(wire) = lease.wire() else {
                return Poll::Ready(Ok(None));
            };
            remaining
                .poll_frame(&mut wire.stream, &mut wire.rest, context)
                .map(Ok)
        });
        match read.await {
            Ok(Some(frame)) => next = Some(frame.map_err(Error::from)),
            Ok(None) => break,
            Err(()) => return,
        }
    }
    drop(frames);
    finish(sent, &mut upload, &mut lease)
        .await
        .then(|| lease.finish());
}

/// Whether all of the request could be sent.
async fn finish(mut sent: Option<bool>, upload: &mut Upload, lease: &mut Lease) -> bool {
    poll_fn(|context| {
        go_on(&mut sent, upload, lease, context);
        sent.map_or(Poll::Pending, Poll::Ready)
    })
    .await
}

/// Sends what there is of the request, until it is known whether all of it could be sent.
fn go_on(
    sent: &mut Option<bool>,
    upload: &mut Upload,
    lease: &mut Lease,
    context: &mut std::task::Context<'_>,
) {
    if sent.is_none()
        && let Some(wire) = lease.wire()
        && let Poll::Ready(ended) = upload.poll_rest(wire, context)
    {
        *sent = Some(ended);
    }
}
