//! One HTTP rule: conditions, and what becomes of the requests for which they hold.
//! Before: `VirtualServiceSpec`. After: `matches` and `actions`, its parts.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::actions::{
    CorsPolicy, HttpDirectResponse, HttpFaultInjection, HttpRedirect, HttpRetry, HttpRewrite, Percent,
};
use super::{Destination, HttpMatchRequest};

/// One rule: conditions, and where the requests that hold go.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpRoute {
    /// A name for logs.
    pub name: Option<String>,
    /// Any of these must hold; none at all: every request.
    #[serde(rename = "match")]
    pub matches: Vec<HttpMatchRequest>,
    /// Weighted destinations.
    pub route: Vec<HttpRouteDestination>,
    /// An answer that sends the client elsewhere, instead of `route`.
    pub redirect: Option<HttpRedirect>,
    /// An answer of the proxy's own, instead of `route`.
    pub direct_response: Option<HttpDirectResponse>,
    /// Another VirtualService whose rules are asked, instead of `route`.
    pub delegate: Option<Delegate>,
    /// What of the request's line is changed before it is forwarded.
    pub rewrite: Option<HttpRewrite>,
    /// How long a request may take, retries included; none: for ever.
    pub timeout: Option<String>,
    /// When a request is sent again.
    pub retries: Option<HttpRetry>,
    /// Delays and errors made on purpose.
    pub fault: Option<HttpFaultInjection>,
    /// Where a copy of each request goes.
    pub mirror: Option<Destination>,
    /// Several of them.
    pub mirrors: Vec<HttpMirrorPolicy>,
    /// Deprecated: in whole percent.
    pub mirror_percent: Option<u32>,
    /// Deprecated: the same under its older name.
    #[serde(rename = "mirror_percent")]
    pub mirror_percent_deprecated: Option<u32>,
    /// How many of the requests `mirror` gets; all, if not set.
    pub mirror_percentage: Option<Percent>,
    /// Which scripts of other origins may ask.
    pub cors_policy: Option<CorsPolicy>,
    /// Headers that are changed.
    pub headers: Option<Headers>,
}

impl HttpRoute {
    pub(super) fn destinations(&self) -> impl Iterator<Item = &Destination> {
        let mirrors = self.mirrors.iter().map(|mirror| &mirror.destination);
        let routes = self.route.iter().map(|to| &to.destination);
        routes.chain(&self.mirror).chain(mirrors)
    }

    pub(super) fn destinations_mut(&mut self) -> impl Iterator<Item = &mut Destination> {
        let mirrors = self.mirrors.iter_mut().map(|mirror| &mut mirror.destination);
        let routes = self.route.iter_mut().map(|to| &mut to.destination);
        routes.chain(&mut self.mirror).chain(mirrors)
    }

    /// Of the deprecated fields, the one that is set.
    pub fn whole_mirror_percent(&self) -> Option<u32> {
        self.mirror_percent.or(self.mirror_percent_deprecated)
    }
}

/// One weighted destination of a route.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct HttpRouteDestination {
    /// Where to.
    pub destination: Destination,
    /// The share of requests, relative to the sum of the route's weights. A single destination gets everything.
    #[serde(default)]
    pub weight: i32,
    /// Headers that are changed for this destination.
    #[serde(default)]
    pub headers: Option<Headers>,
}

/// Headers that are changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct Headers {
    /// Before a request is forwarded.
    pub request: Option<HeaderOperations>,
    /// Before a response goes back.
    pub response: Option<HeaderOperations>,
}

/// What is done to headers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct HeaderOperations {
    /// Takes the place of the values there are.
    pub set: BTreeMap<String, String>,
    /// Is added to the values there are.
    pub add: BTreeMap<String, String>,
    /// Names of those that go.
    pub remove: Vec<String>,
}

/// A copy of a share of the requests.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct HttpMirrorPolicy {
    /// Where to.
    pub destination: Destination,
    /// How many of the requests; all, if not set.
    #[serde(default)]
    pub percentage: Option<Percent>,
}

/// A VirtualService without hosts, whose HTTP rules take the place of this one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct Delegate {
    /// Its name.
    pub name: String,
    /// Its namespace; that of this object, if not set.
    pub namespace: String,
}
