//! What a proxy is started with: flags and environment, resolved into addresses and files.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Args;

use crate::discovery::ControlPlane;
use crate::http::AccessLog;
use crate::listen::OriginalDestination;
use crate::metrics::app::AppMetrics;
use crate::probe::Probes;

/// Flags of `outrigger-proxy run`. The injector sets them as environment variables.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// The control plane, as host:port
    #[arg(
        long,
        env = "OUTRIGGER_DISCOVERY_ADDRESS",
        default_value = "outrigger.outrigger-system.svc:15012"
    )]
    discovery_address: String,
    /// Certificates that the control plane's must be signed by, in PEM
    #[arg(
        long,
        env = "OUTRIGGER_CA_FILE",
        default_value = "/var/run/secrets/kubernetes.io/serviceaccount/ca.pem"
    )]
    ca_file: PathBuf,
    /// The pod's service-account token for audience outrigger
    #[arg(
        long,
        env = "OUTRIGGER_TOKEN_FILE",
        default_value = "/var/run/secrets/kubernetes.io/serviceaccount/token"
    )]
    token_file: PathBuf,
    /// Name of the pod, for logs
    #[arg(long, env = "POD_NAME", default_value = "")]
    pod_name: String,
    /// Namespace of the pod, for logs
    #[arg(long, env = "POD_NAMESPACE", default_value = "")]
    pod_namespace: String,
    /// Address of the pod, where probes and scrapes of the application go; loopback if it is empty
    #[arg(long, env = "POD_IP", default_value = "")]
    pod_ip: String,
    /// Probes of the application, rewritten to the metrics port: a JSON object of paths and Kubernetes' own probes
    #[arg(long, env = "OUTRIGGER_PROBES", default_value = "{}", hide_env_values = true)]
    probes: String,
    /// Where the application has metrics of its own: JSON such as {"port": 8080, "path": "/metrics"}
    #[arg(long, env = "OUTRIGGER_APP_METRICS", default_value = "")]
    app_metrics: String,
    /// Log of requests on standard output: off, text or json, with Istio's fields and response flags
    #[arg(long, env = "OUTRIGGER_ACCESS_LOG", default_value = "off")]
    access_log: String,
    /// This is a classic sidecar: it gets SIGTERM together with the application, and has to outlive it
    #[arg(long, env = "OUTRIGGER_CLASSIC")]
    classic: bool,
    /// How long to wait at the end for connections that are open, in seconds
    #[arg(long, env = "OUTRIGGER_DRAIN_SECONDS", default_value_t = 25)]
    drain_seconds: u64,
    /// Port for what leaves the pod, on loopback
    #[arg(long, default_value_t = 15001)]
    outbound_port: u16,
    /// Port for what arrives at the pod
    #[arg(long, default_value_t = 15006)]
    inbound_port: u16,
    /// Port for administration, on loopback
    #[arg(long, default_value_t = 15000)]
    admin_port: u16,
    /// Port for metrics, the application's probes and quitting
    #[arg(long, default_value_t = 15020)]
    metrics_port: u16,
    /// Port for the readiness probe
    #[arg(long, default_value_t = 15021)]
    readiness_port: u16,
}

/// A proxy's addresses and files.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where discovery is.
    pub control_plane: ControlPlane,
    /// What leaves the pod enters here.
    pub outbound: Vec<Listener>,
    /// What arrives at the pod enters here.
    pub inbound: Vec<Listener>,
    /// Administration: what the proxy knows.
    pub admin: SocketAddr,
    /// Metrics, the application's probes and quitting.
    pub metrics: SocketAddr,
    /// Readiness.
    pub readiness: SocketAddr,
    /// How long open connections are waited for at the end.
    pub drain: Duration,
    /// Where probes and scrapes of the application go: the pod's address, or loopback.
    pub application: IpAddr,
    /// The application's probes, by their path on the metrics port.
    pub probes: Probes,
    /// Where the application's own metrics are.
    pub app_metrics: Option<AppMetrics>,
    /// What becomes of each request.
    pub access_log: AccessLog,
    /// Whether SIGTERM comes to the proxy and the application at the same time (a container among the others)
    /// and not to the proxy after it (a native sidecar).
    pub classic: bool,
}

/// An address to listen on and how its connections' destination is known.
#[derive(Debug, Clone, Copy)]
pub struct Listener {
    /// Port 0 is any free one.
    pub address: SocketAddr,
    /// See [`OriginalDestination`].
    pub original: OriginalDestination,
}

impl RunArgs {
    /// The addresses for a pod. `ipv6` tells whether it has IPv6 at all: without it, binding such an address
    /// would fail.
    ///
    /// # Errors
    /// What cannot be understood, and why: the pod's address, the probes or the application's metrics.
    pub fn resolve(self, ipv6: bool) -> anyhow::Result<Config> {
        let application = match self.pod_ip.as_str() {
            "" => Ipv4Addr::LOCALHOST.into(),
            ip => ip
                .parse()
                .with_context(|| format!("POD_IP: {ip:?} is not an IP address"))?,
        };
        let probes = Probes::parse(&self.probes, self.metrics_port).context("OUTRIGGER_PROBES")?;
        let app_metrics = match self.app_metrics.as_str() {
            "" => None,
            json => Some(AppMetrics::parse(json, self.metrics_port).context("OUTRIGGER_APP_METRICS")?),
        };
        let redirected = |address| Listener {
            address,
            original: OriginalDestination::Redirected,
        };
        // Outbound on loopback only, so that nothing outside of the pod reaches it and an application may use
        // the same port on the pod's address. Redirection in OUTPUT leads to loopback.
        let mut outbound = vec![redirected((Ipv4Addr::LOCALHOST, self.outbound_port).into())];
        if ipv6 {
            outbound.push(redirected((Ipv6Addr::LOCALHOST, self.outbound_port).into()));
        }
        let any = |port: u16| -> SocketAddr {
            if ipv6 {
                (Ipv6Addr::UNSPECIFIED, port).into()
            } else {
                (Ipv4Addr::UNSPECIFIED, port).into()
            }
        };
        Ok(Config {
            control_plane: ControlPlane {
                address: self.discovery_address,
                ca_file: self.ca_file,
                token_file: self.token_file,
                node: format!("{}/{}", self.pod_namespace, self.pod_name),
            },
            outbound,
            inbound: vec![redirected(any(self.inbound_port))],
            admin: (Ipv4Addr::LOCALHOST, self.admin_port).into(),
            metrics: any(self.metrics_port),
            readiness: any(self.readiness_port),
            drain: Duration::from_secs(self.drain_seconds),
            application,
            probes,
            app_metrics,
            access_log: AccessLog::parse(&self.access_log).context("OUTRIGGER_ACCESS_LOG")?,
            classic: self.classic,
        })
    }
}
