//! One case as it would be in a cluster: the real control plane, and for each client of its rows a pod with the real proxy.
//! Before: `pods` stand behind the services. After: `row` sends requests through the proxies.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use outrigger::control::compile::Client;
use outrigger::control::directory::{documents, events};
use outrigger::control::discovery::{self, Authenticate};
use outrigger::control::feed::Feed;
use outrigger::control::world::World;
use outrigger::serve::{Limits, serve};
use outrigger::settings::Settings;
use outrigger_proxy::app;
use outrigger_proxy::config::{Config, Listener};
use outrigger_proxy::http::AccessLog;
use outrigger_proxy::listen::OriginalDestination;
use outrigger_proxy::probe::Probes;
use outrigger_proxy::workers::Workers;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::pods::{Pod, Pods};
use super::tokens::Trust;
use crate::rules::case::Case;
use crate::rules::outcome::short;
use crate::rules::request::Asked;

/// Where clients dial what has no address of its own: an address of no service.
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);

pub(super) struct Town<'a> {
    pub(super) title: &'a str,
    pub(super) pods: &'a Pods,
    pub(super) trust: &'a Trust,
    /// Behind the services and the ServiceEntries.
    pub(super) behind: Vec<Pod>,
    /// By what is asked: what was dialled, and the proxy's port for it.
    ways: BTreeMap<String, (String, SocketAddr)>,
    shutdown: CancellationToken,
    tasks: JoinSet<()>,
    external: JoinSet<()>,
}

/// A client of rows: a pod with nothing in it but the proxy.
struct Asker {
    name: String,
    client: Client,
    /// What its rows ask, and what is dialled for it.
    ways: Vec<(String, String)>,
}

impl Asker {
    /// Nobody else has one like it.
    fn token(&self) -> String {
        format!("{}.{}", self.client.namespace, self.name)
    }
}

