//! The application's probes, which the injector has rewritten to the proxy's port so that the kubelet needs no way
//! around the mesh: read from the environment here. After it on the path: `prober`, which runs one.

use std::collections::BTreeMap;
use std::num::NonZeroU16;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde::Deserialize;
use serde_json::Value;

mod grpc;
mod http_get;
pub(crate) mod prober;

/// Where probes are, by the container's name: `/app-health/CONTAINER/{livez,readyz,startupz}`, as in Istio.
const HEALTH: &str = "/app-health/";
/// Where lifecycle hooks are: `/app-lifecycle/CONTAINER/{poststart,prestop}`, as in Istio.
const LIFECYCLE: &str = "/app-lifecycle/";

/// What the application has declared, by the path on the proxy's port at which the kubelet asks for it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Probes(BTreeMap<String, Probe>);

/// A probe in the field names of Kubernetes' `Probe`. What only the kubelet needs, such as thresholds, is not read.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Probe {
    /// What is done.
    #[serde(flatten)]
    pub handler: Handler,
    /// Seconds until it has failed. Kubernetes' default for none and for 0 is 1. Lifecycle hooks have no such limit.
    #[serde(default)]
    pub timeout_seconds: u64,
}

/// What a probe does. `exec` stays with the kubelet.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Handler {
    /// A request that must be answered with a status from 200 to 399.
    HttpGet(HttpGet),
    /// A connection that must be accepted.
    TcpSocket(TcpSocket),
    /// A question of `grpc.health.v1.Health` that must be answered with SERVING.
    Grpc(Grpc),
}

/// Kubernetes' `HTTPGetAction`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpGet {
    /// Path with query; none is `/`.
    #[serde(default)]
    pub path: String,
    /// A number: the injector has resolved the name.
    pub port: NonZeroU16,
    /// In which protocol.
    #[serde(default)]
    pub scheme: Scheme,
    /// Host to connect to; none is the pod itself.
    #[serde(default)]
    pub host: String,
    /// Headers, in order; a name may come more than once.
    #[serde(default)]
    pub http_headers: Vec<HttpHeader>,
}

/// Kubernetes' `URIScheme`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum Scheme {
    /// In the clear.
    #[default]
    #[serde(rename = "HTTP", alias = "http")]
    Http,
    /// Over TLS, whatever the certificate says.
    #[serde(rename = "HTTPS", alias = "https")]
    Https,
}

/// Kubernetes' `HTTPHeader`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct HttpHeader {
    /// In any case of letters.
    pub name: String,
    /// May be empty.
    pub value: String,
}

/// Kubernetes' `TCPSocketAction`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct TcpSocket {
    /// A number: the injector has resolved the name.
    pub port: NonZeroU16,
    /// Host to connect to; none is the pod itself.
    #[serde(default)]
    pub host: String,
}

/// Kubernetes' `GRPCAction`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Grpc {
    /// Always on the pod itself, in the clear.
    pub port: NonZeroU16,
    /// Which service's health; none is the server's.
    #[serde(default)]
    pub service: Option<String>,
}

impl Scheme {
    /// As in a URL.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

impl Probes {
    /// Reads a JSON object of paths and probes; `own_port` is the port at which they are asked for.
    ///
    /// # Errors
    /// The path of the probe, what is wrong with it and what would be right.
    pub fn parse(json: &str, own_port: u16) -> anyhow::Result<Self> {
        let object: BTreeMap<String, Value> =
            serde_json::from_str(json).context("not a JSON object of paths and probes")?;
        let probes = object.into_iter().map(|(path, probe)| {
            let probe = read(&path, probe, own_port).with_context(|| path.clone())?;
            Ok((path, probe))
        });
        probes.collect::<anyhow::Result<_>>().map(Self)
    }

    /// The probe at a path.
    pub fn get(&self, path: &str) -> Option<&Probe> {
        self.0.get(path)
    }
}

impl Probe {
    /// How long it may take.
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_seconds.max(1))
    }
}

/// Whether what is at `path` is a lifecycle hook.
fn is_hook(path: &str) -> bool {
    path.starts_with(LIFECYCLE)
}

