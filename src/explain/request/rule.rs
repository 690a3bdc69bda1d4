//! What a published route does with a request, in short lines. Before: `answer` has found the route. Apart from the
//! destinations, which `answer` looks into.

use std::time::Duration;

use outrigger_proxy::protocol::mesh;
use outrigger_proxy::protocol::mesh::http_route::Instead;

/// Everything that is not the default, in the order in which it is done.
pub(super) fn does(route: &mesh::HttpRoute) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(fault) = &route.fault {
        faults(fault, &mut lines);
    }
    match &route.instead {
        Some(Instead::Redirect(redirect)) => lines.push(redirected(redirect)),
        Some(Instead::DirectResponse(answer)) => lines.push(format!(
            "answers itself: {} with {} bytes",
            answer.status,
            answer.body.len()
        )),
        None => {}
    }
    if let Some(rewrite) = &route.rewrite {
        for (what, text) in [("path", &rewrite.uri), ("authority", &rewrite.authority)] {
            if !text.is_empty() {
                lines.push(format!("rewrites the {what} to {text}"));
            }
        }
        if !rewrite.regex_match.is_empty() {
            let (from, to) = (&rewrite.regex_match, &rewrite.regex_rewrite);
            lines.push(format!("rewrites what {from} finds in the path to {to}"));
        }
    }
    lines.extend(route.headers.iter().flat_map(headers));
    if let Some(cors) = &route.cors {
        let origins = cors.allow_origins.len();
        lines.push(format!("answers browsers by its corsPolicy of {origins} origins"));
    }
    lines
}

/// Those of a route or of a destination.
pub(super) fn headers(headers: &mesh::Headers) -> Vec<String> {
    let mut lines = Vec::new();
    for (side, operations) in [("request", &headers.request), ("response", &headers.response)] {
        let Some(operations) = operations else { continue };
        let remove = operations.remove.iter();
        lines.extend(remove.map(|name| format!("removes {side} header {name}")));
        for (verb, values) in [("sets", &operations.set), ("adds", &operations.add)] {
            let value = |one: &mesh::HeaderValue| format!("{verb} {side} header {}: {}", one.name, one.value);
            lines.extend(values.iter().map(value));
        }
    }
    lines
}

fn redirected(redirect: &mesh::Redirect) -> String {
    let port = match (redirect.port, redirect.derive_port()) {
        (0, mesh::DerivePort::FromRequestPort) => "the request's".to_owned(),
        (0, mesh::DerivePort::FromProtocolDefault) => String::new(),
        (port, _) => port.to_string(),
    };
    let parts = [
        ("scheme", &redirect.scheme),
        ("authority", &redirect.authority),
        ("port", &port),
        ("path", &redirect.uri),
    ];
    let parts = parts.into_iter().filter(|(_, text)| !text.is_empty());
    parts.fold(
        format!("redirects with {}", redirect.code),
        |text, (name, part)| format!("{text}, {name} {part}"),
    )
}

fn faults(fault: &mesh::Fault, lines: &mut Vec<String>) {
    if fault.delay_millionths > 0 {
        let share = percent(fault.delay_millionths);
        lines.push(format!("delays {share} % by {}", time(fault.delay_ms)));
    }
    if fault.abort_millionths > 0 {
        let status = match fault.abort_grpc_status_plus_one {
            0 => fault.abort_status.to_string(),
            code => format!("gRPC status {}", code - 1),
        };
        lines.push(format!(
            "aborts {} % with {status}",
            percent(fault.abort_millionths)
        ));
    }
}

pub(super) fn timeout(milliseconds: u32) -> String {
    match milliseconds {
        0 => "none".to_owned(),
        some => time(some),
    }
}

pub(super) fn retries(retries: Option<&mesh::Retries>) -> String {
    let Some(retries) = retries else {
        return "2, of what cannot have reached an application (the default)".to_owned();
    };
    if retries.attempts == 0 {
        return "none".to_owned();
    }
    let statuses = retries.statuses.iter().map(u32::to_string);
    let on: Vec<_> = retries.on.iter().cloned().chain(statuses).collect();
    let mut text = format!("{} on {}", retries.attempts, on.join(", "));
    if retries.per_try_timeout_ms > 0 {
        text += &format!("; each try has {}", time(retries.per_try_timeout_ms));
    }
    text
}

/// How one endpoint of several is picked.
pub(super) fn balancing(backend: &mesh::Backend) -> String {
    use mesh::consistent_hash::By;
    let policy = backend.policy.as_ref();
    let hash = policy.and_then(|policy| policy.consistent_hash.as_ref());
    match hash.and_then(|hash| hash.by.as_ref()) {
        Some(By::Header(name)) => format!("consistent hash of header {name}"),
        Some(By::Cookie(cookie)) => format!("consistent hash of cookie {}", cookie.name),
        Some(By::SourceIp(_)) => "consistent hash of the source address".to_owned(),
        Some(By::QueryParam(name)) => format!("consistent hash of query parameter {name}"),
        None => backend.load_balancer().as_str_name().to_owned(),
    }
}

/// The other parts of a DestinationRule that are in force, by its own names for them.
pub(super) fn policies(backend: &mesh::Backend) -> Vec<&'static str> {
    let Some(policy) = &backend.policy else {
        return Vec::new();
    };
    let parts = [
        ("warmup", policy.warmup_seconds > 0),
        ("localityLbSetting", policy.locality.is_some()),
        ("connectionPool", policy.connection_pool.is_some()),
        ("outlierDetection", policy.outlier_detection.is_some()),
        ("tls", policy.tls.is_some()),
    ];
    let parts = parts.into_iter().filter(|(_, is_set)| *is_set);
    parts.map(|(name, _)| name).collect()
}

pub(super) fn percent(millionths: u32) -> f64 {
    f64::from(millionths) / 10_000.0
}

fn time(milliseconds: u32) -> String {
    format!("{:?}", Duration::from_millis(u64::from(milliseconds)))
}
