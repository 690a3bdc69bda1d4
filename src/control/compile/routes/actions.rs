//! What one rule does with a request, in the published form. What is wrong in it has been reported and is left out.

use base64::Engine;
use outrigger_proxy::protocol::mesh;
use outrigger_proxy::protocol::mesh::http_route::Instead;
use outrigger_proxy::protocol::mesh::string_match::Kind;

use super::matches::text;
use super::piece::Piece;
use super::{Target, nowhere};
use crate::api::{
    CorsPolicy, DerivePort, HeaderOperations, Headers, HttpDirectResponse, HttpFaultInjection, HttpRedirect,
    HttpRetry, HttpRewrite, HttpRoute, Percent, UnmatchedPreflights, names, parse_duration, retry_on,
};

/// Istio's conditions for a retry, where a rule with attempts has none of its own.
const RETRY_ON: [&str; 5] = [
    "connect-failure",
    "refused-stream",
    "unavailable",
    "cancelled",
    "retriable-status-codes",
];
const ALL: u32 = 1_000_000;

impl Target<'_> {
    /// All but the matches.
    pub(super) fn route_of(&self, piece: &Piece) -> mesh::HttpRoute {
        let http = &piece.http;
        let wrong = ["redirect", "directResponse"]
            .into_iter()
            .find(|part| piece.has_error(part));
        let instead = match (wrong, &http.redirect, &http.direct_response) {
            (Some(_), ..) => None,
            (None, Some(redirect), _) => Some(Instead::Redirect(redirected(redirect))),
            (None, None, Some(response)) => Some(Instead::DirectResponse(answered(response))),
            (None, None, None) => None,
        };
        let backends = match (&instead, wrong) {
            (Some(_), _) => Vec::new(),
            (None, Some(part)) => vec![nowhere(
                &piece.name,
                &format!("has a {part} that cannot be given"),
            )],
            (None, None) => self.backends(&piece.name, http),
        };
        let name = match &http.name {
            Some(name) => format!("{} ({name})", piece.name),
            None => piece.name.clone(),
        };
        mesh::HttpRoute {
            name,
            backends,
            instead,
            rewrite: http
                .rewrite
                .as_ref()
                .filter(|_| !piece.has_error("rewrite"))
                .map(rewritten),
            headers: http.headers.as_ref().map(headers),
            timeout_ms: milliseconds(http.timeout.as_deref()),
            retries: http.retries.as_ref().map(retries),
            fault: http.fault.as_ref().and_then(fault),
            mirrors: self.mirrors(http),
            cors: http
                .cors_policy
                .as_ref()
                .filter(|_| !piece.has_error("corsPolicy.allowOrigins"))
                .map(cors),
            ..Default::default()
        }
    }

    fn backends(&self, title: &str, http: &HttpRoute) -> Vec<mesh::Backend> {
        let destinations = http.route.iter().map(|to| (&to.destination, to.weight));
        let weighted = self.weighted(title, destinations).into_iter();
        let with_headers = weighted.map(|(index, backend)| mesh::Backend {
            headers: http
                .route
                .get(index)
                .and_then(|to| to.headers.as_ref())
                .map(headers),
            ..backend
        });
        with_headers.collect()
    }

    /// A copy that leads nowhere is not published.
    fn mirrors(&self, http: &HttpRoute) -> Vec<mesh::Mirror> {
        let whole = |percent: u32| f64::from(percent);
        let percentage = http.mirror_percentage.map(|percentage| percentage.value);
        let share = percentage.or(http.whole_mirror_percent().map(whole));
        let one = http.mirror.iter().map(|mirror| (mirror, share));
        let several = http.mirrors.iter().map(|mirror| {
            (
                &mirror.destination,
                mirror.percentage.map(|percentage| percentage.value),
            )
        });
        // Where both are there, which is refused, the more detailed ones count.
        let all: Vec<_> = if http.mirrors.is_empty() {
            one.collect()
        } else {
            several.collect()
        };
        let mirrors = all.into_iter().filter_map(|(to, share)| {
            let millionths = share.map_or(ALL, millionths);
            let backend = self.backend(to, 1).ok().filter(|_| millionths > 0);
            Some(mesh::Mirror {
                backend: Some(backend?),
                millionths,
            })
        });
        mirrors.collect()
    }
}

