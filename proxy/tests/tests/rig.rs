//! A proxy and its control plane, put together and ready.

use std::net::SocketAddr;
use std::time::Duration;

use outrigger_proxy::app;
use outrigger_proxy::config::{Config, Listener};
use outrigger_proxy::discovery;
use outrigger_proxy::http::AccessLog;
use outrigger_proxy::listen::OriginalDestination;
use outrigger_proxy::mesh::Mesh;
use outrigger_proxy::metrics::app::AppMetrics;
use outrigger_proxy::probe::Probes;
use outrigger_proxy::protocol::mesh::{InboundPort, Protocol, Service, Workload};
use outrigger_proxy::protocol::{ENDPOINTS, SELF, SERVICE, WORKLOAD};
use outrigger_proxy::workers::Workers;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::client::Client;
use super::control_plane::ControlPlane;
use super::published::{default_http, endpoints};

/// The address that the pod's application dials in most stories.
pub(crate) const VIP: &str = "10.96.0.7:5000";

pub(crate) struct Rig {
    pub(crate) control_plane: ControlPlane,
    pub(crate) proxy: Proxy,
}

pub(crate) struct Proxy {
    /// Where connections to the destination enter.
    pub(crate) outbound: SocketAddr,
    /// Where connections to the pod's application enter, if it has one.
    pub(crate) inbound: Option<SocketAddr>,
    /// Where metrics, probes and quitting are.
    pub(crate) metrics: SocketAddr,
    pub(crate) readiness: SocketAddr,
    pub(crate) mesh: Mesh,
    shutdown: CancellationToken,
    running: JoinHandle<()>,
}

impl Rig {
    /// A ready proxy whose outbound connections go to [`VIP`], where there is nothing yet.
    pub(crate) async fn start() -> Self {
        Self::towards(VIP.parse().unwrap(), None).await
    }

    /// The same with the usual service at [`VIP`] and these endpoints.
    pub(crate) async fn with(addresses: &[SocketAddr]) -> Self {
        let rig = Self::start().await;
        rig.service(&default_http("all")).await;
        rig.endpoints("all", addresses).await;
        rig
    }

    /// The same for any destination, and for an application that speaks HTTP.
    pub(crate) async fn towards(destination: SocketAddr, application: Option<SocketAddr>) -> Self {
        let control_plane = ControlPlane::start().await;
        let proxy = Proxy::start(&control_plane, destination, application);
        Self::ready(control_plane, proxy, application).await
    }

    /// As [`Rig::start`], with an access log.
    pub(crate) async fn logging(log: AccessLog) -> Self {
        let control_plane = ControlPlane::start().await;
        let proxy = Proxy::logging(&control_plane, VIP.parse().unwrap(), log);
        Self::ready(control_plane, proxy, None).await
    }

    async fn ready(control_plane: ControlPlane, proxy: Proxy, application: Option<SocketAddr>) -> Self {
        let port = |address: SocketAddr| InboundPort {
            port: address.port().into(),
            protocol: Protocol::Http.into(),
        };
        let workload = Workload {
            namespace: "default".into(),
            name: "client".into(),
            inbound_ports: application.map(port).into_iter().collect(),
            ..Default::default()
        };
        control_plane.publish(WORKLOAD, SELF, &workload).await;
        proxy.mesh.ready().await;
        Self { control_plane, proxy }
    }

    /// Publishes what is at [`VIP`], and waits until the proxy has it, if it uses it.
    pub(crate) async fn service(&self, service: &Service) {
        assert_eq!(self.control_plane.publish(SERVICE, VIP, service).await, None);
    }

    pub(crate) async fn endpoints(&self, name: &str, addresses: &[SocketAddr]) {
        let refusal = self
            .control_plane
            .publish(ENDPOINTS, name, &endpoints(addresses))
            .await;
        assert_eq!(refusal, None);
    }

    /// A client in the pod.
    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.proxy.outbound).await
    }
}

impl Proxy {
    pub(crate) fn start(
        control_plane: &ControlPlane,
        destination: SocketAddr,
        application: Option<SocketAddr>,
    ) -> Self {
        let inbound: Vec<_> = application.map(OriginalDestination::Fixed).into_iter().collect();
        Self::listening(
            control_plane,
            &[OriginalDestination::Fixed(destination)],
            &inbound,
        )
    }

    /// Without an application, and with an access log.
    fn logging(control_plane: &ControlPlane, destination: SocketAddr, log: AccessLog) -> Self {
        Self::configured(Config {
            outbound: vec![Listener {
                address: SocketAddr::from(([127, 0, 0, 1], 0)),
                original: OriginalDestination::Fixed(destination),
            }],
            access_log: log,
            ..config(control_plane.settings())
        })
    }

    /// With any listeners.
    pub(crate) fn listening(
        control_plane: &ControlPlane,
        outbound: &[OriginalDestination],
        inbound: &[OriginalDestination],
    ) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = |original: &OriginalDestination| Listener {
            address,
            original: *original,
        };
        Self::configured(Config {
            outbound: outbound.iter().map(listener).collect(),
            inbound: inbound.iter().map(listener).collect(),
            ..config(control_plane.settings())
        })
    }

    /// Beside an application on loopback, with what the injector says of it, and far from any control plane.
    pub(crate) fn beside(probes: &str, app_metrics: Option<&str>) -> Self {
        let nowhere = discovery::ControlPlane {
            address: "127.0.0.1:0".into(),
            ca_file: "/nowhere".into(),
            token_file: "/nowhere".into(),
            node: "default/client".into(),
        };
        let destination = SocketAddr::from(([127, 0, 0, 1], 0));
        Self::configured(Config {
            outbound: vec![Listener {
                address: destination,
                original: OriginalDestination::Fixed(destination),
            }],
            probes: Probes::parse(probes, 15020).unwrap(),
            app_metrics: app_metrics.map(|json| AppMetrics::parse(json, 15020).unwrap()),
            ..config(nowhere)
        })
    }

    fn configured(config: Config) -> Self {
        let bound = app::build(config).unwrap();
        let shutdown = CancellationToken::new();
        Self {
            outbound: bound.outbound().unwrap()[0],
            inbound: bound.inbound().unwrap().first().copied(),
            metrics: bound.metrics().unwrap(),
            readiness: bound.readiness().unwrap(),
            mesh: bound.mesh(),
            running: tokio::spawn(bound.run(shutdown.clone(), Workers::default())),
            shutdown,
        }
    }

    /// What the readiness probe gets.
    pub(crate) async fn readiness(&self) -> u16 {
        let mut client = Client::connect(self.readiness).await;
        client.get("/healthz/ready").await.status.as_u16()
    }

    /// As SIGTERM.
    pub(crate) fn terminate(&self) {
        self.shutdown.cancel();
    }

    /// Waits until it has ended.
    pub(crate) async fn ended(self) {
        self.running.await.unwrap();
    }

    pub(crate) fn is_running(&self) -> bool {
        !self.running.is_finished()
    }
}

/// Any free ports on loopback, nothing to listen for yet, and nothing known of an application.
fn config(control_plane: discovery::ControlPlane) -> Config {
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    Config {
        control_plane,
        outbound: Vec::new(),
        inbound: Vec::new(),
        admin: address,
        metrics: address,
        readiness: address,
        drain: Duration::from_secs(30),
        application: address.ip(),
        probes: Probes::default(),
        app_metrics: None,
        access_log: AccessLog::default(),
        classic: false,
    }
}
