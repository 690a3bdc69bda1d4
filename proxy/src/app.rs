//! A proxy, put together: binds every address first, then runs until it is told to end and has drained.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::admin::{Admin, Pages};
use crate::config::{Config, Listener};
use crate::discovery;
use crate::drain::{Drain, application};
use crate::inbound::{Application, Inbound};
use crate::listen::{self, Connection, OriginalDestination, Refused};
use crate::mesh::{Mesh, Name};
use crate::metrics::{Carried, Direction, Metrics};
use crate::outbound::Outbound;
use crate::resolver;
use crate::workers::Workers;

/// How often idle connections are looked for.
const SWEEP: Duration = Duration::from_secs(1);

/// A proxy whose addresses are bound.
#[derive(Debug)]
pub struct Bound {
    config: Config,
    outbound: Vec<(TcpListener, OriginalDestination)>,
    inbound: Vec<(TcpListener, OriginalDestination)>,
    admin: TcpListener,
    metrics: TcpListener,
    readiness: TcpListener,
    /// All of these addresses: what else listens in the pod is the application.
    own: HashSet<SocketAddr>,
    mesh: Mesh,
    wanted: mpsc::UnboundedReceiver<Name>,
}

/// Binds every address of a proxy.
///
/// # Errors
/// The address that cannot be bound and why.
pub fn build(config: Config) -> anyhow::Result<Bound> {
    let bind = |listeners: &[Listener]| -> anyhow::Result<Vec<_>> {
        listeners
            .iter()
            .map(|one| Ok((listen::bind(one.address)?, one.original)))
            .collect()
    };
    let (outbound, inbound) = (bind(&config.outbound)?, bind(&config.inbound)?);
    let [admin, metrics, readiness] = [config.admin, config.metrics, config.readiness].map(listen::bind);
    let (admin, metrics, readiness) = (admin?, metrics?, readiness?);
    let own = outbound
        .iter()
        .chain(&inbound)
        .map(|(listener, _)| listener)
        .chain([&admin, &metrics, &readiness])
        .map(TcpListener::local_addr)
        .collect::<Result<_, _>>()?;
    let (mesh, wanted) = Mesh::new();
    Ok(Bound {
        outbound,
        inbound,
        admin,
        metrics,
        readiness,
        own,
        mesh,
        wanted,
        config,
    })
}

impl Bound {
    /// The addresses that outbound connections enter at, in the order of the configuration.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn outbound(&self) -> std::io::Result<Vec<SocketAddr>> {
        self.outbound
            .iter()
            .map(|(listener, _)| listener.local_addr())
            .collect()
    }

    /// The same for inbound connections.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn inbound(&self) -> std::io::Result<Vec<SocketAddr>> {
        self.inbound
            .iter()
            .map(|(listener, _)| listener.local_addr())
            .collect()
    }

    /// The address of metrics, the application's probes and quitting.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn metrics(&self) -> std::io::Result<SocketAddr> {
        self.metrics.local_addr()
    }

    /// The address of the readiness probe.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn readiness(&self) -> std::io::Result<SocketAddr> {
        self.readiness.local_addr()
    }

    /// What the proxy knows, for those who wait until it is ready.
    pub fn mesh(&self) -> Mesh {
        self.mesh.clone()
    }

    /// Runs until `shutdown`, and then until the last connection has ended or the time for it is over. A classic sidecar
    /// also outlives the application. `workers` carry the connections; by default it is the runtime that this runs in.
    pub async fn run(self, shutdown: CancellationToken, workers: Workers) {
        let (metrics, drain) = (Arc::new(Metrics::with(&self.mesh.counts())), Drain::default());
        let outbound = Outbound {
            mesh: self.mesh.clone(),
            drain: drain.clone(),
            metrics: metrics.clone(),
            log: self.config.access_log.clone(),
        };
        let application = Application::default();
        let inbound = Inbound {
            mesh: self.mesh.clone(),
            drain: drain.clone(),
            metrics: metrics.clone(),
            log: self.config.access_log.clone(),
            application: application.clone(),
        };
        // Who asks this proxy to quit ends this one, and not others of the same process.
        let shutdown = shutdown.child_token();
        let admin = Admin::new(
            &self.config,
            self.mesh.clone(),
            drain.clone(),
            metrics.clone(),
            shutdown.clone(),
        );

        // Dropped, and so ended, when the drain is over.
        let mut tasks = JoinSet::new();
        for (listener, original) in self.outbound {
            let outbound = outbound.clone();
            let take = take(
                Direction::Outbound,
                drain.clone(),
                metrics.clone(),
                workers.clone(),
                move |connection| outbound.clone().carry(connection),
            );
            tasks.spawn(listen::accept(listener, original, take));
        }
        for (listener, original) in self.inbound {
            let inbound = inbound.clone();
            let take = take(
                Direction::Inbound,
                drain.clone(),
                metrics.clone(),
                workers.clone(),
                move |connection| inbound.clone().carry(connection),
            );
            tasks.spawn(listen::accept(listener, original, take));
        }
        tasks.spawn(admin.clone().serve(self.admin, Pages::Own));
        tasks.spawn(admin.clone().serve(self.metrics, Pages::Application));
        tasks.spawn(admin.serve(self.readiness, Pages::Readiness));
        let (control_plane, mesh, wanted) = (self.config.control_plane, self.mesh.clone(), self.wanted);
        tasks.spawn(resolver::run(self.mesh.clone(), resolver::lookup));
        tasks.spawn(async move { discovery::run(control_plane, mesh, wanted, &metrics).await });
        tasks.spawn(async move {
            let mut sweep = tokio::time::interval(SWEEP);
            loop {
                sweep.tick().await;
                application.sweep();
                self.mesh.sweep_connections();
            }
        });

        shutdown.cancelled().await;
        let (at_most, classic) = (self.config.drain, self.config.classic);
        tracing::info!(connections = drain.open(), ?at_most, classic, "draining");
        let application = async {
            // A native sidecar is stopped after the application, a classic one with it.
            if classic {
                application::gone(&self.own).await;
            }
        };
        match drain.run(at_most, application).await {
            Ok(()) => tracing::info!("drained"),
            Err(left) => tracing::warn!(
                left,
                "the drain time is over, and the application or these connections are not: they are cut off now"
            ),
        }
        self.config.access_log.flush().await;
    }
}

/// What happens to an accepted connection: carried in a task that the drain counts, or refused and counted.
fn take<F>(
    direction: Direction,
    drain: Drain,
    metrics: Arc<Metrics>,
    workers: Workers,
    carry: impl Fn(Connection) -> F + Clone + Send + 'static,
) -> impl Fn(Result<Connection, Refused>)
where
    F: Future<Output = ()> + Send + 'static,
{
    move |accepted| match accepted {
        Ok(connection) => workers.carry(connection, &drain, carry.clone()),
        Err(refused) => {
            let carried = if matches!(refused, Refused::Loop(_)) {
                Carried::Loop
            } else {
                Carried::Failed
            };
            metrics.connection(direction, carried);
            tracing::warn!(%refused, "connection refused");
        }
    }
}