/// In the published form; nothing, if it is not a duration.
fn milliseconds(text: Option<&str>) -> u32 {
    let duration = text
        .and_then(|text| parse_duration(text).ok())
        .unwrap_or_default();
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

/// Of a percentage; nothing, if it is none.
fn millionths(percent: f64) -> u32 {
    let millionths = (percent * f64::from(ALL) / 100.0).round();
    // Out of range or not a number has been refused.
    if (0.0..=f64::from(ALL)).contains(&millionths) {
        millionths as u32
    } else {
        0
    }
}

fn rewritten(rewrite: &HttpRewrite) -> mesh::Rewrite {
    let regex = rewrite.uri_regex_rewrite.clone().unwrap_or_default();
    mesh::Rewrite {
        uri: rewrite.uri.clone().unwrap_or_default(),
        authority: rewrite.authority.clone().unwrap_or_default(),
        regex_match: regex.pattern,
        regex_rewrite: regex.rewrite,
    }
}

fn redirected(redirect: &HttpRedirect) -> mesh::Redirect {
    let derive_port = match redirect.derive_port {
        Some(DerivePort::FromRequestPort) => mesh::DerivePort::FromRequestPort,
        Some(DerivePort::FromProtocolDefault) | None => mesh::DerivePort::FromProtocolDefault,
    };
    let code = redirect.redirect_code.and_then(|code| u32::try_from(code).ok());
    mesh::Redirect {
        code: code.filter(|code| *code != 0).unwrap_or(301),
        uri: redirect.uri.clone().unwrap_or_default(),
        authority: redirect.authority.clone().unwrap_or_default(),
        scheme: redirect.scheme.clone().unwrap_or_default(),
        port: redirect.port.map(u32::from).unwrap_or_default(),
        derive_port: derive_port.into(),
        replaces_prefix: false,
    }
}

fn answered(response: &HttpDirectResponse) -> mesh::DirectResponse {
    let body = response
        .body
        .as_ref()
        .map(|body| match (&body.string, &body.bytes) {
            (Some(text), _) => text.clone().into_bytes(),
            (None, Some(bytes)) => base64::engine::general_purpose::STANDARD
                .decode(bytes)
                .unwrap_or_default(),
            (None, None) => Vec::new(),
        });
    mesh::DirectResponse {
        status: u32::try_from(response.status).unwrap_or_default(),
        body: body.unwrap_or_default(),
    }
}

fn retries(retries: &HttpRetry) -> mesh::Retries {
    let given = retry_on(retries.retry_on.as_deref().unwrap_or_default());
    let mut on = match retries.retry_on.as_deref() {
        None | Some("") => RETRY_ON.to_vec(),
        Some(_) => given.conditions,
    };
    if !given.statuses.is_empty() && !on.contains(&"retriable-status-codes") {
        on.push("retriable-status-codes");
    }
    mesh::Retries {
        attempts: u32::try_from(retries.attempts).unwrap_or_default(),
        per_try_timeout_ms: milliseconds(retries.per_try_timeout.as_deref()),
        on: on.into_iter().map(str::to_owned).collect(),
        statuses: given.statuses,
        backoff_ms: milliseconds(retries.backoff.as_deref()),
        same_endpoints: retries.retry_ignore_previous_hosts == Some(false),
        remote_localities: retries.retry_remote_localities == Some(true),
    }
}

fn fault(fault: &HttpFaultInjection) -> Option<mesh::Fault> {
    let share = |percentage: Option<Percent>| percentage.map_or(0, |percentage| millionths(percentage.value));
    let mut published = mesh::Fault::default();
    if let Some(delay) = &fault.delay {
        let percent = delay.percent.map_or(0, |percent| millionths(f64::from(percent)));
        published.delay_ms = milliseconds(delay.fixed_delay.as_deref());
        published.delay_millionths = match published.delay_ms {
            0 => 0,
            _ => delay
                .percentage
                .map_or(percent, |percentage| millionths(percentage.value)),
        };
    }
    if let Some(abort) = &fault.abort {
        let status = abort.http_status.filter(|status| (200..=599).contains(status));
        published.abort_status = status
            .and_then(|status| u32::try_from(status).ok())
            .unwrap_or_default();
        published.abort_grpc_status_plus_one = abort.grpc_code().map_or(0, |code| code + 1);
        let known = published.abort_status != 0 || published.abort_grpc_status_plus_one != 0;
        published.abort_millionths = if known { share(abort.percentage) } else { 0 };
    }
    (published.delay_millionths > 0 || published.abort_millionths > 0).then_some(published)
}

fn cors(cors: &CorsPolicy) -> mesh::Cors {
    let kind = |kind| mesh::StringMatch { kind: Some(kind) };
    let any = |origin: mesh::StringMatch| match &origin.kind {
        // To Envoy it is not a text but every origin.
        Some(Kind::Exact(all)) if all == "*" => kind(Kind::Prefix(String::new())),
        _ => origin,
    };
    let older = cors
        .allow_origin
        .iter()
        .cloned()
        .map(|origin| kind(Kind::Exact(origin)));
    let origins: Vec<_> = match cors.allow_origins.is_empty() {
        true => older.map(any).collect(),
        false => cors.allow_origins.iter().filter_map(text).map(any).collect(),
    };
    // A method is a token, as a header's name is (RFC 9110, section 5.6.2).
    let good = |tokens: &[String]| -> Vec<String> {
        let good = tokens.iter().filter(|token| names::header_name(token).is_ok());
        good.cloned().collect()
    };
    mesh::Cors {
        allow_origins: origins,
        allow_methods: good(&cors.allow_methods),
        allow_headers: good(&cors.allow_headers),
        expose_headers: good(&cors.expose_headers),
        max_age_seconds: cors.max_age.as_ref().map(|age| milliseconds(Some(age)) / 1000),
        allow_credentials: cors.allow_credentials,
        forward_unmatched_preflights: cors.unmatched_preflights != Some(UnmatchedPreflights::Ignore),
    }
}

fn headers(given: &Headers) -> mesh::Headers {
    mesh::Headers {
        request: given
            .request
            .as_ref()
            .map(|operations| header_operations(operations, true)),
        response: given
            .response
            .as_ref()
            .map(|operations| header_operations(operations, false)),
    }
}

/// Those that a proxy can carry out; it would refuse all routes for one that it cannot.
fn header_operations(given: &HeaderOperations, is_request: bool) -> mesh::HeaderOperations {
    let good = |name: &str| !names::is_authority(name) && names::header_name(name).is_ok();
    let values = |all: &std::collections::BTreeMap<String, String>| -> Vec<_> {
        let all = all.iter().filter(|(name, value)| {
            (good(name) || is_request && names::is_authority(name)) && names::header_value(value).is_ok()
        });
        all.map(|(name, value)| mesh::HeaderValue {
            name: name.clone(),
            value: value.clone(),
        })
        .collect()
    };
    mesh::HeaderOperations {
        set: values(&given.set),
        add: values(&given.add),
        remove: given.remove.iter().filter(|name| good(name)).cloned().collect(),
    }
}
