//! The control plane of the demo: the real webhook and the real discovery over TLS on loopback, fed from a
//! directory, with a CA of its own and a token for each pod in place of the API server's.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, anyhow, bail, ensure};
use http::StatusCode;
use json_patch::Patch;
use outrigger_certs::{Authority, Request, ServingCertificate};
use outrigger_proxy::discovery::ControlPlane as Address;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::traffic::post_tls;
use super::workloads::Pod;
use crate::control::directory::{documents, events};
use crate::control::discovery::{self, Authenticate};
use crate::control::feed::{Feed, Reader};
use crate::control::world::{Event, World};
use crate::serve::{Limits, serve};
use crate::settings::Settings;
use crate::webhook::{self, Webhook};

/// A demo is over sooner.
const VALIDITY: Duration = Duration::from_secs(30 * 24 * 60 * 60);

pub(super) struct ControlPlane {
    /// What the cluster holds.
    pub(super) reader: Reader,
    events: mpsc::Sender<Event>,
    webhook: SocketAddr,
    discovery: SocketAddr,
    tls: Arc<rustls::ClientConfig>,
    files: PathBuf,
}

impl ControlPlane {
    /// Starts it; `files` is a directory for the CA's certificate and the tokens.
    pub(super) async fn start(
        pods: &[Pod],
        files: &Path,
        tasks: &mut JoinSet<anyhow::Result<()>>,
        shutdown: CancellationToken,
    ) -> anyhow::Result<Self> {
        let settings = Arc::new(Settings::default());
        let (feed, events, reader) = Feed::new(World::new(
            settings.cluster_domain.clone(),
            settings.mesh_ranges.clone(),
        ));
        tasks.spawn(feed.run(shutdown.clone()));
        let now = SystemTime::now();
        let authority = Authority::generate("outrigger-demo", VALIDITY, now)?;
        let names = Request {
            dns_names: vec!["localhost".into()],
            ips: vec![Ipv4Addr::LOCALHOST.into()],
        };
        let serving = Arc::new(ServingCertificate::default());
        serving.replace(authority.issue(&names, VALIDITY, now)?)?;
        let tls = Arc::new(outrigger_certs::server_config(serving)?);
        std::fs::write(files.join("ca.pem"), authority.certificate_pem())?;
        let mut tokens = BTreeMap::new();
        for pod in pods {
            let token = token(&authority, pod)?;
            std::fs::write(token_file(files, pod), &token)?;
            tokens.insert(token, (pod.namespace.clone(), pod.name.clone()));
        }

        let webhook = Webhook {
            settings,
            world: reader.world.clone(),
            metrics: webhook::Metrics::default(),
            events: webhook::Events::default(),
        };
        let authenticate = Authenticate::tokens(tokens);
        let discovery = discovery::router(
            reader.clone(),
            authenticate,
            &mut Registry::default(),
            shutdown.clone(),
        );
        let mut addresses = Vec::new();
        for router in [webhook::router(webhook), discovery] {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
            addresses.push(listener.local_addr()?);
            tasks.spawn(serve(
                listener,
                tls.clone(),
                router,
                Limits::default(),
                shutdown.clone(),
            ));
        }
        let client = outrigger_certs::client_config(authority.certificate_pem())?;
        Ok(Self {
            reader,
            events,
            webhook: addresses[0],
            discovery: addresses[1],
            tls: Arc::new(client),
            files: files.into(),
        })
    }

    /// Makes these objects all that the cluster holds.
    pub(super) async fn hold(&self, objects: impl IntoIterator<Item = &Value>) -> anyhow::Result<()> {
        // JSON is YAML: so everything that the world is told comes in by the same door.
        let texts = objects
            .into_iter()
            .map(|object| ("demo".to_owned(), object.to_string()))
            .collect::<Vec<_>>();
        let read = documents(&texts).and_then(|documents| events(&documents));
        let events = read.map_err(|faults| anyhow!(super::lines(&faults)))?;
        let mut world = self.reader.world.clone();
        let taken_in = world.borrow().events() + events.len() as u64;
        for event in events {
            self.events.send(event).await?;
        }
        world.wait_for(|world| world.events() >= taken_in).await?;
        Ok(())
    }

    /// What the webhook makes of a pod, asked as the API server asks.
    ///
    /// # Errors
    /// That it refuses the pod, and why.
    pub(super) async fn admit(&self, pod: &Pod) -> anyhow::Result<Value> {
        let review = json!({
            "apiVersion": "admission.k8s.io/v1",
            "kind": "AdmissionReview",
            "request": {
                "uid": pod.name,
                "kind": {"group": "", "version": "v1", "kind": "Pod"},
                "resource": {"group": "", "version": "v1", "resource": "pods"},
                "namespace": pod.namespace,
                "operation": "CREATE",
                "object": pod.object,
            },
        });
        let (status, text) = post_tls(
            self.webhook,
            self.tls.clone(),
            "/inject?timeout=5s",
            review.to_string(),
        )
        .await?;
        ensure!(status == StatusCode::OK, "the webhook answered {status}: {text}");
        let review: Value = serde_json::from_str(&text)?;
        let response = &review["response"];
        if response["allowed"] != true {
            bail!(
                "{}",
                response["status"]["message"]
                    .as_str()
                    .unwrap_or("the webhook refuses the pod")
            );
        }
        let mut object = pod.object.clone();
        if let Some(patch) = response["patch"].as_str() {
            let patch: Patch = serde_json::from_slice(&decode(patch)?)?;
            json_patch::patch(&mut object, &patch).context("apply the webhook's patch")?;
        }
        Ok(object)
    }

    /// How a pod's proxy reaches discovery.
    pub(super) fn address(&self, pod: &Pod) -> Address {
        Address {
            address: self.discovery.to_string(),
            ca_file: self.files.join("ca.pem"),
            token_file: token_file(&self.files, pod),
            node: format!("{}/{}", pod.namespace, pod.name),
        }
    }
}

/// A secret that only this process knows: a fresh private key is as random as there is.
fn token(authority: &Authority, pod: &Pod) -> anyhow::Result<String> {
    let names = Request {
        dns_names: vec![pod.name.clone()],
        ips: Vec::new(),
    };
    let identity = authority.issue(&names, VALIDITY, SystemTime::now())?;
    let digest = identity.key.secret_der().iter().map(|byte| format!("{byte:02x}"));
    Ok(digest.collect())
}

fn token_file(files: &Path, pod: &Pod) -> PathBuf {
    files.join(format!("token-{}-{}", pod.namespace, pod.name))
}

/// The patch of an AdmissionReview is base64; so are the values of a Secret, whose type decodes it.
fn decode(text: &str) -> anyhow::Result<Vec<u8>> {
    let bytes: k8s_openapi::ByteString =
        serde_json::from_value(text.into()).context("the patch is not base64")?;
    Ok(bytes.0)
}
