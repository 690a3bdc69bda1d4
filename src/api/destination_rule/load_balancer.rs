//! How an endpoint is picked.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How an endpoint is picked.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LoadBalancerSettings {
    /// Without further settings.
    pub simple: Option<SimpleLb>,
    /// The same endpoint for the same client.
    pub consistent_hash: Option<ConsistentHashLb>,
    /// What is near comes first.
    pub locality_lb_setting: Option<LocalityLbSetting>,
    /// Deprecated: `warmup.duration`.
    pub warmup_duration_secs: Option<String>,
    /// New endpoints get their share little by little.
    pub warmup: Option<Warmup>,
}

/// Istio's algorithms without settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "Istio's words, which its reference explains")]
pub enum SimpleLb {
    Unspecified,
    LeastConn,
    Random,
    Passthrough,
    RoundRobin,
    LeastRequest,
}

/// What a request is hashed by (one of the first four), and how an endpoint follows from it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsistentHashLb {
    /// A header.
    pub http_header_name: Option<String>,
    /// A cookie.
    pub http_cookie: Option<HttpCookie>,
    /// The client's address.
    pub use_source_ip: Option<bool>,
    /// A parameter of the query.
    pub http_query_parameter_name: Option<String>,
    /// By a ring, the default.
    pub ring_hash: Option<RingHash>,
    /// By Maglev's table.
    pub maglev: Option<Maglev>,
    /// Deprecated: `ringHash.minimumRingSize`.
    pub minimum_ring_size: Option<u64>,
}

/// A cookie, made for clients without it if it has a `ttl`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpCookie {
    /// The cookie's name.
    pub name: String,
    /// For which paths it is.
    pub path: Option<String>,
    /// How long it lasts; `0s` is as long as the browser runs.
    pub ttl: Option<String>,
}

/// A ring of points.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RingHash {
    /// In points; 1,024 by default.
    pub minimum_ring_size: Option<u64>,
}

/// Maglev's table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Maglev {
    /// In entries, a prime; 65,537 by default.
    pub table_size: Option<u64>,
}

/// How new endpoints get their share.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Warmup {
    /// Until it is the full one.
    pub duration: Option<String>,
    /// Of the full one; 10 by default.
    pub minimum_percent: Option<f64>,
    /// 1 grows evenly, more grows faster at first.
    pub aggression: Option<f64>,
}

/// What is near comes first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LocalityLbSetting {
    /// Shares by where the client is.
    pub distribute: Vec<LocalityDistribute>,
    /// Which region comes next.
    pub failover: Vec<LocalityFailover>,
    /// Labels, the most important first: what shares more of them with the client comes first.
    pub failover_priority: Vec<String>,
    /// On unless this says otherwise.
    pub enabled: Option<bool>,
}

/// Shares for clients of one locality.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct LocalityDistribute {
    /// `region/zone/subzone`; `*` is any.
    pub from: String,
    /// In percent, 100 together, by locality.
    pub to: BTreeMap<String, u32>,
}

/// The region that comes after the client's own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct LocalityFailover {
    /// The client's region.
    pub from: String,
    /// The next one.
    pub to: String,
}
