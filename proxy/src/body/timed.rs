//! The time by which a response's body has to be through. Belongs to `body`.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::future::BoxFuture;

use super::Body;
use crate::alarm::Alarm;

/// Ends when a time has passed.
pub(crate) enum Deadline {
    Alarm(Alarm),
    /// A time that is not known yet.
    Later(BoxFuture<'static, ()>),
}

/// Breaks the body off when `passed` ends before it.
pub(crate) fn timed(mut body: Body, passed: Deadline) -> Body {
    if !body.is_here() {
        body.deadline = Some(Box::new(passed));
    }
    body
}

impl From<Alarm> for Deadline {
    fn from(alarm: Alarm) -> Self {
        Self::Alarm(alarm)
    }
}

impl Deadline {
    /// Ends with this.
    pub(crate) fn new(passed: impl Future<Output = ()> + Send + 'static) -> Self {
        Self::Later(Box::pin(passed))
    }

    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Alarm(alarm) => Pin::new(alarm).poll(context),
            Self::Later(passed) => passed.as_mut().poll(context),
        }
    }
}

impl fmt::Debug for Deadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Deadline")
    }
}