fn read(path: &str, probe: Value, own_port: u16) -> anyhow::Result<Probe> {
    ensure!(
        path.starts_with(HEALTH) || is_hook(path),
        "not a path of a probe: it would begin with {HEALTH} or {LIFECYCLE}"
    );
    let kinds = ["httpGet", "tcpSocket", "grpc"].map(|kind| usize::from(probe.get(kind).is_some()));
    ensure!(
        kinds.iter().sum::<usize>() == 1,
        "a probe has exactly one of httpGet, tcpSocket and grpc"
    );
    let probe: Probe = serde_json::from_value(probe)?;
    let (port, host) = match &probe.handler {
        Handler::HttpGet(get) => (get.port, get.host.as_str()),
        _ if is_hook(path) => bail!("a lifecycle hook that is rewritten is an httpGet"),
        Handler::TcpSocket(socket) => (socket.port, socket.host.as_str()),
        Handler::Grpc(grpc) => (grpc.port, ""),
    };
    ensure!(
        port.get() != own_port || !host.is_empty(),
        "port {port} is the proxy's own, which would ask itself for ever"
    );
    Ok(probe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kubernetes_own_words() {
        let probes = Probes::parse(
            r#"{"/app-health/app/livez": {"httpGet": {"path": "/live?full=1", "port": 8080, "scheme": "HTTPS", "host": "h",
                  "httpHeaders": [{"name": "A", "value": "1"}, {"name": "A", "value": ""}]}, "timeoutSeconds": 3, "periodSeconds": 5},
                "/app-health/app/readyz": {"tcpSocket": {"port": 1}, "timeoutSeconds": 0},
                "/app-health/app/startupz": {"grpc": {"port": 65535, "service": "s"}},
                "/app-lifecycle/app/prestop": {"httpGet": {"port": 80}}}"#,
            15020,
        )
        .unwrap();
        assert_eq!(probes.0.len(), 4);
        let live = probes.get("/app-health/app/livez").unwrap();
        assert_eq!(live.timeout(), Duration::from_secs(3));
        let header = |value: &str| HttpHeader {
            name: "A".into(),
            value: value.into(),
        };
        let get = HttpGet {
            path: "/live?full=1".into(),
            port: NonZeroU16::new(8080).unwrap(),
            scheme: Scheme::Https,
            host: "h".into(),
            http_headers: vec![header("1"), header("")],
        };
        assert_eq!(live.handler, Handler::HttpGet(get));
        assert_eq!(
            probes.get("/app-health/app/readyz").unwrap().timeout(),
            Duration::from_secs(1)
        );
        assert_eq!(probes.get("/metrics"), None);
    }

    #[test]
    fn what_is_refused_is_named() {
        for (json, words) in [
            ("", vec!["JSON object"]),
            ("[]", vec!["JSON object"]),
            (
                r#"{"/metrics": {"tcpSocket": {"port": 1}}}"#,
                vec!["/metrics", "/app-health/"],
            ),
            (
                r#"{"/app-health/a/livez": {"exec": {}}}"#,
                vec!["/app-health/a/livez", "exactly one"],
            ),
            (
                r#"{"/app-health/a/livez": {"tcpSocket": {"port": 1}, "grpc": {"port": 1}}}"#,
                vec!["exactly one"],
            ),
            (
                r#"{"/app-health/a/livez": {"tcpSocket": {"port": 0}}}"#,
                vec!["/app-health/a/livez", "nonzero"],
            ),
            (
                r#"{"/app-health/a/livez": {"httpGet": {"port": "http"}}}"#,
                vec!["/app-health/a/livez", "http"],
            ),
            (
                r#"{"/app-lifecycle/a/prestop": {"tcpSocket": {"port": 1}}}"#,
                vec!["/app-lifecycle/a/prestop", "httpGet"],
            ),
            (
                r#"{"/app-health/a/livez": {"grpc": {"port": 15020}}}"#,
                vec!["/app-health/a/livez", "15020", "own"],
            ),
        ] {
            let error = format!("{:#}", Probes::parse(json, 15020).unwrap_err());
            for word in words {
                assert!(error.contains(word), "{json}: {error}");
            }
        }
    }
}
