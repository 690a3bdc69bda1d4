//! Interim responses (1xx, such as 103 Early Hints; RFC 9110, section 15.2) on their way to an HTTP/1.1 client. hyper's
//! client tells of them, and its server has no word for them: they wait here until the stream beneath it, `heads`, can
//! write them. Before it on the path: `pool`; belongs to `tries`.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Request, StatusCode};

use super::headers;
use crate::body::Body;
use crate::metrics::Metrics;
use crate::pool::MAX_HEADERS;

/// The interim responses to a client's connection. Each belongs to the request under way, whose final response ends them:
/// on a connection there is one such request at a time, also where the client has sent more.
#[derive(Debug)]
pub(super) struct Interims {
    /// Heads that wait, as they are written.
    waiting: Mutex<Vec<u8>>,
    /// Whether there are any, so that nobody takes the lock for nothing.
    any: AtomicBool,
    /// How many requests have their final response. Changed with the lock held.
    answered: AtomicU64,
    /// Whether hyper has written nothing since it last had everything sent: only then does what comes next begin a
    /// response, and not the rest of one. Known to the connection's own task alone.
    idle: AtomicBool,
    metrics: Arc<Metrics>,
}

impl Interims {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            waiting: Mutex::default(),
            any: AtomicBool::new(false),
            answered: AtomicU64::new(0),
            idle: AtomicBool::new(true),
            metrics,
        }
    }

    /// Passes on what the server says to this request before its final response. To be called in the connection's task.
    pub(super) async fn follow(self: &Arc<Self>, request: &mut Request<Body>) {
        let waker = poll_fn(|context| Poll::Ready(context.waker().clone())).await;
        let (interims, number) = (self.clone(), self.answered.load(Ordering::Relaxed));
        hyper::ext::on_informational(request, move |response| {
            // The proxy itself asks the client to continue, when it reads the body.
            if response.status() != StatusCode::CONTINUE {
                interims.push(number, response.status(), response.headers());
                waker.wake_by_ref();
            }
        });
    }

    fn push(&self, number: u64, status: StatusCode, headers: &HeaderMap) {
        let head = head(status, headers.clone());
        let mut waiting = self.lock();
        let late = self.answered.load(Ordering::Relaxed) != number;
        if late || waiting.len() + head.len() > MAX_HEADERS as usize {
            drop(waiting);
            self.metrics.interims_dropped(1);
            tracing::debug!(%status, late, "interim response dropped");
            return;
        }
        waiting.extend_from_slice(&head);
        self.any.store(true, Ordering::Release);
    }

    /// The final response to the request is about to be written. What waits goes before it where that can be told from
    /// the rest of an earlier response, and else is dropped.
    pub(super) fn answered(&self) {
        let mut waiting = self.lock();
        self.answered.fetch_add(1, Ordering::Relaxed);
        if !waiting.is_empty() && !self.idle.load(Ordering::Relaxed) {
            self.metrics.interims_dropped(count(&waiting));
            *waiting = Vec::new();
            self.any.store(false, Ordering::Relaxed);
        }
    }

    /// hyper writes.
    pub(super) fn written(&self) {
        self.idle.store(false, Ordering::Relaxed);
    }

    /// All that hyper has written is sent.
    pub(super) fn sent(&self) {
        self.idle.store(true, Ordering::Relaxed);
    }

    /// What is to be written now.
    pub(super) fn take(&self) -> Option<Bytes> {
        if !self.any.load(Ordering::Acquire) || !self.idle.load(Ordering::Relaxed) {
            return None;
        }
        let mut waiting = self.lock();
        self.any.store(false, Ordering::Relaxed);
        Some(Bytes::from(std::mem::take(&mut *waiting)))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        // Nothing panics while it is held.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A head as it is written. hyper gives the names in lower case, and without how they were written.
fn head(status: StatusCode, mut headers: HeaderMap) -> Vec<u8> {
    headers::strip(&mut headers, false);
    // RFC 9110, section 8.6: there is none.
    headers.remove(CONTENT_LENGTH);
    let reason = status.canonical_reason().unwrap_or_default();
    let mut head = format!("HTTP/1.1 {} {reason}\r\n", status.as_str()).into_bytes();
    for (name, value) in &headers {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            head.extend_from_slice(part);
        }
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// How many heads these are.
fn count(heads: &[u8]) -> u64 {
    heads.windows(4).filter(|end| end == b"\r\n\r\n").count() as u64
}

#[cfg(test)]
mod tests;
