//! What became of one try. Belongs to `tries`; before it: `pool`.

use super::repeat::Repeat;
use super::reply::NOT_DELIVERED;
use crate::message::{Request, Response};
use crate::pool::{Broken, SendError};

/// What became of one try.
pub(super) enum Outcome {
    Answered(Response),
    /// To be sent once more on another connection to the same endpoint.
    Stale,
    /// No connection: the body is in its place.
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
    pub(super) fn of(
        sent: Result<Response, SendError>,
        request: &Request,
        repeat: &Repeat<'_>,
        may_be_stale: bool,
    ) -> Self {
        match sent {
            Ok(response) => Self::Answered(response),
            Err(SendError::Unsent(_)) if may_be_stale => Self::Stale,
            Err(error @ (SendError::Connect(_) | SendError::Unsent(_))) => {
                Self::NotConnected(error.to_string())
            }
            Err(SendError::Broken { how, why, reused }) => {
                let closed = matches!(how, Broken::Closed | Broken::Refused);
                if may_be_stale && reused && closed && repeat.may_go_unasked(request) {
                    return Self::Stale;
                }
                match how {
                    Broken::Request => Self::BrokenRequest(why),
                    Broken::Malformed => Self::Malformed(why),
                    Broken::Refused => Self::Refused(why),
                    Broken::Closed | Broken::Otherwise => Self::Broken(why),
                }
            }
            Err(SendError::Overflow(overflow)) => Self::Overflow(overflow.to_string()),
        }
    }

    /// The same for a pod that may have a proxy, which says if its application got nothing.
    pub(super) fn at_another_pod(
        sent: Result<Response, SendError>,
        request: &Request,
        repeat: &Repeat<'_>,
        may_be_stale: bool,
    ) -> Self {
        match Self::of(sent, request, repeat, may_be_stale) {
            Self::Answered(mut response) => {
                let undelivered = response.headers.remove(NOT_DELIVERED);
                if undelivered && repeat.is_possible() {
                    Self::NotDelivered
                } else {
                    Self::Answered(response)
                }
            }
            other => other,
        }
    }
}
