//! What a route makes of a request's path and authority. Used by `http::forward` before the request goes on.

use ::regex::bytes::Regex;
use http::Uri;
use http::header::HeaderValue;
use http::uri::PathAndQuery;

use super::path::canonical;
use super::regex::search;
use super::{Invalid, InvalidMatch, Match};
use crate::protocol::mesh;

/// What takes the place of what the client wrote.
#[derive(Debug)]
pub struct Rewrite {
    path: Option<Path>,
    /// The new authority.
    pub authority: Option<HeaderValue>,
}

#[derive(Debug)]
enum Path {
    /// Of what the match covers.
    Covered(String),
    /// Of every place where the expression matches.
    Regex(Regex, String),
}

impl Rewrite {
    pub(super) fn new(published: mesh::Rewrite) -> Result<Self, Invalid> {
        let authority = HeaderValue::from_str(&published.authority)
            .map_err(|_| Invalid::Header("authority".into(), published.authority.clone()))?;
        let path = if !published.regex_match.is_empty() {
            let regex = search(&published.regex_match)
                .map_err(|why| InvalidMatch::Regex(published.regex_match, why))?;
            Some(Path::Regex(regex, replacement(&published.regex_rewrite)))
        } else {
            (!published.uri.is_empty()).then_some(Path::Covered(published.uri))
        };
        Ok(Self {
            path,
            authority: (!authority.is_empty()).then_some(authority),
        })
    }

    /// The new path with the query that the request had, or `None` if it stays. A path that a target cannot be made
    /// of stays as well: the request is not what the author of the rule had in mind.
    pub(crate) fn path(&self, target: &Uri, by: Option<&Match>) -> Option<PathAndQuery> {
        let rewrite = self.path.as_ref();
        // `*` and CONNECT's target are no paths.
        let path = match rewrite.filter(|_| target.path().starts_with('/'))? {
            Path::Covered(with) => covered(target.path(), by, with),
            Path::Regex(regex, with) => {
                let path = canonical(target.path());
                let replaced = regex.replace_all(path.as_bytes(), with.as_bytes());
                String::from_utf8(replaced.into_owned()).ok()?
            }
        };
        let path = match target.query() {
            Some(query) => format!("{path}?{query}"),
            None => path,
        };
        path.starts_with('/').then(|| path.try_into().ok()).flatten()
    }
}

/// The path with `with` in the place of what the match covers: its prefix, or all of it. Without a match on the path
/// that is the prefix `/`, by which Istio's routes take everything. What is kept is what the client wrote, unless
/// only the canonical form begins with the prefix.
pub(super) fn covered(path: &str, by: Option<&Match>, with: &str) -> String {
    let Some(prefix) = by.map_or(Some("/"), Match::prefix) else {
        return with.to_owned();
    };
    let begins = |path: &str| {
        let start = path.get(..prefix.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    let path = if begins(path) {
        path.into()
    } else {
        canonical(path)
    };
    format!("{with}{}", path.get(prefix.len()..).unwrap_or_default())
}

/// RE2's `\1` in the words of the regex crate: `${1}`.
fn replacement(re2: &str) -> String {
    let mut ours = String::with_capacity(re2.len());
    let mut characters = re2.chars();
    while let Some(character) = characters.next() {
        match character {
            '$' => ours.push_str("$$"),
            '\\' => match characters.next() {
                Some(digit) if digit.is_ascii_digit() => ours.push_str(&format!("${{{digit}}}")),
                Some('$') => ours.push_str("$$"),
                Some(other) => ours.push(other),
                None => {}
            },
            other => ours.push(other),
        }
    }
    ours
}

#[cfg(test)]
mod tests {
    use super::*;
    use mesh::string_match::Kind;

    fn by(kind: Option<Kind>) -> Match {
        Match::new(mesh::HttpMatch {
            uri: kind.map(|kind| mesh::StringMatch { kind: Some(kind) }),
            ..Default::default()
        })
        .unwrap()
    }

    #[test]
    fn paths() {
        let prefix = |text: &str| Some(by(Some(Kind::Prefix(text.into()))));
        let exact = |text: &str| Some(by(Some(Kind::Exact(text.into()))));
        let regex = |text: &str| Some(by(Some(Kind::Regex(text.into()))));
        for (by, with, target, expected) in [
            (
                prefix("/ratings"),
                "/v1/ratings",
                "/ratings/1?a=b",
                "/v1/ratings/1?a=b",
            ),
            (prefix("/ratings"), "/", "/ratings/1", "//1"),
            (prefix("/ratings/"), "/", "/ratings/1", "/1"),
            (prefix("/a"), "/b", "/a/%2e/c", "/b/%2e/c"),
            (prefix("/a"), "/b", "/x/../a/c", "/b/c"),
            (exact("/a"), "/b", "/a?q", "/b?q"),
            (regex("/[a-z]+"), "/b", "/abc?q", "/b?q"),
            (None, "/", "/a/b", "/a/b"),
            (None, "/v1/", "/a/b", "/v1/a/b"),
            (Some(super::tests::by(None)), "/v1/", "/a/b", "/v1/a/b"),
        ] {
            let rewrite = Rewrite::new(mesh::Rewrite {
                uri: with.into(),
                ..Default::default()
            });
            let path = rewrite.unwrap().path(&target.parse().unwrap(), by.as_ref());
            assert_eq!(path.unwrap(), expected, "{target} {with}");
        }
    }

    #[test]
    fn regular_expressions() {
        for (regex, with, target, expected) in [
            (
                "^/service/([^/]+)(/.*)$",
                r"\2/instance/\1",
                "/service/foo/v1/api?q",
                Some("/v1/api/instance/foo?q"),
            ),
            ("one", "two", "/xxx/one/yyy/one/zzz", Some("/xxx/two/yyy/two/zzz")),
            ("^(.*?)one(.*)$", r"\1$two\2", "/x/one/y", Some("/x/$two/y")),
            ("a", r"\\", "/a", Some("/\\")),
            ("nothing", "x", "/a", Some("/a")),
            ("^/a$", "no slash", "/a", None),
        ] {
            let rewrite = Rewrite::new(mesh::Rewrite {
                regex_match: regex.into(),
                regex_rewrite: with.into(),
                ..Default::default()
            });
            let path = rewrite.unwrap().path(&target.parse().unwrap(), None);
            assert_eq!(
                path.as_ref().map(PathAndQuery::as_str),
                expected,
                "{regex} {target}"
            );
        }
        let broken = mesh::Rewrite {
            regex_match: "(".into(),
            ..Default::default()
        };
        assert!(Rewrite::new(broken).is_err());
    }
}