impl<'a> Town<'a> {
    pub(super) async fn start(case: &'a Case, cluster: &str, pods: &'a Pods, trust: &'a Trust) -> Self {
        let world = case.world(cluster);
        let mut town = Self {
            title: &case.title,
            pods,
            trust,
            behind: pods.of_services.clone(),
            ways: BTreeMap::new(),
            shutdown: CancellationToken::new(),
            tasks: JoinSet::new(),
            external: JoinSet::new(),
        };
        let mut objects: Vec<Value> = pods.of_services.iter().flat_map(described).collect();
        for manifest in &case.manifests {
            objects.push(town.on_loopback(manifest.clone(), &case.manifests).await);
        }
        let mut askers: Vec<Asker> = Vec::new();
        for row in &case.rows {
            let asked = Asked::parse(&row.asked);
            let way = (row.asked.clone(), asked.dialled(&world));
            match askers.iter_mut().find(|asker| asker.client == asked.client) {
                Some(asker) => asker.ways.push(way),
                None => askers.push(Asker {
                    name: format!("client-{}", askers.len()),
                    client: asked.client,
                    ways: vec![way],
                }),
            }
        }
        for Asker { name, client, .. } in &askers {
            let metadata = json!({"name": name, "namespace": client.namespace, "labels": client.labels});
            objects.push(json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata}));
        }
        let address = town.control_plane(cluster, &objects, &askers).await;
        for asker in askers {
            town.proxy(address, asker).await;
        }
        town
    }

    /// A ServiceEntry whose endpoints are on loopback, or a WorkloadEntry that one of `all` selects; any other object as it is.
    async fn on_loopback(&mut self, mut manifest: Value, all: &[Value]) -> Value {
        match manifest["kind"].as_str() {
            Some("ServiceEntry") if manifest["spec"]["resolution"] == "NONE" => {}
            Some("ServiceEntry") if manifest["spec"]["workloadSelector"].is_object() => {}
            Some("ServiceEntry") => {
                let (own, mut endpoint) = (manifest["spec"].clone(), json!({}));
                self.listen(&own, &mut endpoint).await;
                manifest["spec"]["endpoints"] = json!([endpoint]);
            }
            Some("WorkloadEntry") => {
                let spec = &mut manifest["spec"];
                let selecting = all.iter().map(|one| &one["spec"]).find(|entry| {
                    let selector = entry["workloadSelector"]["labels"].as_object();
                    selector.is_some_and(|all| all.iter().all(|(name, value)| spec["labels"][name] == *value))
                });
                if let Some(entry) = selecting {
                    self.listen(entry, spec).await;
                }
            }
            _ => {}
        }
        manifest
    }

    /// Somebody at each port of a ServiceEntry, for one endpoint of it.
    async fn listen(&mut self, entry: &Value, endpoint: &mut Value) {
        let host = entry["hosts"][0].as_str().expect("a host");
        let labels = endpoint["labels"].as_object().cloned().unwrap_or_default();
        let labels = labels
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str().expect("text")));
        let labels: Vec<_> = labels.collect();
        endpoint["ports"] = json!({});
        for port in entry["ports"].as_array().expect("ports") {
            let name = port["name"].as_str().expect("a name");
            let number = port["number"].as_u64().and_then(|port| u16::try_from(port).ok());
            let to = (number.expect("a port"), name);
            let pod = self.pods.listen(&mut self.external, 255, host, to, &labels).await;
            endpoint["address"] = pod.address.ip().to_string().into();
            endpoint["ports"][name] = pod.address.port().into();
            self.behind.push(pod);
        }
    }

    /// Starts it with everything known, and gives its address.
    async fn control_plane(&mut self, cluster: &str, objects: &[Value], askers: &[Asker]) -> SocketAddr {
        let mut texts = vec![("cluster.yaml".to_owned(), cluster.to_owned())];
        texts.extend(
            objects
                .iter()
                .map(|object| ("case".to_owned(), object.to_string())),
        );
        let read = documents(&texts).and_then(|documents| events(&documents));
        let mut world = World::new("cluster.local".to_owned(), Settings::default().mesh_ranges);
        for event in read.unwrap_or_else(|faults| panic!("{}: {faults:#?}", self.title)) {
            world.apply(event);
        }
        let (feed, sender, reader) = Feed::new(world);
        let shutdown = self.shutdown.clone();
        self.tasks.spawn(async move {
            // Held, so that the feed does not end before the town.
            let _sender = sender;
            feed.run(shutdown).await.expect("a clean end");
        });
        let tokens = askers.iter().map(|asker| {
            let pod = (asker.client.namespace.clone(), asker.name.clone());
            (asker.token(), pod)
        });
        let authenticate = Authenticate::tokens(tokens.collect());
        let shutdown = self.shutdown.clone();
        let router = discovery::router(reader, authenticate, &mut Registry::default(), shutdown.clone());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let tls = self.trust.server.clone();
        self.tasks.spawn(async move {
            let served = serve(listener, tls, router, Limits::default(), shutdown).await;
            served.expect("a clean end");
        });
        address
    }

    /// Starts the proxy of a client, with a port for each destination that its rows dial.
    async fn proxy(&mut self, control_plane: SocketAddr, asker: Asker) {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listener = |(_, dialled): &(String, String)| {
            let port = dialled.rsplit(':').next().and_then(|port| port.parse().ok());
            let outside = SocketAddr::from((OUTSIDE, port.expect("a port")));
            Listener {
                address: any,
                original: OriginalDestination::Fixed(dialled.parse().unwrap_or(outside)),
            }
        };
        let config = Config {
            control_plane: outrigger_proxy::discovery::ControlPlane {
                address: control_plane.to_string(),
                ca_file: self.trust.ca_file(),
                token_file: self.trust.token_file(&asker.token()),
                node: asker.token(),
            },
            outbound: asker.ways.iter().map(listener).collect(),
            inbound: Vec::new(),
            admin: any,
            metrics: any,
            readiness: any,
            drain: Duration::from_secs(1),
            application: Ipv4Addr::LOCALHOST.into(),
            probes: Probes::default(),
            app_metrics: None,
            access_log: AccessLog::default(),
            classic: false,
        };
        let proxy = app::build(config).expect("free ports");
        let ports = proxy.outbound().expect("addresses");
        let mesh = proxy.mesh();
        self.tasks
            .spawn(proxy.run(self.shutdown.clone(), Workers::default()));
        // Before that a pod's containers do not start.
        mesh.ready().await;
        for ((asked, dialled), port) in asker.ways.into_iter().zip(ports) {
            self.ways.insert(asked, (dialled, port));
        }
    }

    /// What a row dials, and the port of its client's proxy for it.
    pub(super) fn way(&self, asked: &str) -> (&str, SocketAddr) {
        let (dialled, port) = &self.ways[asked];
        (dialled, *port)
    }

    pub(super) async fn end(mut self) {
        self.shutdown.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended.expect("no panic");
        }
    }
}

/// A pod and the slice that puts it behind its service, as the cluster describes them.
fn described(pod: &Pod) -> [Value; 2] {
    let (service, namespace) = pod.host.split_once('.').unwrap_or((&pod.host, "default"));
    debug_assert_eq!(short(&pod.host), pod.host);
    let ip = pod.address.ip().to_string();
    let name = format!("{service}-{}-{}", pod.labels["version"], pod.port);
    let metadata = json!({"name": name, "namespace": namespace, "labels": pod.labels});
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {"kubernetes.io/service-name": service},
        },
        "addressType": "IPv4",
        "ports": [{"name": pod.port_name, "port": pod.address.port(), "protocol": "TCP"}],
        "endpoints": [{
            "addresses": [ip],
            "conditions": {"ready": true},
            "targetRef": {"kind": "Pod", "name": name, "namespace": namespace},
        }],
    });
    [
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata}),
        slice,
    ]
}
