//! The stream to the control plane: delta xDS over TLS, opened again whenever it ends. What arrives goes into
//! `mesh`; what `mesh` misses is asked for here.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow};
use tokio::sync::mpsc;
use tokio::time::{Instant, interval, timeout};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Streaming};

use crate::balance;
use crate::mesh::{Link, Mesh, Name, Names};
use crate::metrics::Metrics;
use crate::protocol::discovery::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use crate::protocol::discovery::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, Node, Status};
use crate::protocol::{ENDPOINTS, SERVICE};

/// Waiting times between attempts to connect: doubled from the first to the last, with jitter.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Pings notice a control plane that is gone without a word.
const PING_INTERVAL: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(5);
/// How often idle subscriptions are looked for.
const SWEEP: Duration = Duration::from_secs(1);
/// gRPC's INVALID_ARGUMENT, for updates that are refused.
const INVALID_ARGUMENT: i32 = 3;
/// A token of a few kilobytes and a bundle of a few certificates; more is a mistake.
const LARGEST_FILE: u64 = 1 << 20;

/// Where the control plane is and how to speak to it.
#[derive(Debug, Clone)]
pub struct ControlPlane {
    /// `host:port`; the host is also the name that its certificate must have.
    pub address: String,
    /// The certificates to trust, in PEM. Read at each attempt, since they are rotated.
    pub ca_file: PathBuf,
    /// The pod's bound service-account token. Read at each attempt, since it is renewed.
    pub token_file: PathBuf,
    /// Name of this proxy in the control plane's log; proves nothing.
    pub node: String,
}

