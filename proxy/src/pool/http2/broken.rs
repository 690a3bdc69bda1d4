//! What hyper and h2 say of a request that has no response.

use std::error::Error as _;
use std::io;

use crate::pool::Broken;

pub(super) fn how(error: &hyper::Error) -> Broken {
    if error.is_user() {
        Broken::Request
    } else if refused(error) {
        Broken::Refused
    } else if closed(error) {
        Broken::Closed
    } else if error.is_parse() {
        Broken::Malformed
    } else {
        Broken::Otherwise
    }
}

/// The same for a person.
pub(super) fn why(error: &hyper::Error) -> String {
    match how(error) {
        Broken::Request => format!("the request's body broke off: {error}"),
        Broken::Malformed => format!("the response cannot be read: {error}"),
        _ => format!("connection broke before the response: {error}"),
    }
}

/// The server closed the connection while this request was on its way.
fn closed(error: &hyper::Error) -> bool {
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            return error.get_io().is_some_and(closes);
        }
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return closes(error);
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

fn closes(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof};
    matches!(
        error.kind(),
        BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected | UnexpectedEof
    )
}
