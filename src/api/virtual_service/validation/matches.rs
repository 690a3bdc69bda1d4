//! The conditions of an HTTP rule. Before: `http`.

use super::{port, source};
use crate::api::{Findings, HttpMatchRequest, StringMatch, names};

/// Where a condition may be empty, and what that means.
#[derive(Clone, Copy, PartialEq)]
enum Empty {
    /// Something has to be there.
    No,
    /// An empty prefix holds for every value.
    Prefix,
    /// No condition at all asks for presence.
    Presence,
}

/// With `delegating`, regular expressions are refused, since two of them cannot be merged.
pub(super) fn validate(field: &str, condition: &HttpMatchRequest, delegating: bool, found: &mut Findings) {
    for (name, text, empty) in [
        ("uri", &condition.uri, Empty::Prefix),
        ("scheme", &condition.scheme, Empty::No),
        ("method", &condition.method, Empty::No),
        ("authority", &condition.authority, Empty::No),
    ] {
        if let Some(text) = text {
            string(&format!("{field}.{name}"), text, empty, delegating, found);
        }
    }
    let begin = condition
        .uri
        .as_ref()
        .and_then(|uri| uri.exact.as_ref().or(uri.prefix.as_ref()));
    if begin.is_some_and(|begin| !begin.is_empty() && !begin.starts_with('/')) {
        found.warning(
            format!("{field}.uri"),
            "never holds: every path begins with a slash",
        );
    }
    for (name, text) in &condition.headers {
        let field = format!("{field}.headers.{name}");
        let known = match pseudo(condition, name) {
            Some((_, taken)) if taken => Err(format!("{name} is asked for by its own field already")),
            Some(_) => Ok(()),
            None => header(name),
        };
        if found.check(field.clone(), known).is_some() {
            string(&field, text, Empty::Presence, delegating, found);
        }
        if matches!(name.as_str(), "uri" | "scheme" | "method" | "authority") {
            found.warning(
                field,
                format!("asks for a header of that name; the request's own {name} is a field of the match"),
            );
        }
    }
    for (name, text) in &condition.without_headers {
        let field = format!("{field}.withoutHeaders.{name}");
        if found.check(field.clone(), header(name)).is_some() {
            string(&field, text, Empty::Presence, delegating, found);
        }
    }
    for (name, text) in &condition.query_params {
        let field = format!("{field}.queryParams.{name}");
        if name.is_empty() {
            found.error(field, "needs the name of a parameter");
        } else {
            string(&field, text, Empty::Presence, delegating, found);
        }
    }
    if condition.stat_prefix.is_some() {
        found.warning(
            format!("{field}.statPrefix"),
            "has no effect: there are no statistics of a match",
        );
    }
    port(field, condition.port, found);
    source(
        field,
        &condition.source_labels,
        condition.source_namespace.as_deref(),
        &condition.gateways,
        found,
    );
}

/// The parts of a request's line that HTTP/2 has as headers, and whether the match has a condition on them already.
fn pseudo(condition: &HttpMatchRequest, name: &str) -> Option<(&'static str, bool)> {
    match name {
        ":method" => Some(("method", condition.method.is_some())),
        ":scheme" => Some(("scheme", condition.scheme.is_some())),
        ":authority" => Some(("authority", condition.authority.is_some())),
        _ => None,
    }
}

fn header(name: &str) -> Result<(), String> {
    if name.starts_with("@request.auth.") {
        return Err("claims of a JWT are for gateways alone".to_owned());
    }
    names::header_name(name)
}

fn string(field: &str, text: &StringMatch, empty: Empty, delegating: bool, found: &mut Findings) {
    let checked = match (&text.exact, &text.prefix, &text.regex) {
        (None, None, None) if empty == Empty::Presence => Ok(()),
        (None, Some(prefix), None) if prefix.is_empty() && empty != Empty::Prefix => {
            Err("an empty prefix holds for everything; leave the condition out".to_owned())
        }
        (Some(_), None, None) | (None, Some(_), None) => Ok(()),
        (None, None, Some(_)) if delegating => {
            Err("cannot be a regex where a rule delegates or is delegated to".to_owned())
        }
        (None, None, Some(regex)) => self::regex(regex),
        _ => Err("needs exactly one of exact, prefix and regex".to_owned()),
    };
    found.check(field, checked);
}

/// A regular expression within the limits of the proxy.
pub(super) fn regex(regex: &str) -> Result<(), String> {
    if regex.is_empty() {
        return Err("an empty regex holds for nothing but an empty text".to_owned());
    }
    match outrigger_proxy::route::regex(regex) {
        Ok(_) => Ok(()),
        Err(why) => Err(format!("regex {regex:?}: {why}")),
    }
}

/// A condition on an origin.
pub(super) fn origin(field: &str, text: &StringMatch, found: &mut Findings) {
    string(field, text, Empty::No, false, found);
}
