//! The conditions of one match that only the request can meet, in the published form.

use outrigger_proxy::protocol::mesh;
use outrigger_proxy::protocol::mesh::string_match::Kind;

use crate::api::{HttpMatchRequest, StringMatch};

/// A regular expression that no text matches, for conditions that cannot be honoured.
const NEVER: &str = r"[^\s\S]";

pub(super) fn published(condition: &HttpMatchRequest) -> mesh::HttpMatch {
    // HTTP/2 has the request's line as headers, and Istio lets rules ask for it in that way too.
    let line = |field: &Option<StringMatch>, header: &str| {
        let given = field.as_ref().or_else(|| condition.headers.get(header));
        given.and_then(text)
    };
    let headers = condition
        .headers
        .iter()
        .filter(|(name, _)| !name.starts_with(':'));
    mesh::HttpMatch {
        // Every path begins with a slash: Istio takes this for no condition as well.
        uri: condition.uri.as_ref().and_then(text).filter(
            |uri| !matches!(&uri.kind, Some(Kind::Prefix(prefix)) if prefix.is_empty() || prefix == "/"),
        ),
        scheme: line(&condition.scheme, ":scheme"),
        method: line(&condition.method, ":method"),
        authority: line(&condition.authority, ":authority"),
        headers: headers
            .map(|(name, value)| header(&name.to_ascii_lowercase(), value))
            .collect(),
        without_headers: condition
            .without_headers
            .iter()
            .map(|(name, value)| header(&name.to_ascii_lowercase(), value))
            .collect(),
        query_params: condition
            .query_params
            .iter()
            .map(|(name, value)| header(name, value))
            .collect(),
        ignore_uri_case: condition.ignore_uri_case,
        name: condition.name.clone().unwrap_or_default(),
    }
}

/// Whether it holds for every request.
pub(super) fn takes_all(published: &mesh::HttpMatch) -> bool {
    *published
        == mesh::HttpMatch {
            name: published.name.clone(),
            ignore_uri_case: published.ignore_uri_case,
            ..Default::default()
        }
}

pub(super) fn never() -> mesh::HttpMatch {
    mesh::HttpMatch {
        uri: Some(mesh::StringMatch {
            kind: Some(Kind::Regex(NEVER.to_owned())),
        }),
        ..Default::default()
    }
}

fn header(name: &str, value: &StringMatch) -> mesh::HeaderMatch {
    mesh::HeaderMatch {
        name: name.to_owned(),
        value: text(value),
    }
}

/// `None` for a condition that asks for presence alone.
pub(super) fn text(given: &StringMatch) -> Option<mesh::StringMatch> {
    let exact = given.exact.clone().map(Kind::Exact);
    let prefix = || given.prefix.clone().map(Kind::Prefix);
    let regex = || given.regex.clone().map(Kind::Regex);
    exact
        .or_else(prefix)
        .or_else(regex)
        .map(|kind| mesh::StringMatch { kind: Some(kind) })
}
