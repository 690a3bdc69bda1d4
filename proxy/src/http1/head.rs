//! Heads of messages, parsed.

use std::mem::MaybeUninit;

use bytes::Bytes;
use http::header::{CONNECTION, EXPECT};
use http::{Method, StatusCode, Uri, Version};
use httparse::{Header, Status};

use super::framing::Framing;
use super::{Error, MAX_FIELDS, MAX_HEAD, MAX_RESPONSE_HEAD};
use crate::message::{Fields, Request};

/// A request's head, and what it says of its connection.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) request: Request,
    pub(super) framing: Framing,
    /// Whether another request may follow.
    pub(super) keep: bool,
    /// Whether the client waits to be asked for the body (RFC 9110, section 10.1.1).
    pub(super) waits: bool,
}

/// A response's head.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) status: StatusCode,
    pub(super) version: Version,
    /// Where it is not the usual.
    pub(super) reason: Option<Bytes>,
    pub(super) headers: Fields,
}

/// The head at the beginning of these bytes and its length; `None` if it is not whole yet.
pub(super) fn request(bytes: &[u8]) -> Result<Option<(Asked, usize)>, Error> {
    let mut room = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let mut parsed = httparse::Request::new(&mut []);
    let status = parsed.parse_with_uninit_headers(bytes, &mut room);
    let Some(length) = whole(status, bytes, MAX_HEAD)? else {
        return Ok(None);
    };
    let (Some(method), Some(target), Some(version)) = (parsed.method, parsed.path, parsed.version) else {
        return Ok(None);
    };
    let method = Method::from_bytes(method.as_bytes());
    let method = method.map_err(|error| Error::Head(error.to_string()))?;
    let uri = Uri::try_from(target);
    let uri = uri.map_err(|error| Error::Head(format!("the target {target:?}: {error}")))?;
    let version = self::version(version);
    let mut headers = fields(&bytes[..length], parsed.headers);
    let framing = Framing::of_request(version, &mut headers)?;
    // An HTTP/1.0 client's wish to go on may have come through a proxy that knows nothing of it (RFC 9112, appendix C.2.2).
    let keep = version == Version::HTTP_11 && !says(&headers, "close");
    let waits = version == Version::HTTP_11
        && headers
            .get(EXPECT)
            .is_some_and(|expected| expected.eq_ignore_ascii_case(b"100-continue"));
    let request = Request {
        method,
        uri,
        version,
        scheme: None,
        headers,
    };
    Ok(Some((
        Asked {
            request,
            framing,
            keep,
            waits,
        },
        length,
    )))
}

/// The head at the beginning of these bytes and its length; `None` if it is not whole yet.
pub(super) fn response(bytes: &[u8]) -> Result<Option<(Answered, usize)>, Error> {
    let mut room = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let mut parsed = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    let status = config.parse_response_with_uninit_headers(&mut parsed, bytes, &mut room);
    let Some(length) = whole(status, bytes, MAX_RESPONSE_HEAD)? else {
        return Ok(None);
    };
    let (Some(code), Some(reason), Some(version)) = (parsed.code, parsed.reason, parsed.version) else {
        return Ok(None);
    };
    let status = StatusCode::from_u16(code);
    let status = status.map_err(|_| Error::Head(format!("{code} is no status")))?;
    let usual = status.canonical_reason() == Some(reason);
    let answered = Answered {
        status,
        version: self::version(version),
        reason: (!usual).then(|| Bytes::copy_from_slice(reason.as_bytes())),
        headers: fields(&bytes[..length], parsed.headers),
    };
    Ok(Some((answered, length)))
}

impl Answered {
    /// Whether the connection may be used again (RFC 9112, section 9.3).
    pub(super) fn keeps(&self) -> bool {
        match self.version {
            Version::HTTP_11 => !says(&self.headers, "close"),
            _ => says(&self.headers, "keep-alive") && !says(&self.headers, "close"),
        }
    }
}

/// Whether one of the options of Connection is this.
pub(super) fn says(headers: &Fields, option: &str) -> bool {
    headers
        .all(&CONNECTION)
        .flat_map(|value| value.split(|byte| *byte == b','))
        .any(|found| found.trim_ascii().eq_ignore_ascii_case(option.as_bytes()))
}

fn whole(status: httparse::Result<usize>, bytes: &[u8], most: usize) -> Result<Option<usize>, Error> {
    match status {
        Ok(Status::Complete(length)) if length > most => Err(Error::TooLarge(most)),
        Ok(Status::Complete(length)) => Ok(Some(length)),
        Ok(Status::Partial) if bytes.len() > most => Err(Error::TooLarge(most)),
        Ok(Status::Partial) => Ok(None),
        Err(httparse::Error::TooManyHeaders) => Err(Error::TooLarge(most)),
        Err(error) => Err(Error::Head(error.to_string())),
    }
}

