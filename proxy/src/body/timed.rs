//! The time by which a response's body has to be through. Belongs to `body`.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http_body::Body as _;

use super::Body;

/// Ends when a time has passed.
pub(super) struct Deadline(BoxFuture<'static, ()>);

/// Breaks the body off when `passed` ends before it.
pub(crate) fn timed(mut body: Body, passed: BoxFuture<'static, ()>) -> Body {
    if !body.is_end_stream() {
        body.deadline = Some(Deadline(passed));
    }
    body
}

impl Deadline {
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(context)
    }
}

impl fmt::Debug for Deadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Deadline")
    }
}
