//! The control plane as `outrigger controller` puts it together, with `cluster` in place of the API server: events come in
//! by the door of the watch, and tokens are in a table.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use outrigger::control::discovery::{self, Authenticate};
use outrigger::control::feed::{Feed, Reader};
use outrigger::control::world::{Event, Kind, World};
use outrigger::serve::{Limits, serve};
use outrigger::settings::Settings;
use outrigger_certs::{Authority, Request, ServingCertificate, server_config};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::interval;
use tokio_util::sync::CancellationToken;

use crate::cluster::{Cluster, pod_of, scattered, slice, token};
use crate::lines::{FromController, ToController, Told, now, say};

const VALIDITY: Duration = Duration::from_secs(24 * 60 * 60);

pub(crate) async fn run(cluster: Cluster) -> anyhow::Result<()> {
    let shutdown = CancellationToken::new();
    let settings = Settings::default();
    let world = World::new(settings.cluster_domain.clone(), settings.mesh_ranges.clone());
    let (feed, events, reader) = Feed::new(world);
    let tokens: BTreeMap<_, _> = (0..cluster.proxies)
        .map(|proxy| (token(proxy), pod_of(proxy)))
        .collect();
    let router = discovery::router(
        reader.clone(),
        Authenticate::tokens(tokens),
        &mut Registry::default(),
        shutdown.clone(),
    );

    let authority = Authority::generate("outrigger-scale", VALIDITY, SystemTime::now())?;
    let names = Request {
        dns_names: vec!["localhost".to_owned()],
        ips: vec![Ipv4Addr::LOCALHOST.into()],
    };
    let serving = Arc::new(ServingCertificate::default());
    serving.replace(authority.issue(&names, VALIDITY, SystemTime::now())?)?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let mut told = Told::new();
    say(&FromController::Listening {
        address: listener.local_addr()?.to_string(),
        ca: authority.certificate_pem().to_owned(),
    })?;
    let tls = Arc::new(server_config(serving)?);
    tokio::spawn(feed.run(shutdown.clone()));
    tokio::spawn(serve(listener, tls, router, Limits::default(), shutdown.clone()));

    let mut changes = Changes {
        cluster,
        events,
        reader,
        unready: BTreeSet::new(),
        version: 0,
        sent: 0,
    };
    while let Some(asked) = told.next::<ToController>().await? {
        let begun = now();
        match asked {
            ToController::Load => {
                for kind in Kind::ALL {
                    let event = cluster.listed(kind)?;
                    changes.send(event).await?;
                }
            }
            ToController::Endpoint(service) => changes.endpoint(service).await?,
            ToController::Rule(service) => changes.rule(service).await?,
            ToController::Churn { per_second, seconds } => changes.churn(per_second, seconds).await?,
        }
        changes.taken_in().await?;
        say(&FromController::Done { begun, ended: now() })?;
    }
    shutdown.cancel();
    Ok(())
}

/// What happens in the cluster.
struct Changes {
    cluster: Cluster,
    events: mpsc::Sender<Event>,
    reader: Reader,
    /// The services whose last endpoint is not ready.
    unready: BTreeSet<usize>,
    version: u64,
    sent: u64,
}

impl Changes {
    async fn send(&mut self, event: Event) -> anyhow::Result<()> {
        self.sent += 1;
        Ok(self.events.send(event).await?)
    }

    async fn taken_in(&mut self) -> anyhow::Result<()> {
        let sent = self.sent;
        self.reader.world.wait_for(|world| world.events() >= sent).await?;
        Ok(())
    }

    async fn endpoint(&mut self, service: usize) -> anyhow::Result<()> {
        let ready = self.unready.remove(&service);
        if !ready {
            self.unready.insert(service);
        }
        self.send(Event::Apply(slice(service, ready)?)).await
    }

    async fn rule(&mut self, service: usize) -> anyhow::Result<()> {
        self.version += 1;
        let rule = self.cluster.virtual_service(service, self.version)?;
        self.send(Event::Apply(rule)).await
    }

    async fn churn(&mut self, per_second: u64, seconds: u64) -> anyhow::Result<()> {
        let mut ticks = interval(Duration::from_secs(1) / u32::try_from(per_second.max(1))?);
        for number in 0..usize::try_from(per_second * seconds)? {
            ticks.tick().await;
            self.endpoint(scattered(number) % self.cluster.services).await?;
        }
        Ok(())
    }
}
