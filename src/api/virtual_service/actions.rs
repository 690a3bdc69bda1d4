//! What an HTTP rule does with a request besides forwarding it. Durations are Go's: `1.5s`, `100ms`, `1h30m`.
//! Before: `http` holds them. After: `control::compile` publishes them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::StringMatch;

/// 0 to 100.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct Percent {
    /// In percent, down to a ten-thousandth of one.
    pub value: f64,
}

/// What of a request's line is changed before it is forwarded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpRewrite {
    /// Takes the place of the path, or of the prefix that matched.
    pub uri: Option<String>,
    /// Takes the place of the authority.
    pub authority: Option<String>,
    /// Parts of the path.
    pub uri_regex_rewrite: Option<RegexRewrite>,
}

/// What is found is replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename = "HTTPRegexRewrite", default)]
pub struct RegexRewrite {
    /// RE2 syntax.
    #[serde(rename = "match")]
    pub pattern: String,
    /// With `\1` for what the first group found.
    pub rewrite: String,
}

/// An answer that sends the client elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpRedirect {
    /// Takes the place of the path.
    pub uri: Option<String>,
    /// Takes the place of the authority.
    pub authority: Option<String>,
    /// The port of the new location.
    pub port: Option<u16>,
    /// Where that port comes from instead.
    pub derive_port: Option<DerivePort>,
    /// Takes the place of the scheme.
    pub scheme: Option<String>,
    /// 301, 302, 303, 307 or 308; 301 if not set.
    pub redirect_code: Option<i32>,
}

/// Where a redirect's port comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "Istio's words, which its reference explains")]
pub enum DerivePort {
    FromProtocolDefault,
    FromRequestPort,
}

/// An answer of the proxy's own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct HttpDirectResponse {
    /// 200 to 599.
    pub status: i32,
    /// None, if not set.
    pub body: Option<HttpBody>,
}

/// Exactly one of these, 1 MiB at most.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct HttpBody {
    /// As text.
    pub string: Option<String>,
    /// In base64.
    pub bytes: Option<String>,
}

/// When a request is sent again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpRetry {
    /// After the first; 0: never.
    pub attempts: i32,
    /// How long each may take; as long as the whole, if not set.
    pub per_try_timeout: Option<String>,
    /// Conditions and statuses, separated by commas.
    pub retry_on: Option<String>,
    /// Whether other localities than the client's are tried.
    pub retry_remote_localities: Option<bool>,
    /// Whether endpoints that were tried are left out; they are, if not set.
    pub retry_ignore_previous_hosts: Option<bool>,
    /// Before the first retry; 25 ms, if not set.
    pub backoff: Option<String>,
}

/// Delays and errors made on purpose.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct HttpFaultInjection {
    /// Before a request is forwarded.
    pub delay: Option<Delay>,
    /// Instead of forwarding it.
    pub abort: Option<Abort>,
}

/// Requests that wait.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Delay {
    /// Deprecated: in whole percent.
    pub percent: Option<i32>,
    /// How long.
    pub fixed_delay: Option<String>,
    /// Not supported, as in Istio.
    pub exponential_delay: Option<String>,
    /// How many of the requests; none, if not set.
    pub percentage: Option<Percent>,
}

/// Requests that are answered with an error: exactly one of the statuses.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Abort {
    /// 200 to 599.
    pub http_status: Option<i32>,
    /// A name such as UNAVAILABLE.
    pub grpc_status: Option<String>,
    /// Not supported, as in Istio.
    pub http2_error: Option<String>,
    /// How many of the requests; none, if not set.
    pub percentage: Option<Percent>,
}

/// Which scripts of other origins may ask (the Fetch standard's CORS protocol).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CorsPolicy {
    /// Deprecated: origins as they are, or `*`.
    pub allow_origin: Vec<String>,
    /// Conditions for the origin, of which one must hold.
    pub allow_origins: Vec<StringMatch>,
    /// Methods that may be used.
    pub allow_methods: Vec<String>,
    /// Headers that may be sent.
    pub allow_headers: Vec<String>,
    /// Headers that may be read.
    pub expose_headers: Vec<String>,
    /// How long a preflight's answer holds, in whole seconds.
    pub max_age: Option<String>,
    /// Whether requests may carry credentials.
    pub allow_credentials: Option<bool>,
    /// What becomes of a preflight whose origin is not allowed.
    pub unmatched_preflights: Option<UnmatchedPreflights>,
}

/// What becomes of a preflight whose origin is not allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "Istio's words, which its reference explains")]
pub enum UnmatchedPreflights {
    Unspecified,
    Forward,
    Ignore,
}

impl Abort {
    /// The number of the gRPC status.
    pub fn grpc_code(&self) -> Option<u32> {
        let name = self.grpc_status.as_deref()?;
        (0..)
            .zip(GRPC_STATUSES)
            .find(|(_, known)| *known == name)
            .map(|(code, _)| code)
    }
}

/// gRPC's statuses by their numbers ("Status codes and their use in gRPC").
const GRPC_STATUSES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// Envoy's conditions for a retry that the proxy knows.
const RETRY_CONDITIONS: [&str; 15] = [
    "5xx",
    "gateway-error",
    "reset",
    "reset-before-request",
    "connect-failure",
    "refused-stream",
    "retriable-4xx",
    "retriable-status-codes",
    "retriable-headers",
    "envoy-ratelimited",
    "cancelled",
    "deadline-exceeded",
    "internal",
    "resource-exhausted",
    "unavailable",
];

/// What a `retryOn` says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct RetryOn<'a> {
    /// Envoy's words.
    pub conditions: Vec<&'a str>,
    /// HTTP statuses.
    pub statuses: Vec<u32>,
    /// What is neither.
    pub unknown: Vec<&'a str>,
}

/// Takes a `retryOn` apart.
pub fn retry_on(text: &str) -> RetryOn<'_> {
    let mut on = RetryOn::default();
    for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        match word.parse() {
            Ok(status @ 100..=599) => on.statuses.push(status),
            _ if RETRY_CONDITIONS.contains(&word) => on.conditions.push(word),
            _ => on.unknown.push(word),
        }
    }
    on
}
