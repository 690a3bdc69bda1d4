//! Pods as processes on loopback: a hello server for each port that a Service leads to, and the real proxy in front
//! of it. Without iptables, each proxy has one listener for each destination that its pod can dial.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context;
use http::StatusCode;
use outrigger_proxy::app;
use outrigger_proxy::config::{Config, Listener};
use outrigger_proxy::http::AccessLog;
use outrigger_proxy::listen::OriginalDestination;
use outrigger_proxy::mesh::Mesh;
use outrigger_proxy::probe::Probes;
use outrigger_proxy::workers::Workers;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::control_plane::ControlPlane;
use super::traffic;
use super::workloads::{Destination, Pod, Served};
use crate::inject::PROXY;

/// A pod that runs.
pub(super) struct Running {
    pub(super) pod: Pod,
    /// The ports on the pod's address that stand for its containers'.
    pub(super) served: Vec<Served>,
    /// Where the pod's requests to a destination enter its proxy.
    pub(super) outbound: Vec<(Destination, SocketAddr)>,
    /// What the proxy knows; `None` if the pod has none.
    pub(super) mesh: Option<Mesh>,
    readiness: Option<SocketAddr>,
    containers: usize,
}

impl Running {
    /// Starts a pod as the webhook has made it.
    pub(super) async fn start(
        pod: Pod,
        admitted: &Value,
        ports: &[u16],
        destinations: &[Destination],
        control_plane: &ControlPlane,
        tasks: &mut JoinSet<anyhow::Result<()>>,
        shutdown: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let injected = has_proxy(admitted);
        let version = pod.labels.get("version").unwrap_or(&pod.workload).clone();
        let (mut served, mut inbound) = (Vec::new(), Vec::new());
        for container_port in ports {
            // The proxy takes the same port on the pod's address that the application has on localhost; without a
            // proxy the application has it itself.
            let application: IpAddr = if injected {
                Ipv4Addr::LOCALHOST.into()
            } else {
                pod.ip
            };
            let listener = TcpListener::bind((application, 0)).await?;
            let address = listener.local_addr()?;
            inbound.push(Listener {
                address: (pod.ip, address.port()).into(),
                original: OriginalDestination::Fixed(address),
            });
            served.push(Served {
                container_port: *container_port,
                port: address.port(),
            });
            tasks.spawn(traffic::hello(
                listener,
                version.clone(),
                pod.name.clone(),
                shutdown.clone(),
            ));
        }
        let containers = pod.object["spec"]["containers"].as_array().map_or(0, Vec::len);
        let (outbound, mesh, readiness) = if injected {
            let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
            let dialled = |to: &Destination| OriginalDestination::Fixed((to.ip, to.port).into());
            let config = Config {
                control_plane: control_plane.address(&pod),
                outbound: destinations
                    .iter()
                    .map(|to| Listener {
                        address: any,
                        original: dialled(to),
                    })
                    .collect(),
                inbound,
                admin: any,
                metrics: any,
                readiness: any,
                drain: Duration::from_secs(2),
                application: pod.ip,
                probes: Probes::default(),
                app_metrics: None,
                access_log: AccessLog::default(),
                classic: false,
            };
            let proxy = app::build(config)
                .with_context(|| format!("start the proxy of pod {}/{}", pod.namespace, pod.name))?;
            let outbound = destinations.iter().cloned().zip(proxy.outbound()?).collect();
            let (mesh, readiness) = (proxy.mesh(), proxy.readiness()?);
            let shutdown = shutdown.clone();
            tasks.spawn(async move {
                proxy.run(shutdown, Workers::default()).await;
                Ok(())
            });
            (outbound, Some(mesh), Some(readiness))
        } else {
            (Vec::new(), None, None)
        };
        Ok(Self {
            pod,
            served,
            outbound,
            mesh,
            readiness,
            containers,
        })
    }

    /// How many containers are ready, of how many: as `kubectl get pods` shows it.
    pub(super) async fn ready(&self) -> String {
        let Some(readiness) = self.readiness else {
            return format!("{0}/{0}", self.containers);
        };
        let answer = traffic::get_plain(readiness, "localhost", "/healthz/ready").await;
        let proxy = usize::from(answer.is_ok_and(|(status, _)| status == StatusCode::OK));
        format!("{}/{}", self.containers + proxy, self.containers + 1)
    }
}

/// The containers that the webhook added, as a user sees them in `kubectl describe`.
pub(super) fn added(before: &Value, after: &Value) -> Vec<String> {
    let names = |pod: &Value, list: &str| -> Vec<String> {
        let items = pod["spec"][list].as_array().into_iter().flatten();
        items
            .filter_map(|item| item["name"].as_str().map(str::to_owned))
            .collect()
    };
    let mut added = Vec::new();
    for (list, what) in [("initContainers", ""), ("containers", ""), ("volumes", "volume ")] {
        let known = names(before, list);
        added.extend(
            names(after, list)
                .into_iter()
                .filter(|name| !known.contains(name))
                .map(|name| format!("{what}{name}")),
        );
    }
    added
}

fn has_proxy(pod: &Value) -> bool {
    let lists = ["initContainers", "containers"]
        .into_iter()
        .flat_map(|list| pod["spec"][list].as_array().into_iter().flatten());
    lists.into_iter().any(|container| container["name"] == PROXY)
}