fn version(minor: u8) -> Version {
    match minor {
        0 => Version::HTTP_10,
        _ => Version::HTTP_11,
    }
}

fn fields(head: &[u8], parsed: &[Header<'_>]) -> Fields {
    let pairs = parsed.iter().map(|field| (field.name.as_bytes(), field.value));
    Fields::parsed(head, parsed.len(), pairs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::write;
    use proptest::prelude::*;

    #[test]
    fn a_request() {
        let text = b"\r\nGET /a?b HTTP/1.1\r\nHost: a\r\nX-B:  c \r\nExpect: 100-Continue\r\n\r\nrest";
        let (asked, length) = request(text).unwrap().unwrap();
        assert_eq!(&text[length..], b"rest");
        assert_eq!(
            (asked.request.method, asked.request.uri.to_string()),
            (Method::GET, "/a?b".to_owned())
        );
        assert_eq!(asked.request.headers.get("x-b"), Some(&b"c"[..]));
        assert!(asked.keep && asked.waits && asked.framing == Framing::NONE);
        for end in 0..length {
            assert!(request(&text[..end]).unwrap().is_none(), "{end}");
        }
    }

    #[test]
    fn whether_another_may_follow() {
        for (version, connection, expected) in [
            ("1.1", "", true),
            ("1.1", "keep-alive", true),
            ("1.1", "x, Close", false),
            ("1.0", "", false),
            ("1.0", "keep-alive", false),
        ] {
            let text = format!("GET / HTTP/{version}\r\nHost: a\r\nConnection: {connection}\r\n\r\n");
            let (asked, _) = request(text.as_bytes()).unwrap().unwrap();
            assert_eq!(asked.keep, expected, "{version} {connection}");
            let text = format!("HTTP/{version} 200 OK\r\nConnection: {connection}\r\n\r\n");
            let (answered, _) = response(text.as_bytes()).unwrap().unwrap();
            let expected = expected || version == "1.0" && connection == "keep-alive";
            assert_eq!(answered.keeps(), expected, "{version} {connection}");
        }
    }

    #[test]
    fn a_response() {
        let (answered, length) = response(b"HTTP/1.1 200 Fine\r\nA: b\r\n\r\n").unwrap().unwrap();
        assert_eq!((answered.status, length), (StatusCode::OK, 27));
        assert_eq!(answered.reason.as_deref(), Some(&b"Fine"[..]));
        let (usual, _) = response(b"HTTP/1.1 404 Not Found\r\n\r\n").unwrap().unwrap();
        assert!(usual.reason.is_none());
    }

    #[test]
    fn limits() {
        let head = |count: usize, length: usize| {
            let value = "x".repeat(length);
            format!(
                "GET / HTTP/1.1\r\n{}\r\n",
                format!("a: {value}\r\n").repeat(count)
            )
        };
        assert!(request(head(MAX_FIELDS, 8).as_bytes()).unwrap().is_some());
        for large in [
            head(MAX_FIELDS + 1, 8),
            head(1, MAX_HEAD),
            head(1, MAX_HEAD)[..MAX_HEAD + 1].into(),
        ] {
            assert!(matches!(
                request(large.as_bytes()),
                Err(Error::TooLarge(MAX_HEAD))
            ));
        }
    }

    proptest! {
        /// What is taken from a client is written so that it is read as the same again, and as the only thing there is.
        #[test]
        fn what_is_written_is_what_was_read(
            head in "(GET|POST|a) [/*a:?%é ]{1,6} HTTP/1\\.[01]\r?\n([a-zA-Z-]{1,9}: ?[ a-z,\t\r\n:é]{0,12}\r?\n){0,6}\r?\n"
        ) {
            if let Ok(Some((asked, length))) = request(head.as_bytes()) {
                prop_assert!(length <= head.len());
                let mut written = Vec::new();
                write::request_line(&mut written, &asked.request);
                write::fields(&mut written, &asked.request.headers);
                written.extend_from_slice(b"\r\n");
                let (again, whole) = request(&written).unwrap().unwrap();
                prop_assert_eq!(whole, written.len());
                let (one, other) = (asked.request, again.request);
                prop_assert_eq!((one.method, one.uri, one.version), (other.method, other.uri, other.version));
                prop_assert!(one.headers.iter().eq(other.headers.iter()));
            }
        }

        #[test]
        fn nothing_is_too_odd(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (request(&bytes), response(&bytes));
        }
    }
}