/// Keeps a stream open for ever; `wanted` yields the names to subscribe to.
pub async fn run(
    control_plane: ControlPlane,
    mesh: Mesh,
    mut wanted: mpsc::UnboundedReceiver<Name>,
    metrics: &Metrics,
) {
    let mut wait = FIRST_WAIT;
    loop {
        let mut answered = false;
        let ended = converse(&control_plane, &mesh, &mut wanted, metrics, &mut answered).await;
        if answered {
            wait = FIRST_WAIT;
            mesh.set_link(Link::Away(Instant::now()));
            metrics.connected(false);
        }
        if let Err(error) = ended {
            let error = format!("{error:#}");
            tracing::warn!(control_plane = control_plane.address, error, again_in = ?wait, "control plane away; what is known stays in use");
        }
        // Half of it is left to chance, so that a thousand proxies do not come back in the same moment.
        let jitter = balance::random() % (wait.as_millis() as u64 / 2 + 1);
        tokio::time::sleep(wait / 2 + Duration::from_millis(jitter)).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

/// One stream, from its opening to its end.
async fn converse(
    control_plane: &ControlPlane,
    mesh: &Mesh,
    wanted: &mut mpsc::UnboundedReceiver<Name>,
    metrics: &Metrics,
    answered: &mut bool,
) -> anyhow::Result<()> {
    let (requests, mut responses) = open(control_plane, mesh, wanted).await?;
    let mut sweep = interval(SWEEP);
    loop {
        tokio::select! {
            response = responses.message() => {
                let response = response.context("stream")?.ok_or_else(|| anyhow!("the control plane closed the stream"))?;
                if !std::mem::replace(answered, true) {
                    mesh.set_link(Link::Up);
                    metrics.connected(true);
                    tracing::info!(control_plane = control_plane.address, "connected");
                }
                for request in answer(mesh, response, metrics) {
                    requests.send(request)?;
                }
            }
            Some(name) = wanted.recv() => {
                let mut names = vec![name.to_string()];
                while let Ok(name) = wanted.try_recv() {
                    names.push(name.to_string());
                }
                requests.send(subscribe((SERVICE, names)))?;
            }
            _ = sweep.tick() => for (kind, names) in mesh.sweep() {
                let request = DeltaDiscoveryRequest { type_url: kind.into(), resource_names_unsubscribe: names, ..Default::default() };
                requests.send(request)?;
            }
        }
    }
}

type Stream = (
    mpsc::UnboundedSender<DeltaDiscoveryRequest>,
    Streaming<DeltaDiscoveryResponse>,
);

async fn open(
    control_plane: &ControlPlane,
    mesh: &Mesh,
    wanted: &mut mpsc::UnboundedReceiver<Name>,
) -> anyhow::Result<Stream> {
    let token = read(&control_plane.token_file).await?;
    let channel = connect(control_plane)
        .await
        .with_context(|| format!("connect to {}", control_plane.address))?;
    // What was wanted until now is part of all that is subscribed to below.
    while wanted.try_recv().is_ok() {}
    let subscriptions = mesh.subscriptions();
    // Never waits: a control plane that waits to be read would wait for ever. There are never more than answers.
    let (requests, receiver) = mpsc::unbounded_channel();
    let node = Node {
        id: control_plane.node.clone(),
        ..Default::default()
    };
    for (names, initial_resource_versions) in subscriptions {
        let request = subscribe(names);
        requests.send(DeltaDiscoveryRequest {
            node: Some(node.clone()),
            initial_resource_versions,
            ..request
        })?;
    }
    let mut request = Request::new(UnboundedReceiverStream::new(receiver));
    let bearer = format!("Bearer {}", token.trim());
    let bearer = bearer
        .parse()
        .with_context(|| format!("{}: not a token", control_plane.token_file.display()))?;
    request.metadata_mut().insert("authorization", bearer);
    let mut client = AggregatedDiscoveryServiceClient::new(channel).max_decoding_message_size(64 << 20);
    let call = timeout(CONNECT_TIMEOUT, client.delta_aggregated_resources(request));
    let responses = call
        .await
        .context("no answer from the control plane")?
        .map_err(|status| anyhow!("{}: {}", status.code(), status.message()))?;
    Ok((requests, responses.into_inner()))
}

async fn connect(control_plane: &ControlPlane) -> anyhow::Result<Channel> {
    let ca = read(&control_plane.ca_file).await?;
    let (host, _) = control_plane
        .address
        .rsplit_once(':')
        .context("the address is not host:port")?;
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(ca))
        .domain_name(host.trim_matches(['[', ']']));
    let endpoint = Endpoint::from_shared(format!("https://{}", control_plane.address))?
        .tls_config(tls)?
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .keep_alive_while_idle(true);
    Ok(endpoint.connect().await?)
}

async fn read(path: &std::path::Path) -> anyhow::Result<String> {
    use tokio::io::AsyncReadExt;
    let mut text = String::new();
    let file = tokio::fs::File::open(path)
        .await
        .with_context(|| path.display().to_string())?;
    file.take(LARGEST_FILE)
        .read_to_string(&mut text)
        .await
        .with_context(|| path.display().to_string())?;
    Ok(text)
}

fn subscribe((kind, names): Names) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        type_url: kind.into(),
        resource_names_subscribe: names,
        ..Default::default()
    }
}

/// What to say to a response: that it was taken or why not, and what it made necessary.
fn answer(mesh: &Mesh, response: DeltaDiscoveryResponse, metrics: &Metrics) -> Vec<DeltaDiscoveryRequest> {
    let (type_url, response_nonce) = (response.type_url.clone(), response.nonce.clone());
    let (wanted, refused) = mesh.apply(response);
    let error_detail = (!refused.is_empty()).then(|| {
        metrics.refused_update();
        let message = refused
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("; ");
        tracing::error!(
            type_url,
            message,
            "update refused; what was known before stays in use"
        );
        Status {
            code: INVALID_ARGUMENT,
            message,
        }
    });
    let mut requests = Vec::with_capacity(2);
    if !wanted.is_empty() {
        requests.push(subscribe((ENDPOINTS, wanted)));
    }
    requests.push(DeltaDiscoveryRequest {
        type_url,
        response_nonce,
        error_detail,
        resource_names_subscribe: Vec::new(),
        resource_names_unsubscribe: Vec::new(),
        initial_resource_versions: HashMap::new(),
        node: None,
    });
    requests
}
