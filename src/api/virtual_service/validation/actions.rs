//! What an HTTP rule does with a request: rewrite, redirect, direct response, retries, faults, CORS. Before: `http`.

use base64::Engine;

use super::{fault, matches};
use crate::api::{
    CorsPolicy, Findings, HttpDirectResponse, HttpRedirect, HttpRetry, HttpRewrite, HttpRoute, names,
    parse_duration, retry_on,
};

/// The largest body of a direct response, in bytes; above the second one Istio warns.
const LARGEST_BODY: usize = 1 << 20;
const LARGE_BODY: usize = 100 << 10;
/// RFC 9110, section 9.3, and RFC 5789.
const METHODS: [&str; 9] = [
    "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
];

pub(super) fn validate(field: &str, route: &HttpRoute, found: &mut Findings) {
    if let Some(given) = &route.rewrite {
        rewrite(&format!("{field}.rewrite"), given, found);
    }
    if let Some(given) = &route.redirect {
        redirect(&format!("{field}.redirect"), given, found);
    }
    if let Some(given) = &route.direct_response {
        direct_response(&format!("{field}.directResponse"), given, found);
    }
    if let Some(given) = &route.retries {
        retries(&format!("{field}.retries"), given, found);
    }
    if let Some(given) = &route.fault {
        fault::validate(&format!("{field}.fault"), given, found);
    }
    if let Some(given) = &route.cors_policy {
        cors(&format!("{field}.corsPolicy"), given, found);
    }
}

fn rewrite(field: &str, rewrite: &HttpRewrite, found: &mut Findings) {
    let is_empty = |text: &Option<String>| text.as_ref().is_none_or(String::is_empty);
    let HttpRewrite {
        uri,
        authority,
        uri_regex_rewrite,
    } = rewrite;
    if is_empty(uri) && is_empty(authority) && uri_regex_rewrite.is_none() {
        found.error(field, "needs uri, authority or uriRegexRewrite");
    }
    if let Some(authority) = authority.as_ref().filter(|authority| !authority.is_empty()) {
        found.check(format!("{field}.authority"), http_authority(authority));
    }
    let Some(regex) = uri_regex_rewrite else { return };
    let field = format!("{field}.uriRegexRewrite");
    if !is_empty(uri) {
        found.error(field.clone(), "cannot be beside uri");
    }
    if regex.pattern.is_empty() || regex.rewrite.is_empty() {
        found.error(field, "needs both match and rewrite");
        return;
    }
    if found
        .check(format!("{field}.match"), matches::regex(&regex.pattern))
        .is_none()
    {
        return;
    }
    let groups = outrigger_proxy::route::regex(&regex.pattern).map_or(0, |regex| regex.captures_len() - 1);
    let mut rest = regex.rewrite.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            continue;
        }
        match rest.next() {
            Some('\\') => {}
            Some(digit) if digit.to_digit(10).is_some_and(|digit| digit as usize <= groups) => {}
            Some(digit) if digit.is_ascii_digit() => {
                found.error(
                    format!("{field}.rewrite"),
                    format!("\\{digit}: match has {groups} groups"),
                );
            }
            _ => found.error(
                format!("{field}.rewrite"),
                "a backslash stands before a digit or another one",
            ),
        }
    }
}

fn redirect(field: &str, redirect: &HttpRedirect, found: &mut Findings) {
    let empty = redirect.uri.is_none()
        && redirect.authority.is_none()
        && redirect.scheme.is_none()
        && redirect.port.is_none()
        && redirect.derive_port.is_none();
    if empty {
        found.error(field, "needs uri, authority, scheme, port or derivePort");
    }
    if redirect.port == Some(0) {
        found.error(format!("{field}.port"), "0 is not a port; 1 to 65535 are");
    }
    if redirect.port.is_some() && redirect.derive_port.is_some() {
        found.error(format!("{field}.derivePort"), "cannot be beside port");
    }
    if let Some(scheme) = &redirect.scheme
        && !matches!(scheme.as_str(), "http" | "https")
    {
        found.error(
            format!("{field}.scheme"),
            format!("{scheme:?} is neither http nor https"),
        );
    }
    if let Some(authority) = redirect
        .authority
        .as_ref()
        .filter(|authority| !authority.is_empty())
    {
        found.check(format!("{field}.authority"), http_authority(authority));
    }
    if let Some(code) = redirect.redirect_code
        && !matches!(code, 0 | 301 | 302 | 303 | 307 | 308)
    {
        found.error(
            format!("{field}.redirectCode"),
            format!("{code} is not a redirect; 301, 302, 303, 307 and 308 are"),
        );
    }
}

