//! How many connections and requests there may be, and when an endpoint is left out.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How many connections and requests there may be at a time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct ConnectionPoolSettings {
    /// For connections.
    pub tcp: Option<TcpSettings>,
    /// For requests.
    pub http: Option<HttpSettings>,
}

/// For connections.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TcpSettings {
    /// At a time.
    pub max_connections: Option<u32>,
    /// How long making one may take; 10 s by default.
    pub connect_timeout: Option<String>,
    /// TCP's own keep-alive.
    pub tcp_keepalive: Option<TcpKeepalive>,
    /// How old one may become.
    pub max_connection_duration: Option<String>,
    /// How long one may be silent.
    pub idle_timeout: Option<String>,
}

/// TCP's own keep-alive; what is left out is the operating system's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct TcpKeepalive {
    /// Without an answer, before the connection is given up.
    pub probes: Option<u32>,
    /// Of silence, before the first probe.
    pub time: Option<String>,
    /// Between probes.
    pub interval: Option<String>,
}

/// For requests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpSettings {
    /// That wait for a connection.
    pub http1_max_pending_requests: Option<u32>,
    /// Under way, of any version.
    pub http2_max_requests: Option<u32>,
    /// For which one connection is used; 0: any number.
    pub max_requests_per_connection: Option<u32>,
    /// Retries under way.
    pub max_retries: Option<u32>,
    /// How long a connection is kept without a request.
    pub idle_timeout: Option<String>,
    /// Without effect: a request is sent on in the version in which it came.
    pub h2_upgrade_policy: Option<H2UpgradePolicy>,
    /// What is done in any case: a request is sent on in the version in which it came.
    pub use_client_protocol: Option<bool>,
    /// On one HTTP/2 connection at a time.
    pub max_concurrent_streams: Option<u32>,
}

/// Whether HTTP/1.1 becomes HTTP/2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "Istio's words, which its reference explains")]
pub enum H2UpgradePolicy {
    Default,
    DoNotUpgrade,
    Upgrade,
}

/// When an endpoint is left out for its failures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct OutlierDetection {
    /// Removed from Istio: `consecutive5xxErrors` or `consecutiveGatewayErrors`.
    pub consecutive_errors: Option<i32>,
    /// Count failures to connect by themselves.
    pub split_external_local_origin_errors: bool,
    /// Failures to connect, one after another; 5 by default.
    pub consecutive_local_origin_failures: Option<u32>,
    /// Answers of 502, 503 and 504, one after another; 0, the default, is never.
    pub consecutive_gateway_errors: Option<u32>,
    /// Answers of 500 and more, one after another; 5 by default, 0 is never.
    #[serde(rename = "consecutive5xxErrors")]
    pub consecutive_5xx_errors: Option<u32>,
    /// After which a past ejection counts for less; 10 s by default.
    pub interval: Option<String>,
    /// The first ejection; each further one is that much longer. 30 s by default.
    pub base_ejection_time: Option<String>,
    /// Of the endpoints, 10 by default; one always may be ejected.
    pub max_ejection_percent: Option<u32>,
    /// With fewer that are healthy, all are used.
    pub min_health_percent: Option<u32>,
}
