//! What a published route says, in the words of the tables: every part that is not the default, so that none goes unseen.

use std::time::Duration;

use outrigger_proxy::protocol::mesh;
use outrigger_proxy::protocol::mesh::http_route::Instead;
use outrigger_proxy::protocol::mesh::string_match::Kind;

use super::request::sorted;

/// Names without what every service of namespace `default` has.
pub(super) fn short(text: &str) -> String {
    text.replace(".default.svc.cluster.local", "")
        .replace(".svc.cluster.local", "")
}

pub(super) fn route(route: &mesh::HttpRoute, service: &mesh::Service) -> String {
    let mut parts = Vec::new();
    match &route.instead {
        None => parts.push(backends(&route.backends, service)),
        Some(Instead::Redirect(redirect)) => parts.push(redirected(redirect)),
        Some(Instead::DirectResponse(answer)) => {
            parts.push(format!(
                "{} {:?}",
                answer.status,
                String::from_utf8_lossy(&answer.body)
            ));
        }
    }
    if let Some(rewrite) = &route.rewrite {
        let texts = [
            ("path", rewrite.uri.clone()),
            ("authority", rewrite.authority.clone()),
            (
                "path",
                match rewrite.regex_match.as_str() {
                    "" => String::new(),
                    regex => format!("s|{regex}|{}|", rewrite.regex_rewrite),
                },
            ),
        ];
        let texts = texts.into_iter().filter(|(_, text)| !text.is_empty());
        parts.extend(texts.map(|(name, text)| format!("{name} {text}")));
    }
    parts.extend(route.headers.as_ref().and_then(headers));
    if route.timeout_ms > 0 {
        parts.push(format!("timeout {}", time(route.timeout_ms)));
    }
    parts.extend(route.retries.as_ref().map(retries));
    parts.extend(route.fault.iter().flat_map(fault));
    parts.extend(route.mirrors.iter().map(|mirror| {
        let to = mirror
            .backend
            .as_ref()
            .map_or("nowhere".to_owned(), |to| backend(to, service));
        format!("mirror {}% {to}", percent(mirror.millionths))
    }));
    parts.extend(route.cors.as_ref().map(cors));
    parts.join("; ")
}

pub(super) fn backends(backends: &[mesh::Backend], service: &mesh::Service) -> String {
    match backends {
        [only] => backend(only, service),
        several => {
            let texts = several
                .iter()
                .map(|one| format!("{} {}", one.weight, backend(one, service)));
            texts.collect::<Vec<_>>().join(" | ")
        }
    }
}

/// `HOST[:PORT][ SUBSET]`: the port if it is not the one that was dialled, and of labels the version alone.
fn backend(backend: &mesh::Backend, service: &mesh::Service) -> String {
    if !backend.unavailable.is_empty() {
        return short(&format!("503 {}", backend.unavailable));
    }
    let (address, labels) = backend
        .endpoints
        .split_once('/')
        .unwrap_or((&backend.endpoints, ""));
    let (host, port) = address.rsplit_once(':').expect("HOST:PORT");
    let mut text = short(host);
    if port != service.port.to_string() {
        text += &format!(":{port}");
    }
    if !labels.is_empty() {
        text += &format!(" {}", labels.strip_prefix("version=").unwrap_or(labels));
    }
    if let Some(headers) = backend.headers.as_ref().and_then(headers) {
        text += &format!(" [{headers}]");
    }
    text
}

fn redirected(redirect: &mesh::Redirect) -> String {
    let port = match (redirect.port, redirect.derive_port()) {
        (0, mesh::DerivePort::FromRequestPort) => "the request's".to_owned(),
        (0, mesh::DerivePort::FromProtocolDefault) => String::new(),
        (port, _) => port.to_string(),
    };
    let parts = [
        ("scheme", redirect.scheme.clone()),
        ("authority", redirect.authority.clone()),
        ("port", port),
        ("path", redirect.uri.clone()),
    ];
    let parts = parts.into_iter().filter(|(_, text)| !text.is_empty());
    parts.fold(redirect.code.to_string(), |text, (name, part)| {
        format!("{text} {name} {part}")
    })
}

fn headers(headers: &mesh::Headers) -> Option<String> {
    let mut parts = Vec::new();
    for (side, operations) in [("request", &headers.request), ("response", &headers.response)] {
        let Some(operations) = operations else { continue };
        for (verb, values) in [("set", &operations.set), ("add", &operations.add)] {
            let values = sorted(values);
            parts.extend(
                values
                    .iter()
                    .map(|(name, value)| format!("{side} {verb} {name}:{value}")),
            );
        }
        parts.extend(
            operations
                .remove
                .iter()
                .map(|name| format!("{side} remove {name}")),
        );
    }
    (!parts.is_empty()).then(|| parts.join(", "))
}

fn retries(retries: &mesh::Retries) -> String {
    if retries.attempts == 0 {
        return "no retries".to_owned();
    }
    let statuses = retries.statuses.iter().map(u32::to_string);
    let on: Vec<_> = retries.on.iter().cloned().chain(statuses).collect();
    let mut text = format!("{} retries on {}", retries.attempts, on.join(","));
    for (name, milliseconds) in [
        ("each", retries.per_try_timeout_ms),
        ("backoff", retries.backoff_ms),
    ] {
        if milliseconds > 0 {
            text += &format!(" {name} {}", time(milliseconds));
        }
    }
    if retries.same_endpoints {
        text += " anywhere";
    }
    if retries.remote_localities {
        text += " afar";
    }
    text
}

fn fault(fault: &mesh::Fault) -> Vec<String> {
    let mut parts = Vec::new();
    if fault.delay_millionths > 0 {
        parts.push(format!(
            "delay {}% {}",
            percent(fault.delay_millionths),
            time(fault.delay_ms)
        ));
    }
    if fault.abort_millionths > 0 {
        let status = match fault.abort_grpc_status_plus_one {
            0 => fault.abort_status.to_string(),
            code => format!("grpc {}", code - 1),
        };
        parts.push(format!("abort {}% {status}", percent(fault.abort_millionths)));
    }
    parts
}

fn cors(cors: &mesh::Cors) -> String {
    let origins = cors.allow_origins.iter().map(|origin| match &origin.kind {
        Some(Kind::Exact(text)) => format!("={text}"),
        Some(Kind::Prefix(text)) => format!("^{text}"),
        Some(Kind::Regex(text)) => format!("~{text}"),
        None => "?".to_owned(),
    });
    let mut text = format!("cors {}", origins.collect::<Vec<_>>().join(","));
    for (name, list) in [
        ("methods", &cors.allow_methods),
        ("headers", &cors.allow_headers),
        ("expose", &cors.expose_headers),
    ] {
        if !list.is_empty() {
            text += &format!(" {name} {}", list.join(","));
        }
    }
    if let Some(seconds) = cors.max_age_seconds {
        text += &format!(" age {}", time(seconds * 1000));
    }
    if let Some(credentials) = cors.allow_credentials {
        text += &format!(" credentials {credentials}");
    }
    if !cors.forward_unmatched_preflights {
        text += " alone";
    }
    text
}

fn time(milliseconds: u32) -> String {
    format!("{:?}", Duration::from_millis(u64::from(milliseconds)))
}

fn percent(millionths: u32) -> f64 {
    f64::from(millionths) / 10_000.0
}
