//! Where a message's body ends (RFC 9112, section 6.3). Wherever two readers could see it end in different places, it is
//! refused: what one takes for a body the other would take for a request.

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{Method, StatusCode, Version};

use super::Error;
use crate::message::Fields;

/// How a body on the wire is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// So many bytes.
    Length(u64),
    Chunked,
    /// Until the connection is closed.
    UntilClose,
}

impl Framing {
    /// There is none.
    pub(super) const NONE: Self = Self::Length(0);

    /// Of a request. Both a length and chunks are let through here, as chunks, for `admission` to refuse in words.
    pub(super) fn of_request(version: Version, headers: &mut Fields) -> Result<Self, Error> {
        let length = length(headers, false)?;
        match headers.all(&TRANSFER_ENCODING).last() {
            None => Ok(length.map_or(Self::NONE, Self::Length)),
            Some(_) if version == Version::HTTP_10 => {
                Err(Error::Framing("this version has no Transfer-Encoding"))
            }
            Some(codings) if ends_in_chunked(codings) => Ok(Self::Chunked),
            Some(_) => Err(Error::Framing("the last Transfer-Encoding is not chunked")),
        }
    }

    /// Of a final response to a request of this method.
    pub(super) fn of_response(
        method: &Method,
        status: StatusCode,
        version: Version,
        headers: &mut Fields,
    ) -> Result<Self, Error> {
        if let Some(misframed) = misframed(headers) {
            return Err(Error::Framing(misframed.why()));
        }
        if !has_body(method, status) {
            return Ok(Self::NONE);
        }
        if headers.contains(TRANSFER_ENCODING) {
            return match version {
                Version::HTTP_10 => Err(Error::Framing("this version has no Transfer-Encoding")),
                _ => Ok(Self::Chunked),
            };
        }
        Ok(length(headers, true)?.map_or(Self::UntilClose, Self::Length))
    }
}

/// Whether a response may have a body (RFC 9112, section 6.3, cases 1 and 2).
pub(super) fn has_body(method: &Method, status: StatusCode) -> bool {
    let none = method == Method::HEAD
        || method == Method::CONNECT && status.is_success()
        || status.is_informational()
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    !none
}

/// The one length that all of Content-Length say; of several one is left. A list is let through only where that is said.
fn length(headers: &mut Fields, list: bool) -> Result<Option<u64>, Error> {
    let (mut length, mut count) = (None, 0);
    for value in headers.all(&CONTENT_LENGTH) {
        for number in value.split(|byte| list && *byte == b',') {
            let number = digits(number.trim_ascii());
            let number = number.ok_or(Error::Framing("Content-Length is not a number"))?;
            if length.is_some_and(|length| length != number) {
                return Err(Error::Framing("there are two Content-Lengths"));
            }
            length = Some(number);
            count += 1;
        }
    }
    if let (Some(length), 2..) = (length, count) {
        headers.set(&CONTENT_LENGTH, length.to_string());
    }
    Ok(length)
}

/// The length that a message says of itself, if `length` has let it through.
pub(super) fn said(headers: &Fields) -> Option<u64> {
    headers.get(CONTENT_LENGTH).and_then(digits)
}

fn digits(text: &[u8]) -> Option<u64> {
    let plain = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    plain
        .then(|| std::str::from_utf8(text).ok()?.parse().ok())
        .flatten()
}

fn ends_in_chunked(codings: &[u8]) -> bool {
    let last = codings.rsplit(|byte| *byte == b',').next();
    last.is_some_and(|last| last.trim_ascii().eq_ignore_ascii_case(b"chunked"))
}

/// Why a message's end could be seen differently by two readers, or its body be read as another than it is: there is a
/// length besides a transfer coding, or a coding other than `chunked` alone, which nothing behind would know of (RFC 9112,
/// sections 6.1 and 6.3).
pub(crate) fn misframed(headers: &Fields) -> Option<Misframed> {
    let mut codings = headers.all(&TRANSFER_ENCODING);
    let coding = codings.next()?;
    if headers.contains(CONTENT_LENGTH) {
        return Some(Misframed::Twice);
    }
    let chunked = coding.eq_ignore_ascii_case(b"chunked") && codings.next().is_none();
    (!chunked).then_some(Misframed::Coding)
}

/// See [`misframed`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Misframed {
    Twice,
    Coding,
}

impl Misframed {
    pub(crate) fn why(self) -> &'static str {
        match self {
            Self::Twice => "there is both a Content-Length and a Transfer-Encoding",
            Self::Coding => "the Transfer-Encoding is not chunked alone",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(all: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::default();
        for (name, value) in all {
            fields.add(&name.parse().unwrap(), value);
        }
        fields
    }

    const LENGTH: &str = "content-length";
    const CODING: &str = "transfer-encoding";

    #[test]
    fn requests() {
        use Framing::{Chunked, Length};
        for (headers, expected) in [
            (&[][..], Some(Length(0))),
            (&[(LENGTH, "2")], Some(Length(2))),
            (&[(LENGTH, "2"), (LENGTH, "2")], Some(Length(2))),
            (&[(LENGTH, "2"), (LENGTH, "3")], None),
            (&[(LENGTH, "2, 2")], None),
            (&[(LENGTH, "")], None),
            (&[(LENGTH, "+2")], None),
            (&[(LENGTH, "18446744073709551616")], None),
            (&[(CODING, "Chunked")], Some(Chunked)),
            (&[(CODING, "gzip, chunked")], Some(Chunked)),
            (&[(CODING, "chunked, gzip")], None),
            (&[(CODING, "chunked"), (CODING, "gzip")], None),
            (&[(CODING, "")], None),
            (&[(CODING, "chunked"), (LENGTH, "2")], Some(Chunked)),
        ] {
            let found = Framing::of_request(Version::HTTP_11, &mut fields(headers));
            assert_eq!(found.ok(), expected, "{headers:?}");
        }
        let old = Framing::of_request(Version::HTTP_10, &mut fields(&[(CODING, "chunked")]));
        assert!(old.is_err());
    }

    #[test]
    fn responses() {
        use Framing::{Chunked, Length, UntilClose};
        for (method, status, headers, expected) in [
            (Method::GET, 200, &[][..], Some(UntilClose)),
            (Method::GET, 200, &[(LENGTH, "2, 2")], Some(Length(2))),
            (Method::GET, 200, &[(LENGTH, "2, 3")], None),
            (Method::GET, 200, &[(CODING, "chunked")], Some(Chunked)),
            (Method::GET, 200, &[(CODING, "gzip")], None),
            (Method::GET, 200, &[(CODING, "chunked"), (LENGTH, "2")], None),
            (Method::HEAD, 200, &[(LENGTH, "2")], Some(Length(0))),
            (Method::GET, 204, &[], Some(Length(0))),
            (Method::GET, 304, &[(LENGTH, "2")], Some(Length(0))),
            (Method::CONNECT, 200, &[], Some(Length(0))),
            (Method::CONNECT, 403, &[(LENGTH, "2")], Some(Length(2))),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            let found = Framing::of_response(&method, status, Version::HTTP_11, &mut fields(headers));
            assert_eq!(found.ok(), expected, "{method} {status} {headers:?}");
        }
    }

    #[test]
    fn of_several_lengths_one_is_left() {
        let mut twice = fields(&[(LENGTH, "2"), ("a", "b"), (LENGTH, "02")]);
        Framing::of_request(Version::HTTP_11, &mut twice).unwrap();
        assert_eq!(twice.all(LENGTH).collect::<Vec<_>>(), [b"2"]);
        assert_eq!(said(&twice), Some(2));
    }
}
