//! What a request must be before any rule looks at it, and the shape in which the rest of the path sees it: one
//! authority, and a target without it. Before it on the path: `http`; after it: `forward`.

use http::header::{HOST, HeaderName};
use http::uri::PathAndQuery;
use http::{Method, StatusCode, Uri, Version};

use super::{X_REQUEST_ID, headers};
use crate::balance::random;
use crate::http1::{MAX_FIELDS, Misframed, misframed};
use crate::message::{Request, text};

pub(super) const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// A request that is not routed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) status: StatusCode,
    pub(super) why: &'static str,
    /// Envoy's word for it, where it has one.
    pub(super) details: &'static str,
}

/// Refuses what cannot be routed with certainty; otherwise says what the target and Host together mean in one way:
/// in HTTP/1 by Host alone, in HTTP/2 by the authority alone. The target's authority wins (RFC 9112, section 3.2.2;
/// RFC 9113, section 8.3.1). The target's scheme is kept beside it, for the rules that ask for it.
pub(super) fn admit(request: &mut Request) -> Result<(), Refused> {
    // In HTTP/1 it has not been read.
    if request.headers.len() > MAX_FIELDS {
        return Err(Refused {
            status: StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            why: "there are more than 100 headers",
            details: "http2.too_many_headers",
        });
    }
    let bad = |why| Err(refused(why, ""));
    // It may be an attempt to smuggle a request.
    if let Some(misframed) = misframed(&request.headers) {
        return Err(match misframed {
            Misframed::Twice => refused(misframed.why(), "http1.content_length_and_chunked_not_allowed"),
            Misframed::Coding => Refused {
                status: StatusCode::NOT_IMPLEMENTED,
                ..refused(misframed.why(), "http1.invalid_transfer_encoding")
            },
        });
    }
    if request.headers.all(&HOST).nth(1).is_some() {
        return bad("there is more than one Host header");
    }
    if request.version == Version::HTTP_2 {
        if !headers::authority(request) {
            return bad("neither :authority nor Host names a host");
        }
        request.headers.remove(HOST);
        let authority = request.uri.authority().map_or("", |authority| authority.as_str());
        if !is_host(authority.as_bytes()) {
            return bad("the authority is not a host and a port");
        }
        return Ok(());
    }
    let tunnel = request.method == Method::CONNECT;
    // RFC 9112, section 3.2: each form of a target has its methods.
    if tunnel && request.uri.authority().is_none() {
        return bad("the target of CONNECT is not a host and a port");
    }
    if !tunnel && request.uri.authority().is_some() && request.uri.scheme().is_none() {
        return bad("the target is neither a path nor a URI");
    }
    if request.uri.path() == "*" && request.method != Method::OPTIONS {
        return bad("only OPTIONS may ask for *");
    }
    if let Some(authority) = request.uri.authority() {
        request.headers.set(&HOST, authority.as_str());
        if !tunnel {
            request.scheme = request.uri.scheme().cloned();
            let path = request.uri.path_and_query().cloned();
            request.uri = Uri::from(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
        }
    } else if request.version == Version::HTTP_11 && !request.headers.contains(HOST) {
        return bad("there is no Host header");
    }
    match request.headers.get(HOST) {
        Some(host) if !is_host(host) => bad("Host is not a host and a port"),
        _ => Ok(()),
    }
}

/// Whether all of it may be in a host and a port (RFC 3986, section 3.2): no user, no path, no white space. One may be empty.
fn is_host(authority: &[u8]) -> bool {
    let may_be = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%:[]".contains(byte);
    authority.iter().all(may_be)
}

fn refused(why: &'static str, details: &'static str) -> Refused {
    Refused {
        status: StatusCode::BAD_REQUEST,
        why,
        details,
    }
}

/// Names the request, for logs and traces, and says how it came, unless somebody before has done so. Gives the name.
pub(super) fn identify(request: &mut Request) -> &str {
    let headers = &mut request.headers;
    if !headers.contains(X_FORWARDED_PROTO) {
        headers.add(&X_FORWARDED_PROTO, "http");
    }
    if !headers.contains(X_REQUEST_ID) {
        headers.add(&X_REQUEST_ID, uuid(random(), random()));
    }
    headers.get(X_REQUEST_ID).and_then(text).unwrap_or_default()
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// A random UUID (RFC 9562, section 5.4).
fn uuid(high: u64, low: u64) -> [u8; 36] {
    let (high, low) = (high & !0xf000 | 0x4000, low >> 2 | 1 << 63);
    let digits = u128::from(high) << 64 | u128::from(low);
    let mut text = [b'-'; 36];
    let mut at = 0;
    for byte in digits.to_be_bytes() {
        if matches!(at, 8 | 13 | 18 | 23) {
            at += 1;
        }
        text[at] = DIGITS[usize::from(byte >> 4)];
        text[at + 1] = DIGITS[usize::from(byte & 0xf)];
        at += 2;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};

    #[test]
    fn authorities() {
        let one = |version, target: &str, hosts: &[&'static str]| {
            let mut request = http::Request::get(target).version(version);
            for host in hosts {
                request = request.header(HOST, *host);
            }
            let mut request = Request::from(request.body(()).unwrap().into_parts().0);
            admit(&mut request)
                .map(|()| format!("{} {}", request.uri, request.headers.text(HOST).unwrap_or("-")))
        };
        let (h1, h10, h2) = (Version::HTTP_11, Version::HTTP_10, Version::HTTP_2);
        for (version, target, hosts, expected) in [
            (h1, "/a?b", vec!["a"], Some("/a?b a")),
            (h1, "http://b:80/a%20?b", vec!["a"], Some("/a%20?b b:80")),
            (h1, "http://b", vec![], Some("/ b")),
            (h1, "/", vec![], None),
            (h1, "/", vec![""], Some("/ ")),
            (h1, "/", vec!["[::1]:80"], Some("/ [::1]:80")),
            (h1, "/", vec!["a b"], None),
            (h1, "/", vec!["a/b"], None),
            (h1, "/", vec!["b@a"], None),
            (h1, "http://b@a/", vec!["a"], None),
            (h1, "b", vec!["a"], None),
            (h1, "*", vec!["a"], None),
            (h2, "http://b@a/", vec![], None),
            (h1, "/", vec!["a", "b"], None),
            (h10, "/", vec![], Some("/ -")),
            (h2, "http://b/a", vec!["a"], Some("http://b/a -")),
            (h2, "/a", vec!["a"], Some("http://a/a -")),
            (h2, "/a", vec![], None),
            (h2, "/a", vec!["a", "b"], None),
        ] {
            let found = one(version, target, &hosts);
            assert_eq!(found.as_deref().ok(), expected, "{version:?} {target} {hosts:?}");
        }
    }

    #[test]
    fn too_many_headers_are_431() {
        let mut request = http::Request::get("/");
        for number in 0..=MAX_FIELDS {
            request = request.header("x-many", number);
        }
        let mut request = Request::from(request.body(()).unwrap().into_parts().0);
        assert_eq!(admit(&mut request).unwrap_err().status.as_u16(), 431);
    }

    #[test]
    fn framings() {
        let chunked = || (TRANSFER_ENCODING, "chunked");
        for (fields, refused) in [
            (vec![], None),
            (vec![chunked()], None),
            (vec![(TRANSFER_ENCODING, "Chunked")], None),
            (vec![(CONTENT_LENGTH, "1")], None),
            (vec![chunked(), (CONTENT_LENGTH, "1")], Some(400)),
            (vec![(CONTENT_LENGTH, "1"), chunked()], Some(400)),
            (vec![(TRANSFER_ENCODING, "gzip, chunked")], Some(501)),
            (vec![chunked(), chunked()], Some(501)),
        ] {
            let mut request = http::Request::post("/").header(HOST, "a");
            for (name, value) in &fields {
                request = request.header(name, *value);
            }
            let mut request = Request::from(request.body(()).unwrap().into_parts().0);
            let found = admit(&mut request).err().map(|refused| refused.status.as_u16());
            assert_eq!(found, refused, "{fields:?}");
        }
    }

    #[test]
    fn a_request_is_named_once() {
        let mut request = Request::from(http::Request::get("/").body(()).unwrap().into_parts().0);
        let first = identify(&mut request).to_owned();
        assert_eq!(identify(&mut request), first);
        assert_eq!(request.headers.text("x-forwarded-proto"), Some("http"));
        assert_eq!(&uuid(u64::MAX, u64::MAX), b"ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(&uuid(0, 0), b"00000000-0000-4000-8000-000000000000");
        let (high, low) = (0x0123_4567_89ab_cdef, 0x0123_4567_89ab_cdef);
        assert_eq!(&uuid(high, low), b"01234567-89ab-4def-8048-d159e26af37b");
    }
}
