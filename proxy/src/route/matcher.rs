//! One match of a route, made ready, and whether it holds for a request.

use std::borrow::Cow;
use std::fmt;

use http::header::HOST;
use http::uri::Scheme;
use http::{HeaderName, Uri};

use super::condition::Condition;
use super::path::canonical;
use super::text::Text;
use crate::message::Request;
use crate::protocol::mesh;

/// All that is set must hold.
#[derive(Debug)]
pub struct Match {
    /// The name that its author gave it, for logs.
    pub name: String,
    /// That on the path comes first.
    conditions: Vec<Condition>,
}

/// Why a match cannot be made ready.
#[derive(Debug, thiserror::Error)]
pub enum InvalidMatch {
    /// The regular expression does not compile, or is too large.
    #[error("regex {0:?}: {1}")]
    Regex(String, String),
    /// Not a header's name.
    #[error("{0:?} is not a header name")]
    Header(String),
    /// Sent by a control plane that knows more kinds of match than this proxy does.
    #[error("a kind of match that this version does not know")]
    Unknown,
}

/// A request as matches see it; made once for all of a service's.
pub(super) struct Asked<'a> {
    pub(super) request: &'a Request,
    /// In its canonical form, without the query.
    pub(super) path: Cow<'a, str>,
    pub(super) authority: &'a [u8],
    pub(super) scheme: &'a str,
}

impl<'a> Asked<'a> {
    pub(super) fn new(request: &'a Request) -> Self {
        Self {
            path: canonical(request.uri.path()),
            authority: authority(request),
            scheme: scheme(request),
            request,
        }
    }
}

/// The authority as the client wrote it: that of the target before that of the Host header (RFC 9112, section 3.2.2).
pub(crate) fn authority(request: &Request) -> &[u8] {
    authority_of(&request.uri, request.headers.get(HOST))
}

/// The same of a target and a Host header.
pub(crate) fn authority_of<'a>(target: &'a Uri, host: Option<&'a [u8]>) -> &'a [u8] {
    match target.authority() {
        Some(authority) => authority.as_str().as_bytes(),
        None => host.unwrap_or_default(),
    }
}

/// The scheme that the client wrote, or that of a connection without TLS. Of HTTP/1's absolute form it is what `admission` has
/// kept beside the target.
pub(super) fn scheme(request: &Request) -> &str {
    let kept = || request.scheme.as_ref().map(Scheme::as_str);
    request.uri.scheme_str().or_else(kept).unwrap_or("http")
}

impl Match {
    /// Makes a published match ready.
    ///
    /// # Errors
    /// See [`InvalidMatch`].
    pub fn new(published: mesh::HttpMatch) -> Result<Self, InvalidMatch> {
        let text = |text: Option<mesh::StringMatch>| text.map(Text::new).transpose();
        let name = |header: &mesh::HeaderMatch| {
            let name = HeaderName::from_bytes(header.name.as_bytes());
            name.map_err(|_| InvalidMatch::Header(header.name.clone()))
        };
        let case = published.ignore_uri_case;
        let whole = [
            text(published.uri)?.map(|text| Condition::Uri(text, case)),
            text(published.method)?.map(Condition::Method),
            text(published.scheme)?.map(Condition::Scheme),
            text(published.authority)?.map(Condition::Authority),
        ];
        let mut conditions: Vec<_> = whole.into_iter().flatten().collect();
        for header in published.headers {
            conditions.push(Condition::Header(name(&header)?, text(header.value)?));
        }
        for header in published.without_headers {
            conditions.push(Condition::WithoutHeader(name(&header)?, text(header.value)?));
        }
        for param in published.query_params {
            conditions.push(Condition::QueryParam(param.name, text(param.value)?));
        }
        Ok(Self {
            name: published.name,
            conditions,
        })
    }

    /// Whether the request is meant.
    pub(super) fn holds(&self, asked: &Asked<'_>) -> bool {
        self.conditions.iter().all(|condition| condition.holds(asked))
    }

    /// The first condition that does not hold, and what the request has instead.
    pub(super) fn unmet(&self, asked: &Asked<'_>) -> Option<String> {
        let mut conditions = self.conditions.iter();
        let unmet = conditions.find(|condition| !condition.holds(asked))?;
        Some(format!("{unmet}: {}", unmet.found(asked)))
    }
}

