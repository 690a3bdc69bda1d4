//! What became of one try. Belongs to `tries`; before it: `pool`.

use std::error::Error as _;
use std::io;

use http::{Request, Response};

use super::headers;
use super::reply::NOT_DELIVERED;
use super::spare::Spare;
use crate::body::Body;
use crate::pool::SendError;

/// What became of one try.
pub(super) enum Outcome {
    Answered(Response<Body>),
    /// To be sent once more on another connection to the same endpoint: the request is in its place.
    Stale,
    /// No connection: the request is in its place.
    NotConnected(String),
    /// Its proxy says that the application does not listen.
    NotDelivered,
    /// The server says that it has not begun.
    Refused(String),
    Broken(String),
    /// What the server says is not HTTP.
    Malformed(String),
    TimedOut,
    /// By the client, in the middle of its body.
    BrokenRequest(String),
    Overflow(String),
}

impl Outcome {
    /// `may_be_stale`: a kept connection that was just being closed is no failure yet.
    /// `request` is the place that it was sent from.
    pub(super) fn of(
        sent: Result<Response<Body>, SendError>,
        request: &mut Request<Body>,
        spare: Option<&Spare>,
        may_be_stale: bool,
    ) -> Self {
        match sent {
            Ok(response) => match headers::misframed(response.headers()) {
                None => Self::Answered(response),
                Some(misframed) => Self::Malformed(format!("in the response {}", misframed.why())),
            },
            Err(SendError::Unsent(_)) if may_be_stale => Self::Stale,
            Err(error @ (SendError::Connect(_) | SendError::Unsent(_))) => {
                Self::NotConnected(error.to_string())
            }
            Err(SendError::Broken { error, reused }) => {
                let stale = may_be_stale && reused && closed_before_answer(&error);
                let again = spare.filter(|spare| stale && spare.is_repeatable());
                if let Some(again) = again.and_then(|spare| spare.clone().request()) {
                    *request = again;
                    return Self::Stale;
                }
                if error.is_user() {
                    return Self::BrokenRequest(format!("the request's body broke off: {error}"));
                }
                if error.is_parse() {
                    return Self::Malformed(format!("the response cannot be read: {error}"));
                }
                let why = format!("connection broke before the response: {error}");
                if refused(&error) {
                    Self::Refused(why)
                } else {
                    Self::Broken(why)
                }
            }
            Err(SendError::Overflow(overflow)) => Self::Overflow(overflow.to_string()),
        }
    }

    /// The same for a pod that may have a proxy, which says if its application got nothing.
    pub(super) fn at_another_pod(
        sent: Result<Response<Body>, SendError>,
        request: &mut Request<Body>,
        spare: Option<&Spare>,
        may_be_stale: bool,
    ) -> Self {
        match Self::of(sent, request, spare, may_be_stale) {
            Self::Answered(mut response) => {
                let undelivered = response.headers_mut().remove(NOT_DELIVERED).is_some();
                if undelivered && spare.is_some() {
                    Self::NotDelivered
                } else {
                    Self::Answered(response)
                }
            }
            other => other,
        }
    }
}

/// The server closed a kept connection while this request was on its way, or says that it has not begun it:
/// nobody has read it, or will say so.
fn closed_before_answer(error: &hyper::Error) -> bool {
    if refused(error) {
        return true;
    }
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            return error.get_io().is_some_and(closed);
        }
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return closed(error);
        }
        source = error.source();
    }
    error.is_incomplete_message() || error.is_closed() || error.is_canceled()
}

/// HTTP/2's ways to say that a request has not been begun (RFC 9113, section 8.7).
fn refused(error: &hyper::Error) -> bool {
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            return error.reason() == Some(h2::Reason::REFUSED_STREAM)
                || error.is_go_away() && error.is_remote();
        }
        source = error.source();
    }
    false
}

fn closed(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof};
    matches!(
        error.kind(),
        BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected | UnexpectedEof
    )
}