fn http_authority(text: &str) -> Result<(), String> {
    match text.parse::<::http::uri::Authority>() {
        Ok(_) => Ok(()),
        Err(_) => Err(format!("{text:?} is not a host with or without a port")),
    }
}

fn direct_response(field: &str, response: &HttpDirectResponse, found: &mut Findings) {
    status(&format!("{field}.status"), response.status, found);
    let Some(body) = &response.body else { return };
    let field = format!("{field}.body");
    let size = match (&body.string, &body.bytes) {
        (Some(text), None) => text.len(),
        (None, Some(bytes)) => match base64::engine::general_purpose::STANDARD.decode(bytes) {
            Ok(bytes) => bytes.len(),
            Err(_) => return found.error(format!("{field}.bytes"), "is not base64"),
        },
        _ => return found.error(field, "needs exactly one of string and bytes"),
    };
    if size > LARGEST_BODY {
        found.error(field, format!("has {size} bytes; {LARGEST_BODY} are allowed"));
    } else if size > LARGE_BODY {
        found.warning(
            field,
            format!("has {size} bytes, which every proxy that routes there holds"),
        );
    }
}

pub(super) fn status(field: &str, status: i32, found: &mut Findings) {
    if !(200..=599).contains(&status) {
        found.error(field, format!("{status} is not a status between 200 and 599"));
    }
}

fn retries(field: &str, retries: &HttpRetry, found: &mut Findings) {
    if retries.attempts < 0 {
        found.error(
            format!("{field}.attempts"),
            format!("{} is less than 0", retries.attempts),
        );
    }
    let others = [
        ("perTryTimeout", retries.per_try_timeout.is_some()),
        ("retryOn", retries.retry_on.is_some()),
        ("retryRemoteLocalities", retries.retry_remote_localities.is_some()),
    ];
    for (name, _) in others.iter().filter(|(_, set)| *set && retries.attempts == 0) {
        found.error(
            format!("{field}.{name}"),
            "cannot be beside attempts 0, which is never to retry",
        );
    }
    for (name, duration) in [
        ("perTryTimeout", &retries.per_try_timeout),
        ("backoff", &retries.backoff),
    ] {
        if let Some(duration) = duration {
            found.check(format!("{field}.{name}"), parse_duration(duration));
        }
    }
    let field_on = format!("{field}.retryOn");
    let on = retry_on(retries.retry_on.as_deref().unwrap_or_default());
    if on.conditions.contains(&"retriable-headers") {
        found.warning(
            field_on.clone(),
            "retriable-headers has an effect for requests alone that name headers in x-envoy-retriable-header-names",
        );
    }
    for unknown in on.unknown {
        match unknown {
            "http3-post-connect-failure" => {
                found.warning(field_on.clone(), format!("{unknown} has no effect"));
            }
            _ => found.error(
                field_on.clone(),
                format!("{unknown:?} is neither a status nor a condition such as 5xx, reset, connect-failure or unavailable"),
            ),
        }
    }
}

fn cors(field: &str, cors: &CorsPolicy, found: &mut Findings) {
    for (index, origin) in cors.allow_origins.iter().enumerate() {
        matches::origin(&format!("{field}.allowOrigins[{index}]"), origin, found);
    }
    if !cors.allow_origin.is_empty() {
        let field = format!("{field}.allowOrigin");
        if cors.allow_origins.is_empty() {
            found.warning(field, "is deprecated; use allowOrigins");
        } else {
            found.warning(field, "has no effect beside allowOrigins");
        }
    }
    for (index, method) in cors.allow_methods.iter().enumerate() {
        if method != "*" && !METHODS.contains(&method.as_str()) {
            found.error(
                format!("{field}.allowMethods[{index}]"),
                format!("{method:?} is not a method"),
            );
        }
    }
    for (name, headers) in [
        ("allowHeaders", &cors.allow_headers),
        ("exposeHeaders", &cors.expose_headers),
    ] {
        for (index, header) in headers.iter().enumerate() {
            found.check(format!("{field}.{name}[{index}]"), names::header_name(header));
        }
    }
    if let Some(max_age) = &cors.max_age
        && let Some(duration) = found.check(format!("{field}.maxAge"), parse_duration(max_age))
        && duration.subsec_nanos() > 0
    {
        found.error(
            format!("{field}.maxAge"),
            format!("{max_age:?} is finer than seconds"),
        );
    }
}
