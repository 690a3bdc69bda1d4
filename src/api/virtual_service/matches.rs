//! The conditions of an HTTP rule: what must hold of a request, of what it dials and of the pod that sends it.
//! Before: `http` holds them. After: `control::compile` settles what is known of the client and publishes the rest.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Conditions that must all hold.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpMatchRequest {
    /// A name for logs.
    pub name: Option<String>,
    /// The request's path, without the query.
    pub uri: Option<StringMatch>,
    /// The request's scheme.
    pub scheme: Option<StringMatch>,
    /// The request's method.
    pub method: Option<StringMatch>,
    /// The request's authority, as the client wrote it.
    pub authority: Option<StringMatch>,
    /// By header name; an empty condition asks only that the header is there.
    pub headers: BTreeMap<String, StringMatch>,
    /// The port that the client dialled.
    pub port: Option<u16>,
    /// Labels that the sending pod must have.
    pub source_labels: BTreeMap<String, String>,
    /// Gateways this condition is for; replaces those of the object. With it, sourceLabels and sourceNamespace are not looked at.
    pub gateways: Vec<String>,
    /// By parameter name, case-sensitive; an empty condition asks only that the parameter is there.
    pub query_params: BTreeMap<String, StringMatch>,
    /// For exact and prefix of `uri`.
    pub ignore_uri_case: bool,
    /// By header name: none of these may hold.
    pub without_headers: BTreeMap<String, StringMatch>,
    /// The namespace that the sending pod must be in.
    pub source_namespace: Option<String>,
    /// The prefix of Envoy's statistics for this condition; has no effect.
    pub stat_prefix: Option<String>,
}

/// Exactly one of these.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct StringMatch {
    /// The whole value.
    pub exact: Option<String>,
    /// How the value begins.
    pub prefix: Option<String>,
    /// RE2 syntax, the whole value, 1,024 characters at most.
    pub regex: Option<String>,
}
