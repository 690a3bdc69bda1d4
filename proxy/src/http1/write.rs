//! Heads and chunks, as they are written.

use std::io::Write as _;

use http::{HeaderMap, StatusCode, Version};

use crate::message::{Fields, Request};

/// Behind the data of a chunk.
pub(super) const CHUNK_END: &[u8] = b"\r\n";
/// Behind the data of the last chunk that has any.
pub(super) const LAST_CHUNK_END: &[u8] = b"\r\n0\r\n\r\n";
/// The end of a body without trailers.
pub(super) const END: &[u8] = b"0\r\n\r\n";

/// The first line of a request. A target that `admission` has seen is a path, an authority or `*`.
pub(super) fn request_line(to: &mut Vec<u8>, request: &Request) {
    to.extend_from_slice(request.method.as_str().as_bytes());
    to.push(b' ');
    let uri = &request.uri;
    let target = match (uri.scheme(), uri.authority(), uri.path_and_query()) {
        // Of a query alone the path is missing.
        (None, None, Some(path)) => Some(path.as_str()).filter(|path| path.starts_with(['/', '*'])),
        (None, Some(authority), None) => Some(authority.as_str()),
        _ => None,
    };
    match target {
        Some(target) => to.extend_from_slice(target.as_bytes()),
        // Writing to memory does not fail.
        None => drop(write!(to, "{uri}")),
    }
    to.extend_from_slice(match request.version {
        Version::HTTP_10 => b" HTTP/1.0\r\n",
        _ => b" HTTP/1.1\r\n",
    });
}

/// The first line of a response.
pub(super) fn status_line(to: &mut Vec<u8>, version: Version, status: StatusCode, reason: Option<&[u8]>) {
    to.extend_from_slice(match version {
        Version::HTTP_10 => b"HTTP/1.0 ",
        _ => b"HTTP/1.1 ",
    });
    to.extend_from_slice(status.as_str().as_bytes());
    to.push(b' ');
    let usual = || status.canonical_reason().unwrap_or_default().as_bytes();
    to.extend_from_slice(reason.unwrap_or_else(usual));
    to.extend_from_slice(b"\r\n");
}

/// Header lines, without the empty line behind them.
pub(super) fn fields(to: &mut Vec<u8>, fields: &Fields) {
    for (name, value) in fields.iter() {
        field(to, name, value);
    }
}

/// One line.
pub(super) fn field(to: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    to.extend_from_slice(name);
    to.extend_from_slice(b": ");
    to.extend_from_slice(value);
    to.extend_from_slice(b"\r\n");
}

/// The end of a body with trailers.
pub(super) fn trailers(to: &mut Vec<u8>, trailers: &HeaderMap) {
    to.extend_from_slice(b"0\r\n");
    for (name, value) in trailers {
        field(to, name.as_str().as_bytes(), value.as_bytes());
    }
    to.extend_from_slice(b"\r\n");
}

/// What comes before the data of a chunk.
pub(super) fn chunk_size(to: &mut Vec<u8>, length: usize) {
    // Writing to memory does not fail.
    let _ = write!(to, "{length:X}\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{Method, Uri};

    #[test]
    fn request_lines() {
        for (target, version, expected) in [
            ("/a%2Fb?c", Version::HTTP_11, "GET /a%2Fb?c HTTP/1.1\r\n"),
            ("*", Version::HTTP_11, "GET * HTTP/1.1\r\n"),
            ("b:443", Version::HTTP_11, "GET b:443 HTTP/1.1\r\n"),
            ("http://b/x", Version::HTTP_10, "GET http://b/x HTTP/1.0\r\n"),
        ] {
            let request = Request {
                method: Method::GET,
                uri: Uri::from_static(target),
                version,
                scheme: None,
                headers: Fields::default(),
            };
            let mut line = Vec::new();
            request_line(&mut line, &request);
            assert_eq!(String::from_utf8(line).unwrap(), expected);
        }
    }

    #[test]
    fn status_lines() {
        for (status, reason, expected) in [
            (200, None, "HTTP/1.1 200 OK\r\n"),
            (200, Some("Fine"), "HTTP/1.1 200 Fine\r\n"),
            (299, None, "HTTP/1.1 299 \r\n"),
        ] {
            let mut line = Vec::new();
            let status = StatusCode::from_u16(status).unwrap();
            status_line(&mut line, Version::HTTP_11, status, reason.map(str::as_bytes));
            assert_eq!(String::from_utf8(line).unwrap(), expected);
        }
    }
}