/// Its conditions, for a person.
impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let conditions: Vec<_> = self.conditions.iter().map(Condition::to_string).collect();
        match conditions.is_empty() {
            true => f.write_str("every request"),
            false => f.write_str(&conditions.join(" and ")),
        }
    }
}

impl Match {
    /// What of the path it covers: a prefix, `/` where it says nothing of the path, or `None` for all of it.
    pub(super) fn prefix(&self) -> Option<&str> {
        match self.conditions.first() {
            Some(Condition::Uri(Text::Prefix(prefix), _)) => Some(prefix),
            Some(Condition::Uri(Text::Exact(_) | Text::Regex(..), _)) => None,
            _ => Some("/"),
        }
    }
}

/// The first value of a query parameter, as written; one without `=` is empty.
pub(crate) fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    let mut parameters = query
        .split('&')
        .map(|one| one.split_once('=').unwrap_or((one, "")));
    parameters
        .find(|(found, _)| *found == name)
        .map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mesh::string_match::Kind;

    fn exact(text: &str) -> Option<mesh::StringMatch> {
        let kind = Some(Kind::Exact(text.into()));
        Some(mesh::StringMatch { kind })
    }

    fn prefix(text: &str) -> Option<mesh::StringMatch> {
        let kind = Some(Kind::Prefix(text.into()));
        Some(mesh::StringMatch { kind })
    }

    fn named(name: &str, value: Option<mesh::StringMatch>) -> mesh::HeaderMatch {
        let name = name.into();
        mesh::HeaderMatch { name, value }
    }

    /// A method, a target and headers, as in "GET /a x: 1, y: 2".
    fn request(request: &str) -> Request {
        let mut words = request.splitn(3, ' ');
        let (method, target) = (words.next().unwrap(), words.next().unwrap());
        let mut builder = http::Request::builder().method(method).uri(target);
        let headers = words.next().into_iter().flat_map(|headers| headers.split(", "));
        for (name, value) in headers.filter_map(|header| header.split_once(": ")) {
            builder = builder.header(name, value);
        }
        builder.body(()).unwrap().into_parts().0.into()
    }

    fn holds(published: &mesh::HttpMatch, line: &str) -> bool {
        let ready = Match::new(published.clone()).unwrap();
        ready.holds(&Asked::new(&request(line)))
    }

    #[test]
    fn matches() {
        let any = mesh::HttpMatch::default;
        let uri = |uri| mesh::HttpMatch { uri, ..any() };
        let headers = |headers| mesh::HttpMatch { headers, ..any() };
        let without = |without_headers| mesh::HttpMatch {
            without_headers,
            ..any()
        };
        let params = |query_params| mesh::HttpMatch {
            query_params,
            ..any()
        };
        let any_case = |uri| mesh::HttpMatch {
            uri,
            ignore_uri_case: true,
            ..any()
        };
        let method = |method| mesh::HttpMatch { method, ..any() };
        let scheme = |scheme| mesh::HttpMatch { scheme, ..any() };
        let authority = |authority| mesh::HttpMatch { authority, ..any() };
        let two = headers(vec![named("end-user", exact("jason")), named("x-any", None)]);
        for (published, request, expected) in [
            (uri(exact("/a")), "GET /a?b=1", true),
            (uri(exact("/a")), "GET /A", false),
            (uri(exact("/admin")), "GET /x/%2e./admin", true),
            (uri(prefix("/admin")), "GET /public/../admin/a", true),
            (uri(prefix("/public")), "GET /public/../admin/a", false),
            (any_case(exact("/a")), "GET /A", true),
            (any_case(prefix("/Api")), "GET /aPI/x", true),
            (method(exact("GET")), "GET /", true),
            (method(exact("GET")), "POST /", false),
            (method(prefix("P")), "PATCH /", true),
            (scheme(exact("http")), "GET /", true),
            (scheme(exact("http")), "GET https://a/", false),
            (scheme(exact("https")), "GET https://a/", true),
            (authority(exact("a:80")), "GET / host: a:80", true),
            (authority(exact("a")), "GET / host: a:80", false),
            (authority(prefix("a")), "GET / host: a:80", true),
            (authority(exact("a")), "GET http://a/ host: b", true),
            (authority(exact("a")), "GET /", false),
            (two.clone(), "GET / end-user: jason, x-any: ", true),
            (
                two.clone(),
                "GET / end-user: ann, end-user: jason, x-any: 1",
                true,
            ),
            (two.clone(), "GET / end-user: jason", false),
            (two, "GET / end-user: jasons, x-any: 1", false),
            (without(vec![named("x", None)]), "GET /", true),
            (without(vec![named("x", None)]), "GET / x: 1", false),
            (without(vec![named("x", exact("1"))]), "GET / x: 2", true),
            (without(vec![named("x", exact("1"))]), "GET / x: 2, x: 1", false),
            (
                without(vec![named("x", exact("1")), named("y", None)]),
                "GET / y: 1",
                false,
            ),
            (params(vec![named("v", exact("2"))]), "GET /?v=2", true),
            (params(vec![named("v", exact("2"))]), "GET /?a=1&v=2&v=3", true),
            (params(vec![named("v", exact("3"))]), "GET /?v=2&v=3", false),
            (params(vec![named("v", exact("2"))]), "GET /?V=2", false),
            (params(vec![named("v", exact("a b"))]), "GET /?v=a%20b", false),
            (params(vec![named("v", exact("a%20b"))]), "GET /?v=a%20b", true),
            (params(vec![named("v", exact(""))]), "GET /?v", true),
            (params(vec![named("v", None)]), "GET /?v", true),
            (params(vec![named("v", None)]), "GET /?vv=1", false),
            (params(vec![named("v", None)]), "GET /", false),
            (any(), "OPTIONS *", true),
        ] {
            assert_eq!(holds(&published, request), expected, "{published:?} {request}");
        }
    }

    #[test]
    fn what_is_unmet_is_said() {
        let any = mesh::HttpMatch::default;
        let kind = Some(Kind::Regex("a|b".into()));
        let regex = Some(mesh::StringMatch { kind });
        let published = mesh::HttpMatch {
            uri: prefix("/v2"),
            ignore_uri_case: true,
            method: exact("GET"),
            scheme: exact("http"),
            authority: exact("a"),
            headers: vec![named("x", regex), named("y", None)],
            without_headers: vec![named("z", exact("1"))],
            query_params: vec![named("q", exact("1"))],
            ..any()
        };
        let ready = Match::new(published).unwrap();
        assert_eq!(
            ready.to_string(),
            "uri prefix \"/v2\" in any case and method exact \"GET\" and scheme exact \"http\" and authority exact \"a\" \
             and header x regex \"a|b\" and header y present and without header z exact \"1\" and query parameter q exact \"1\""
        );
        assert_eq!(Match::new(any()).unwrap().to_string(), "every request");
        let all = "host: a, x: b, y: ";
        for (line, headers, expected) in [
            ("GET /V2?q=1", all, None),
            (
                "GET /hello",
                all,
                Some("uri prefix \"/v2\" in any case: the path is \"/hello\""),
            ),
            (
                "POST /v2",
                all,
                Some("method exact \"GET\": the method is \"POST\""),
            ),
            (
                "GET https://a/v2",
                all,
                Some("scheme exact \"http\": the scheme is \"https\""),
            ),
            (
                "GET /v2",
                "host: a:80",
                Some("authority exact \"a\": the authority is \"a:80\""),
            ),
            (
                "GET /v2",
                "host: a, x: c, x: d",
                Some("header x regex \"a|b\": the request has \"c\" and \"d\""),
            ),
            (
                "GET /v2",
                "host: a, x: a",
                Some("header y present: the request has none"),
            ),
            (
                "GET /v2",
                "host: a, x: a, y: 1, z: 1",
                Some("without header z exact \"1\": the request has \"1\""),
            ),
            (
                "GET /v2?q=2",
                all,
                Some("query parameter q exact \"1\": the request has \"2\""),
            ),
            (
                "GET /v2",
                all,
                Some("query parameter q exact \"1\": the request has none"),
            ),
        ] {
            let request = request(&format!("{line} {headers}"));
            let asked = Asked::new(&request);
            assert_eq!(ready.unmet(&asked).as_deref(), expected, "{line} {headers}");
            assert_eq!(ready.holds(&asked), expected.is_none(), "{line} {headers}");
        }
    }

    #[test]
    fn what_is_no_header_is_refused() {
        for (headers, without_headers) in [
            (vec![named("a b", None)], vec![]),
            (vec![], vec![named(":method", None)]),
        ] {
            let published = mesh::HttpMatch {
                headers,
                without_headers,
                ..Default::default()
            };
            assert!(matches!(Match::new(published), Err(InvalidMatch::Header(_))));
        }
    }
}
