//! What a client is told before the final response: interim responses (1xx, such as 103 Early Hints; RFC 9110, section
//! 15.2) of the application, and that it may go on with its body. Put here while its request is handled, and written by
//! the connection's own task, which alone writes on it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::header::CONTENT_LENGTH;
use http::{StatusCode, Version};

use super::{MAX_HEAD, write};
use crate::message::Fields;
use crate::metrics::Metrics;

/// The interim responses that wait to be written to one client, as they are written.
#[derive(Debug)]
pub(crate) struct Interims {
    waiting: Mutex<Vec<u8>>,
    /// Whether there are any, so that nobody takes the lock for nothing.
    any: AtomicBool,
    metrics: Arc<Metrics>,
}

impl Interims {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            waiting: Mutex::default(),
            any: AtomicBool::new(false),
            metrics,
        }
    }

    /// Passes one on; `headers` are without those that end here. Dropped and counted if the client does not read what it was
    /// told before.
    pub(super) fn push(&self, status: StatusCode, reason: Option<&[u8]>, headers: &mut Fields) {
        // RFC 9110, section 8.6: there is none.
        headers.remove(CONTENT_LENGTH);
        let mut head = Vec::with_capacity(256);
        write::status_line(&mut head, Version::HTTP_11, status, reason);
        write::fields(&mut head, headers);
        head.extend_from_slice(b"\r\n");
        if !self.add(&head) {
            self.metrics.interims_dropped(1);
            tracing::debug!(%status, "interim response dropped");
        }
    }

    /// Asks for the request's body.
    pub(super) fn ask_to_continue(&self) {
        self.add(b"HTTP/1.1 100 Continue\r\n\r\n");
    }

    fn add(&self, head: &[u8]) -> bool {
        let mut waiting = self.lock();
        if waiting.len() + head.len() > MAX_HEAD {
            return false;
        }
        waiting.extend_from_slice(head);
        self.any.store(true, Ordering::Release);
        true
    }

    /// What is to be written now.
    pub(super) fn take(&self) -> Option<Vec<u8>> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        self.any.store(false, Ordering::Relaxed);
        Some(std::mem::take(&mut *self.lock()))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        // Nothing panics while it is held.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::LINK;

    #[test]
    fn what_is_not_read_is_bounded() {
        let metrics = Arc::new(Metrics::default());
        let interims = Interims::new(metrics);
        let value = "x".repeat(MAX_HEAD / 2);
        for _ in 0..3 {
            let mut headers = Fields::default();
            headers.add(&LINK, &value);
            headers.add(&CONTENT_LENGTH, "3");
            interims.push(StatusCode::EARLY_HINTS, None, &mut headers);
        }
        let head = format!("HTTP/1.1 103 Early Hints\r\nlink: {value}\r\n\r\n");
        assert_eq!(interims.take().map(String::from_utf8), Some(Ok(head)));
        assert!(interims.take().is_none());
        interims.ask_to_continue();
        assert_eq!(
            interims.take().as_deref(),
            Some(&b"HTTP/1.1 100 Continue\r\n\r\n"[..])
        );
    }
}
