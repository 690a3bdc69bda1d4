//! What it takes to send a request once more. Belongs to `tries`.

use crate::body::{Body, Kept};
use crate::message::Request;

/// Where a request's body comes from if it is sent again.
#[derive(Debug, Clone, Copy)]
pub(super) enum Repeat<'a> {
    /// There is none.
    Empty,
    Kept(&'a Kept),
    /// It can be sent only once.
    Never,
}

impl Repeat<'_> {
    /// Whether it could have been sent twice from the beginning.
    pub(super) fn is_possible(&self) -> bool {
        !matches!(self, Self::Never)
    }

    /// Whether it may be sent twice without being asked: doing it twice is the same as doing it once (RFC 9110, section
    /// 9.2.2), and there is no body that somebody may have begun to read.
    pub(super) fn may_go_unasked(&self, request: &Request) -> bool {
        matches!(self, Self::Empty) && request.method.is_idempotent()
    }

    /// Whether there still is all of it.
    pub(super) fn is_whole(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Kept(kept) => kept.is_whole(),
            Self::Never => false,
        }
    }

    /// The body from its beginning; `None` if there is no longer all of it.
    pub(super) fn body(&self) -> Option<Body> {
        match self {
            Self::Empty => Some(Body::default()),
            Self::Kept(kept) => kept.again(),
            Self::Never => None,
        }
    }
}
