//! A body of which somebody else wants to know how far it is. Belongs to `body`.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use tokio_util::sync::CancellationToken;

use super::{Body, Error};

/// How far a body is.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    bytes: AtomicU64,
    over: CancellationToken,
}

/// A body that tells its progress.
struct Watched {
    body: Body,
    progress: Arc<Progress>,
}

/// Follows a body.
pub(crate) fn watched(body: Body) -> (Body, Arc<Progress>) {
    let progress = Arc::<Progress>::default();
    if body.is_end_stream() {
        progress.over.cancel();
        return (body, progress);
    }
    let watched = Watched {
        body,
        progress: progress.clone(),
    };
    (Body::wrapped(watched), progress)
}

impl Progress {
    /// Bytes of data that have come.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Waits until no more comes: all is here, or nobody wants the rest.
    pub(crate) async fn over(&self) {
        self.over.cancelled().await;
    }
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            self.progress
                .bytes
                .fetch_add(data.len() as u64, Ordering::Relaxed);
        }
        if !matches!(frame, Some(Ok(_))) || self.body.is_end_stream() {
            self.progress.over.cancel();
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

impl Drop for Watched {
    fn drop(&mut self) {
        self.progress.over.cancel();
    }
}
