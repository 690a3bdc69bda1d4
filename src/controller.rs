//! `outrigger controller`: puts the control plane together and runs it until it is told to end.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clap::Args;
use k8s_openapi::apimachinery::pkg::version::Info;
use kube::Client;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::audit;
use crate::control::discovery::{self, Authenticate};
use crate::control::feed::{Feed, Reader};
use crate::control::world::World;
use crate::control::{status, watch};
use crate::manifests::read_settings;
use crate::monitoring::{self, Readiness};
use crate::serve::{Limits, serve, serve_plain};
use crate::settings::Settings;
use crate::trust::{self, Names, Trust};
use crate::webhook;

/// The oldest Kubernetes with EndpointSlices in discovery.k8s.io/v1, of which routes are made. It is also the first that puts
/// the label kubernetes.io/metadata.name on every namespace, by which the webhook keeps out of kube-system.
const OLDEST_KUBERNETES: (u32, u32) = (1, 21);

/// The oldest Kubernetes whose native sidecars are on by default (KEP-753, beta). On an older one an init container that
/// does not end would hold up its pod for ever.
pub(crate) const NATIVE_SIDECARS: (u32, u32) = (1, 29);

/// What the Deployment knows.
#[derive(Debug, Clone, Args)]
pub struct ControllerArgs {
    /// The settings; the built-in ones without it
    #[arg(long)]
    config: Option<PathBuf>,
    /// The control plane's own namespace
    #[arg(long, env = "POD_NAMESPACE", default_value = "outrigger-system")]
    namespace: String,
    /// The name of this replica's pod
    #[arg(long, env = "POD_NAME", default_value = "outrigger")]
    pod_name: String,
    /// Port of the webhook
    #[arg(long, default_value_t = 15017)]
    webhook_port: u16,
    /// Port of discovery
    #[arg(long, default_value_t = 15012)]
    discovery_port: u16,
    /// Port of metrics and readiness
    #[arg(long, default_value_t = 15014)]
    monitoring_port: u16,
    /// How long to go on serving after SIGTERM, in seconds: the time in which the cluster learns that this replica is
    /// not ready any more and sends to the others
    #[arg(long, default_value_t = 5)]
    linger_seconds: u64,
}

/// Runs the control plane.
///
/// # Errors
/// What it cannot start without, or the part that ended.
pub async fn run(args: ControllerArgs, terminate: CancellationToken) -> anyhow::Result<()> {
    let mut settings = args
        .config
        .as_deref()
        .map(read_settings)
        .transpose()?
        .unwrap_or_default();
    settings.injection.ignored_namespaces.push(args.namespace.clone());
    let client = Client::try_default().await.context("find the API server")?;
    let version = version(&client).await?;
    if settings.proxy.native_sidecar.is_none() && version < NATIVE_SIDECARS {
        tracing::info!(
            "this is Kubernetes {}.{}, which has no native sidecars: the proxy is an ordinary container",
            version.0,
            version.1
        );
        settings.proxy.native_sidecar = Some(false);
    }
    let settings = Arc::new(settings);

    let (webhook_listener, discovery_listener, monitoring_listener) = (
        listen(args.webhook_port).await?,
        listen(args.discovery_port).await?,
        listen(args.monitoring_port).await?,
    );
    let shutdown = CancellationToken::new();
    let mut registry = Registry::default();
    let mut world = World::new(settings.cluster_domain.clone(), settings.mesh_ranges.clone());
    world.root_namespace.clone_from(&args.namespace);
    world.outbound_mode = settings.outbound_traffic_policy.mode;
    let (feed, events, reader) = Feed::new(world);
    let trust = Arc::new(Trust::new(trust_settings(&args, &settings)));
    registry.register_collector(Box::new(trust.clone()));
    let tls = Arc::new(outrigger_certs::server_config(trust.serving.clone())?);
    let (events_about_pods, writer) = webhook::Events::new(&args.pod_name, &mut registry);
    let webhook = webhook(&settings, &reader, events_about_pods, &mut registry);
    let authenticate = Authenticate::token_review(client.clone());
    let discovery = discovery::router(reader.clone(), authenticate, &mut registry, shutdown.clone());
    let readiness = Readiness {
        world: reader.world.clone(),
        trusted: trust.ready(),
        ending: terminate.clone(),
    };
    let audit_metrics = audit::rounds::Metrics::default();
    audit_metrics.register(&mut registry);
    let monitoring = monitoring::router(registry, readiness);

    tracing::info!(namespace = args.namespace, "control plane started");
    let ending = async {
        terminate.cancelled().await;
        tracing::info!(
            seconds = args.linger_seconds,
            "ending: not ready any more, and serving on until everybody knows"
        );
        tokio::time::sleep(Duration::from_secs(args.linger_seconds)).await;
        shutdown.cancel();
        anyhow::Ok(())
    };
    tokio::try_join!(
        ending,
        watch::run(client.clone(), events, reader.world.clone(), shutdown.clone()),
        feed.run(shutdown.clone()),
        writer.run(client.clone(), shutdown.clone()),
        status::run(
            client.clone(),
            &args.pod_name,
            Names::of(&settings.injection.revision).installation,
            reader.problems,
            shutdown.clone()
        ),
        audit::rounds::run(
            client.clone(),
            reader.world.clone(),
            settings.clone(),
            audit_metrics,
            shutdown.clone()
        ),
        trust.run(client, reader.world, shutdown.clone()),
        serve(
            webhook_listener,
            tls.clone(),
            webhook,
            Limits::default(),
            shutdown.clone()
        ),
        serve(
            discovery_listener,
            tls,
            discovery,
            Limits::default(),
            shutdown.clone()
        ),
        serve_plain(
            monitoring_listener,
            monitoring,
            Limits::default(),
            shutdown.clone()
        ),
    )?;
    tracing::info!("ended");
    Ok(())
}

