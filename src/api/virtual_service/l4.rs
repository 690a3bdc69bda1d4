//! The rules for connections that are not looked into: TLS by its server name, and TCP by where it was meant to go.
//! Before: `VirtualServiceSpec`. After: `control::compile` publishes them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Destination;

/// One rule for TLS that is passed through.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct TlsRoute {
    /// Any of these must hold.
    #[serde(rename = "match")]
    pub matches: Vec<TlsMatchAttributes>,
    /// Weighted destinations.
    pub route: Vec<RouteDestination>,
}

/// One rule for TCP.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct TcpRoute {
    /// Any of these must hold; none at all: every connection.
    #[serde(rename = "match")]
    pub matches: Vec<L4MatchAttributes>,
    /// Weighted destinations.
    pub route: Vec<RouteDestination>,
}

/// Conditions on a TLS connection that must all hold.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TlsMatchAttributes {
    /// Server names, exact or with a leading `*.`, of which one must hold. Each must be among the object's hosts.
    pub sni_hosts: Vec<String>,
    /// Addresses or CIDRs of which one holds the address that was dialled.
    pub destination_subnets: Vec<String>,
    /// The port that the client dialled.
    pub port: Option<u16>,
    /// Labels that the connecting pod must have.
    pub source_labels: BTreeMap<String, String>,
    /// Gateways this condition is for; replaces those of the object. With it, sourceLabels and sourceNamespace are not looked at.
    pub gateways: Vec<String>,
    /// The namespace that the connecting pod must be in.
    pub source_namespace: Option<String>,
}

impl TlsMatchAttributes {
    /// All but the server names: the same conditions that TCP has.
    pub fn l4(&self) -> L4MatchAttributes {
        L4MatchAttributes {
            destination_subnets: self.destination_subnets.clone(),
            port: self.port,
            source_labels: self.source_labels.clone(),
            gateways: self.gateways.clone(),
            source_namespace: self.source_namespace.clone(),
            source_subnet: None,
        }
    }
}

/// Conditions on a connection that must all hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct L4MatchAttributes {
    /// Addresses or CIDRs of which one holds the address that was dialled.
    pub destination_subnets: Vec<String>,
    /// The port that the client dialled.
    pub port: Option<u16>,
    /// Labels that the connecting pod must have.
    pub source_labels: BTreeMap<String, String>,
    /// Gateways this condition is for; replaces those of the object. With it, sourceLabels and sourceNamespace are not looked at.
    pub gateways: Vec<String>,
    /// The namespace that the connecting pod must be in.
    pub source_namespace: Option<String>,
    /// Not supported, as in Istio.
    pub source_subnet: Option<String>,
}

/// One weighted destination of a connection.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct RouteDestination {
    /// Where to.
    pub destination: Destination,
    /// The share of connections, relative to the sum of the route's weights. A single destination gets everything.
    #[serde(default)]
    pub weight: i32,
}
