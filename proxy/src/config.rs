//! What a proxy is started with: flags and environment, resolved into addresses and files.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::discovery::ControlPlane;
use crate::listen::OriginalDestination;

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
        default_value = "/var/run/secrets/outrigger/ca.pem"
    )]
    ca_file: PathBuf,
    /// The pod's service-account token for audience outrigger
    #[arg(
        long,
        env = "OUTRIGGER_TOKEN_FILE",
        default_value = "/var/run/secrets/outrigger/token"
    )]
    token_file: PathBuf,
    /// Name of the pod, for logs
    #[arg(long, env = "POD_NAME", default_value = "")]
    pod_name: String,
    /// Namespace of the pod, for logs
    #[arg(long, env = "POD_NAMESPACE", default_value = "")]
    pod_namespace: String,
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
    /// Port for metrics
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
    /// Metrics.
    pub metrics: SocketAddr,
    /// Readiness.
    pub readiness: SocketAddr,
    /// How long open connections are waited for at the end.
    pub drain: Duration,
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
    pub fn resolve(self, ipv6: bool) -> Config {
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
        Config {
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
        }
    }
}