fn trust_settings(args: &ControllerArgs, settings: &Settings) -> trust::Settings {
    let ignored = settings.injection.ignored_namespaces.iter().cloned().collect();
    let names = Names::of(&settings.injection.revision);
    trust::Settings::new(&args.namespace, names, &settings.cluster_domain, ignored)
}

fn webhook(
    settings: &Arc<Settings>,
    reader: &Reader,
    events: webhook::Events,
    registry: &mut Registry,
) -> axum::Router {
    let metrics = webhook::Metrics::default();
    metrics.register(registry);
    webhook::router(webhook::Webhook {
        settings: settings.clone(),
        world: reader.world.clone(),
        metrics,
        events,
    })
}

/// Major and minor number of the cluster's version, if the control plane can work with it.
pub(crate) async fn version(client: &Client) -> anyhow::Result<(u32, u32)> {
    let version = client
        .apiserver_version()
        .await
        .context("ask the API server for its version")?;
    supported(&version)
}

fn supported(version: &Info) -> anyhow::Result<(u32, u32)> {
    let number = |text: &str| {
        text.trim_end_matches(|c: char| !c.is_ascii_digit())
            .parse::<u32>()
    };
    let (Ok(major), Ok(minor)) = (number(&version.major), number(&version.minor)) else {
        bail!(
            "the API server's version is {}.{}; it must be two numbers",
            version.major,
            version.minor
        );
    };
    ensure!(
        (major, minor) >= OLDEST_KUBERNETES,
        "this is Kubernetes {major}.{minor}; it must be {}.{} or newer, which has EndpointSlices in discovery.k8s.io/v1",
        OLDEST_KUBERNETES.0,
        OLDEST_KUBERNETES.1
    );
    Ok((major, minor))
}

/// A listener for both families where there are both.
async fn listen(port: u16) -> anyhow::Result<TcpListener> {
    let (both, ipv4): (SocketAddr, SocketAddr) = (
        (Ipv6Addr::UNSPECIFIED, port).into(),
        (Ipv4Addr::UNSPECIFIED, port).into(),
    );
    match TcpListener::bind(both).await {
        Ok(listener) => Ok(listener),
        Err(_) => TcpListener::bind(ipv4)
            .await
            .with_context(|| format!("listen on {ipv4}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        let table = [
            ("1", "34", Ok((1, 34))),
            ("1", "29+", Ok((1, 29))),
            ("1", "21", Ok((1, 21))),
            (
                "1",
                "20",
                Err("this is Kubernetes 1.20; it must be 1.21 or newer"),
            ),
            (
                "1",
                "",
                Err("the API server's version is 1.; it must be two numbers"),
            ),
        ];
        for (major, minor, expected) in table {
            let version = Info {
                major: major.into(),
                minor: minor.into(),
                ..Info::default()
            };
            match (supported(&version), expected) {
                (found, Ok(numbers)) => assert_eq!(found.expect("supported"), numbers),
                (found, Err(start)) => {
                    let error = found.expect_err("not supported").to_string();
                    assert!(error.starts_with(start), "{error}");
                }
            }
        }
    }
}
