//! The head of a response for the request that it answers, and how its body is framed.

use http::header::{CONNECTION, CONTENT_LENGTH, DATE, TRANSFER_ENCODING};
use http::{Method, StatusCode, Version};
use http_body::Body as _;

use super::output::Framed;
use super::{date, framing, head, write};
use crate::body::Body;
use crate::message::Response;

/// What a response depends on of its request.
#[derive(Debug)]
pub(super) struct Last {
    pub(super) method: Method,
    pub(super) version: Version,
    /// Whether another request may follow.
    pub(super) keep: bool,
}

impl Last {
    /// Of a request that could not be read: it is the last.
    pub(super) fn unknown() -> Self {
        Self {
            method: Method::GET,
            version: Version::HTTP_11,
            keep: false,
        }
    }
}

/// How to write a response.
pub(super) struct Answer {
    pub(super) head: Vec<u8>,
    pub(super) framed: Framed,
    /// Whether another request may follow.
    pub(super) keep: bool,
}

/// `keep` is whether another request could follow. A body that the client is not to get is taken off.
pub(super) fn answer(asked: &Last, keep: bool, response: &mut Response) -> Answer {
    let framed = frame(asked, response);
    let headers = &response.headers;
    let keep = keep && framed != Framed::UntilClose && !head::says(headers, "close");
    let mut text = Vec::with_capacity(512);
    write::status_line(
        &mut text,
        asked.version,
        response.status,
        response.reason.as_deref(),
    );
    write::fields(&mut text, headers);
    if !headers.contains(DATE) {
        write::field(&mut text, b"date", &date::now());
    }
    let old = asked.version != Version::HTTP_11;
    if !keep && !old && !response.body.is_tunnel() && !headers.contains(CONNECTION) {
        write::field(&mut text, b"connection", b"close");
    }
    text.extend_from_slice(b"\r\n");
    Answer {
        head: text,
        framed,
        keep,
    }
}

/// RFC 9112, section 6.
fn frame(asked: &Last, response: &mut Response) -> Framed {
    let Response {
        status,
        headers,
        body,
        ..
    } = response;
    let known = body.size_hint().exact();
    if !framing::has_body(&asked.method, *status) {
        // RFC 9110, section 8.6. To HEAD and in 304 it is that of what is not sent.
        if *status == StatusCode::NO_CONTENT || body.is_tunnel() {
            headers.remove(CONTENT_LENGTH);
        } else if let Some(length @ 1..) = known
            && !headers.contains(CONTENT_LENGTH)
        {
            headers.set(&CONTENT_LENGTH, length.to_string());
        }
        if !body.is_tunnel() {
            *body = Body::default();
        }
        return Framed::Length(0);
    }
    match (framing::said(headers), known) {
        (Some(said), _) => Framed::Length(said),
        (None, Some(known)) => {
            headers.set(&CONTENT_LENGTH, known.to_string());
            Framed::Length(known)
        }
        (None, None) if asked.version == Version::HTTP_11 => {
            headers.set(&TRANSFER_ENCODING, "chunked");
            Framed::Chunked
        }
        (None, None) => Framed::UntilClose,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc;

    fn streamed() -> Body {
        Body::fed(mpsc::channel(1).1)
    }

    /// The status, the fields but for the date, how the body is framed, and whether the connection stays.
    fn answered(asked: &str, status: u16, header: &str, body: Body) -> String {
        let (method, version) = match asked.strip_suffix(" 1.0") {
            Some(method) => (method, Version::HTTP_10),
            None => (asked, Version::HTTP_11),
        };
        let asked = Last {
            method: method.parse().unwrap(),
            version,
            keep: true,
        };
        let mut response = Response::of(StatusCode::from_u16(status).unwrap(), body);
        if let Some((name, value)) = header.split_once(": ") {
            response.headers.add(&name.parse().unwrap(), value);
        }
        let Answer { head, framed, keep } = answer(&asked, true, &mut response);
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.strip_suffix("\r\n\r\n").unwrap().split("\r\n");
        let status = &lines.next().unwrap()[9..12];
        let (dates, fields): (Vec<_>, Vec<_>) = lines.partition(|line| line.starts_with("date: "));
        assert_eq!(dates.len(), 1, "{head}");
        let then = if keep { "stays" } else { "closes" };
        match fields.is_empty() {
            true => format!("{status}: {framed:?}, {then}"),
            false => format!("{status} {}: {framed:?}, {then}", fields.join(", ")),
        }
    }

    #[test]
    fn answers() {
        let (none, hi) = (Body::default, || Body::text("hi"));
        for (found, expected) in [
            (
                answered("GET", 200, "", hi()),
                "200 content-length: 2: Length(2), stays",
            ),
            (
                answered("GET", 200, "", none()),
                "200 content-length: 0: Length(0), stays",
            ),
            (
                answered("GET", 200, "", streamed()),
                "200 transfer-encoding: chunked: Chunked, stays",
            ),
            (
                answered("GET", 200, "content-length: 2", streamed()),
                "200 content-length: 2: Length(2), stays",
            ),
            (
                answered("GET 1.0", 200, "", streamed()),
                "200: UntilClose, closes",
            ),
            (
                answered("HEAD", 200, "", hi()),
                "200 content-length: 2: Length(0), stays",
            ),
            (answered("HEAD", 200, "", none()), "200: Length(0), stays"),
            (
                answered("HEAD", 200, "content-length: 9", none()),
                "200 content-length: 9: Length(0), stays",
            ),
            (
                answered("GET", 204, "content-length: 0", none()),
                "204: Length(0), stays",
            ),
            (
                answered("GET", 304, "content-length: 9", none()),
                "304 content-length: 9: Length(0), stays",
            ),
            (
                answered("CONNECT", 405, "", hi()),
                "405 content-length: 2: Length(2), stays",
            ),
            (
                answered("GET", 200, "connection: close", none()),
                "200 connection: close, content-length: 0: Length(0), closes",
            ),
        ] {
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn a_client_is_told_that_it_is_the_last() {
        let asked = Last {
            method: Method::GET,
            version: Version::HTTP_11,
            keep: true,
        };
        let mut response = Response::new(Body::default());
        let text = String::from_utf8(answer(&asked, false, &mut response).head).unwrap();
        assert!(text.ends_with("connection: close\r\n\r\n"), "{text}");
    }
}
