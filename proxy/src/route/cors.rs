//! What browsers may ask of a route from pages of other origins (the Fetch standard's CORS protocol, with the
//! semantics of Istio's corsPolicy). Used by `http::forward`.

use http::Method;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_METHOD, HeaderName, HeaderValue, ORIGIN,
};

use super::Invalid;
use super::text::Text;
use crate::message::{Fields, Request};
use crate::protocol::mesh;

/// Who may ask, and for what.
#[derive(Debug)]
pub struct Cors {
    origins: Vec<Text>,
    /// What every response gets beside the origin.
    response: Vec<(HeaderName, HeaderValue)>,
    /// What the answer to a preflight gets beside that.
    preflight: Vec<(HeaderName, HeaderValue)>,
    forward_unmatched_preflights: bool,
}

/// What a request is to a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Crossing {
    /// Not from an origin that the policy allows: it goes on, and its response is left alone.
    None,
    /// Its response tells the browser that the page at this origin may read it.
    Allowed(Vec<u8>),
    /// The browser's question whether it may ask, from an allowed origin: answered at once.
    Preflight(Vec<u8>),
    /// The same from another one, where the rule says that these do not go on: answered without permission.
    UnmatchedPreflight,
}

impl Cors {
    pub(super) fn new(published: mesh::Cors) -> Result<Self, Invalid> {
        let list = |name: HeaderName, values: Vec<String>| -> Result<_, Invalid> {
            let joined = values.join(",");
            let value =
                HeaderValue::from_str(&joined).map_err(|_| Invalid::Header(name.to_string(), joined))?;
            Ok((!value.is_empty()).then_some((name, value)))
        };
        let credentials = (published.allow_credentials == Some(true))
            .then_some((ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true")));
        let expose = list(ACCESS_CONTROL_EXPOSE_HEADERS, published.expose_headers)?;
        let methods = list(ACCESS_CONTROL_ALLOW_METHODS, published.allow_methods)?;
        let headers = list(ACCESS_CONTROL_ALLOW_HEADERS, published.allow_headers)?;
        let max_age = published
            .max_age_seconds
            .map(|seconds| (ACCESS_CONTROL_MAX_AGE, seconds.into()));
        let origins = published.allow_origins.into_iter().map(Text::new);
        Ok(Self {
            origins: origins.collect::<Result<_, _>>()?,
            response: credentials.into_iter().chain(expose).collect(),
            preflight: methods.into_iter().chain(headers).chain(max_age).collect(),
            forward_unmatched_preflights: published.forward_unmatched_preflights,
        })
    }

    /// What a request is to this policy.
    pub(crate) fn crossing(&self, request: &Request) -> Crossing {
        let Some(origin) = request.headers.get(ORIGIN).filter(|origin| !origin.is_empty()) else {
            return Crossing::None;
        };
        let asks = request.headers.get(ACCESS_CONTROL_REQUEST_METHOD);
        let preflight = request.method == Method::OPTIONS && asks.is_some_and(|method| !method.is_empty());
        let allowed = self.origins.iter().any(|text| text.holds(origin));
        match (allowed, preflight) {
            (true, true) => Crossing::Preflight(origin.to_vec()),
            (true, false) => Crossing::Allowed(origin.to_vec()),
            (false, true) if !self.forward_unmatched_preflights => Crossing::UnmatchedPreflight,
            (false, _) => Crossing::None,
        }
    }

    /// Writes the permission, in the place of what the application may have said.
    pub(crate) fn permit(&self, crossing: &Crossing, headers: &mut Fields) {
        let (origin, preflight) = match crossing {
            Crossing::Allowed(origin) => (origin, [].as_slice()),
            Crossing::Preflight(origin) => (origin, self.preflight.as_slice()),
            Crossing::None | Crossing::UnmatchedPreflight => return,
        };
        headers.set(&ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        for (name, value) in self.response.iter().chain(preflight) {
            headers.set(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mesh::string_match::Kind;

    fn cors(forward_unmatched_preflights: bool) -> Cors {
        let origin = |kind| mesh::StringMatch { kind: Some(kind) };
        Cors::new(mesh::Cors {
            allow_origins: vec![
                origin(Kind::Exact("https://a.com".into())),
                origin(Kind::Regex(r"https://.*\.b\.com".into())),
            ],
            allow_methods: vec!["GET".into(), "PUT".into()],
            allow_headers: vec!["x-a".into()],
            expose_headers: vec!["x-b".into()],
            max_age_seconds: Some(60),
            allow_credentials: Some(true),
            forward_unmatched_preflights,
        })
        .unwrap()
    }

    fn crossing(cors: &Cors, method: &str, headers: &[(&str, &str)]) -> Crossing {
        let mut request = http::Request::builder().method(method);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        cors.crossing(&request.body(()).unwrap().into_parts().0.into())
    }

    #[test]
    fn crossings() {
        let origin = |origin: &str| origin.as_bytes().to_vec();
        let asks = ("access-control-request-method", "PUT");
        let (a, b, c) = ("https://a.com", "https://x.b.com", "https://c.com");
        for (forward, method, headers, expected) in [
            (true, "GET", vec![], Crossing::None),
            (true, "GET", vec![("origin", a)], Crossing::Allowed(origin(a))),
            (true, "GET", vec![("origin", b)], Crossing::Allowed(origin(b))),
            (true, "GET", vec![("origin", c)], Crossing::None),
            (true, "OPTIONS", vec![("origin", a)], Crossing::Allowed(origin(a))),
            (
                true,
                "OPTIONS",
                vec![("origin", a), asks],
                Crossing::Preflight(origin(a)),
            ),
            (true, "OPTIONS", vec![asks], Crossing::None),
            (true, "OPTIONS", vec![("origin", c), asks], Crossing::None),
            (
                false,
                "OPTIONS",
                vec![("origin", c), asks],
                Crossing::UnmatchedPreflight,
            ),
        ] {
            let cors = cors(forward);
            assert_eq!(
                crossing(&cors, method, &headers),
                expected,
                "{method} {headers:?}"
            );
        }
    }

    #[test]
    fn permissions() {
        let cors = cors(true);
        let written = |crossing: Crossing| {
            let mut headers = Fields::from_iter([(&ACCESS_CONTROL_ALLOW_ORIGIN, "*")]);
            cors.permit(&crossing, &mut headers);
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            let line = |(name, value): (&[u8], &[u8])| {
                let name = text(name);
                let name = name.trim_start_matches("access-control-");
                format!("{name}: {}", text(value))
            };
            let mut lines: Vec<String> = headers.iter().map(line).collect();
            lines.sort();
            lines
        };
        let origin = b"https://a.com".to_vec();
        let allowed = [
            "allow-credentials: true",
            "allow-origin: https://a.com",
            "expose-headers: x-b",
        ];
        assert_eq!(written(Crossing::Allowed(origin.clone())), allowed);
        let preflight = [
            "allow-credentials: true",
            "allow-headers: x-a",
            "allow-methods: GET,PUT",
            "allow-origin: https://a.com",
            "expose-headers: x-b",
            "max-age: 60",
        ];
        assert_eq!(written(Crossing::Preflight(origin)), preflight);
        assert_eq!(written(Crossing::None), ["allow-origin: *"]);
    }
}
