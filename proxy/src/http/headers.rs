//! Headers that change from one connection to the next: hop-by-hop ones, which must not reach it (RFC 9110, section
//! 7.6.1), and what it needs of framing and authority.

use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, TE, TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::uri::{PathAndQuery, Scheme};
use http::{Uri, Version};

use super::X_REQUEST_ID;
use super::admission::X_FORWARDED_PROTO;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// What `Connection` may not take off, whoever names it: the next server needs it, or the proxy says it. It is for fields
/// between two neighbours only (RFC 9110, section 7.6.1).
static NOT_HOP_BY_HOP: [HeaderName; 4] = [HOST, CONTENT_LENGTH, X_REQUEST_ID, X_FORWARDED_PROTO];

static HOP_BY_HOP: [HeaderName; 6] = [
    CONNECTION,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Removes what is hop-by-hop, and what `Connection` names. `upgrade` keeps what a switch of protocols needs.
pub(super) fn strip(headers: &mut HeaderMap, upgrade: bool) {
    // Most messages have none of these: to look through the names once is cheaper than to look each of them up.
    let present = headers.keys().filter(|name| HOP_BY_HOP.contains(name));
    let present: Vec<HeaderName> = present.cloned().collect();
    if present.is_empty() {
        return;
    }
    let named: Vec<HeaderName> = options(headers)
        .filter(|option| {
            !["close", "keep-alive"]
                .iter()
                .any(|word| option.eq_ignore_ascii_case(word))
        })
        .filter_map(|option| option.parse().ok())
        .filter(|name| !NOT_HOP_BY_HOP.contains(name))
        .collect();
    // `trailers` is all that may be asked for over HTTP/2 (RFC 9113, section 8.2.2), and gRPC does.
    let mut asked = headers.get_all(TE).iter().filter_map(|value| value.to_str().ok());
    let trailers = present.contains(&TE)
        && asked.any(|value| {
            let mut options = value.split(',').map(str::trim);
            options.any(|option| option.eq_ignore_ascii_case("trailers"))
        });
    for name in present.into_iter().chain(named) {
        if !(upgrade && name == UPGRADE) {
            headers.remove(name);
        }
    }
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    if upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    }
}

/// Why a message's end could be seen differently by two readers, or its body be read as another than it is: there is a
/// length besides a transfer coding, or a coding other than `chunked` alone, which nothing behind would know of (RFC 9112,
/// sections 6.1 and 6.3).
pub(super) fn misframed(headers: &HeaderMap) -> Option<Misframed> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let coding = codings.next()?;
    if headers.contains_key(CONTENT_LENGTH) {
        return Some(Misframed::Twice);
    }
    let chunked = coding.as_bytes().eq_ignore_ascii_case(b"chunked") && codings.next().is_none();
    (!chunked).then_some(Misframed::Coding)
}

/// See [`misframed`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Misframed {
    Twice,
    Coding,
}

impl Misframed {
    pub(super) fn why(self) -> &'static str {
        match self {
            Self::Twice => "there is both a Content-Length and a Transfer-Encoding",
            Self::Coding => "the Transfer-Encoding is not chunked alone",
        }
    }
}

/// Says that a body follows where only the framing did: hyper sends none with a GET whose headers do not.
pub(super) fn frame(request: &mut Parts, body: bool) {
    if body && request.version == Version::HTTP_11 && !request.headers.contains_key(CONTENT_LENGTH) {
        request
            .headers
            .insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
}

/// Gives an HTTP/2 request that only has a `Host`, as one that was HTTP/1 before may, its authority (RFC 9113,
/// section 8.3.1). False if there is neither.
pub(super) fn authority(request: &mut Parts) -> bool {
    if request.version != Version::HTTP_2 || request.uri.authority().is_some() {
        return true;
    }
    let Some(host) = request.headers.get(HOST) else {
        return false;
    };
    let path = request.uri.path_and_query().cloned();
    let uri = Uri::builder()
        .scheme(Scheme::HTTP)
        .authority(host.as_bytes())
        .path_and_query(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
    uri.build().map(|uri| request.uri = uri).is_ok()
}

/// Writes the authority anew, where this version of HTTP has it. One that a target cannot be made of changes nothing.
pub(super) fn set_authority(request: &mut Parts, authority: &HeaderValue) {
    if request.version != Version::HTTP_2 {
        request.headers.insert(HOST, authority.clone());
        return;
    }
    let path = request.uri.path_and_query().cloned();
    let uri = Uri::builder()
        .scheme(request.uri.scheme().cloned().unwrap_or(Scheme::HTTP))
        .authority(authority.as_bytes())
        .path_and_query(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
    match uri.build() {
        Ok(uri) => request.uri = uri,
        Err(error) => tracing::warn!(?authority, %error, "not an authority; the request's stays"),
    }
}

/// Writes the path and the query anew.
pub(super) fn set_path(request: &mut Parts, path: PathAndQuery) {
    let mut uri = std::mem::take(&mut request.uri).into_parts();
    uri.path_and_query = Some(path);
    // Parts that have been a target, with another path, are one again.
    request.uri = Uri::from_parts(uri).unwrap_or_default();
}

/// The options that `Connection` lists, as written.
pub(super) fn options(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|option| !option.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left() {
        for (before, upgrade, after) in [
            (
                vec![("connection", "close"), ("accept", "*/*")],
                false,
                vec!["accept: */*"],
            ),
            (
                vec![
                    ("connection", "keep-alive, X-Hop"),
                    ("x-hop", "1"),
                    ("x-end", "2"),
                ],
                false,
                vec!["x-end: 2"],
            ),
            (
                vec![("te", "gzip, Trailers"), ("keep-alive", "timeout=5")],
                false,
                vec!["te: trailers"],
            ),
            (vec![("te", "gzip")], false, vec![]),
            (
                vec![
                    ("connection", "host, content-length"),
                    ("host", "a"),
                    ("content-length", "1"),
                ],
                false,
                vec!["content-length: 1", "host: a"],
            ),
            (
                vec![("transfer-encoding", "chunked"), ("proxy-connection", "close")],
                false,
                vec![],
            ),
            (
                vec![("connection", "Upgrade"), ("upgrade", "websocket")],
                true,
                vec!["connection: upgrade", "upgrade: websocket"],
            ),
            (vec![("connection", "Upgrade"), ("upgrade", "h2c")], false, vec![]),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in &before {
                headers.append(*name, HeaderValue::from_static(value));
            }
            strip(&mut headers, upgrade);
            let mut left: Vec<String> = headers
                .iter()
                .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
                .collect();
            left.sort();
            assert_eq!(left, after, "{before:?}");
        }
    }
}
