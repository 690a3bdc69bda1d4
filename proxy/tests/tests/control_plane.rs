//! A control plane that says what a test tells it to, over the real protocol: delta xDS, gRPC, TLS. It can go away
//! and come back, and it remembers what it was told.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use outrigger_proxy::discovery;
use outrigger_proxy::protocol::discovery::aggregated_discovery_service_server::{
    AggregatedDiscoveryService, AggregatedDiscoveryServiceServer,
};
use outrigger_proxy::protocol::discovery::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource, Status as Refusal,
};
use prost::Message;
use prost_types::Any;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_stream::wrappers::{ReceiverStream, UnboundedReceiverStream};
use tonic::transport::{Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status, Streaming};

pub(crate) const TOKEN: &str = "a.bound.token";

/// Ends when it is dropped.
pub(crate) struct ControlPlane {
    address: SocketAddr,
    files: TempDir,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Everything that proxies have said, in order.
    heard: watch::Sender<Vec<DeltaDiscoveryRequest>>,
}

#[derive(Default)]
struct State {
    away: bool,
    said: u64,
    resources: BTreeMap<Name, Resource>,
    streams: Vec<Stream>,
}

/// Type URL and name.
type Name = (String, String);
type Answers = mpsc::UnboundedSender<Result<DeltaDiscoveryResponse, Status>>;

struct Stream {
    subscribed: BTreeSet<Name>,
    answers: Answers,
}

impl ControlPlane {
    pub(crate) async fn start() -> Self {
        let files = tempfile::tempdir().unwrap();
        let identity = certificates(&files);
        std::fs::write(files.path().join("token"), TOKEN).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let (accepted, incoming) = mpsc::channel(1);
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, shared.clone(), accepted));
        let service = AggregatedDiscoveryServiceServer::from_arc(Arc::new(Service(shared.clone())));
        let serving = Server::builder()
            .tls_config(ServerTlsConfig::new().identity(identity))
            .unwrap()
            .add_service(service)
            .serve_with_incoming(ReceiverStream::new(incoming));
        tasks.spawn(async { serving.await.unwrap() });
        Self {
            address,
            files,
            shared,
            _tasks: tasks,
        }
    }

    /// How a proxy reaches it.
    pub(crate) fn settings(&self) -> discovery::ControlPlane {
        discovery::ControlPlane {
            address: self.address.to_string(),
            ca_file: self.files.path().join("ca.pem"),
            token_file: self.files.path().join("token"),
            node: "default/client".into(),
        }
    }

    /// Publishes a resource. Where a proxy has subscribed to it, waits until that has answered, and gives why the
    /// proxy refused it, if it did.
    pub(crate) async fn publish(&self, kind: &str, name: &str, message: &impl Message) -> Option<Refusal> {
        let nonce = {
            let mut state = self.shared.state.lock().unwrap();
            state.said += 1;
            let resource = Resource {
                version: format!("v{}", state.said),
                name: name.into(),
                resource: Some(Any {
                    type_url: kind.into(),
                    value: message.encode_to_vec(),
                }),
            };
            let name = (kind.to_owned(), name.to_owned());
            state.resources.insert(name.clone(), resource);
            state.tell(&name)?
        };
        self.heard(|request| request.response_nonce == nonce)
            .await
            .error_detail
    }

    /// The first that was ever said to it for which `wanted` holds.
    pub(crate) async fn heard(
        &self,
        wanted: impl Fn(&DeltaDiscoveryRequest) -> bool,
    ) -> DeltaDiscoveryRequest {
        let mut heard = self.shared.heard.subscribe();
        let heard = heard.wait_for(|all| all.iter().any(&wanted)).await.unwrap();
        heard.iter().find(|request| wanted(request)).unwrap().clone()
    }

    /// Ends every stream and takes no other.
    pub(crate) fn leave(&self) {
        let mut state = self.shared.state.lock().unwrap();
        state.away = true;
        state.streams.clear();
        self.shared.heard.send_modify(Vec::clear);
    }

    /// Takes streams again, as a new replica that knows nothing of the old streams.
    pub(crate) fn come_back(&self) {
        self.shared.state.lock().unwrap().away = false;
    }
}

/// A certificate authority of its own for each; gives the server's certificate.
fn certificates(files: &TempDir) -> Identity {
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
    std::fs::write(files.path().join("ca.pem"), ca.pem()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    let leaf = leaf.signed_by(&key, &ca).unwrap();
    Identity::from_pem(leaf.pem(), key.serialize_pem())
}

/// The port stays bound while the control plane is away, so that no one else gets it.
async fn accept(
    listener: TcpListener,
    shared: Arc<Shared>,
    accepted: mpsc::Sender<std::io::Result<TcpStream>>,
) {
    while let Ok((stream, _)) = listener.accept().await {
        let away = shared.state.lock().unwrap().away;
        if !away && accepted.send(Ok(stream)).await.is_err() {
            return;
        }
    }
}

struct Service(Arc<Shared>);

#[tonic::async_trait]
impl AggregatedDiscoveryService for Service {
    type DeltaAggregatedResourcesStream =
        Pin<Box<dyn tokio_stream::Stream<Item = Result<DeltaDiscoveryResponse, Status>> + Send>>;

    async fn delta_aggregated_resources(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, Status> {
        let bearer = request.metadata().get("authorization");
        if bearer.is_none_or(|bearer| bearer != format!("Bearer {TOKEN}").as_str()) {
            return Err(Status::unauthenticated("no token"));
        }
        let (answers, receiver) = mpsc::unbounded_channel();
        self.0.state.lock().unwrap().streams.push(Stream {
            subscribed: BTreeSet::new(),
            answers: answers.clone(),
        });
        tokio::spawn(listen(self.0.clone(), request.into_inner(), answers.downgrade()));
        Ok(Response::new(Box::pin(UnboundedReceiverStream::new(receiver))))
    }
}

async fn listen(
    shared: Arc<Shared>,
    mut requests: Streaming<DeltaDiscoveryRequest>,
    answers: mpsc::WeakUnboundedSender<Result<DeltaDiscoveryResponse, Status>>,
) {
    while let Ok(Some(request)) = requests.message().await {
        if let Some(answers) = answers.upgrade() {
            shared.state.lock().unwrap().take(&request, &answers);
        }
        shared.heard.send_modify(|heard| heard.push(request));
    }
}

impl State {
    /// Answers a subscription with what there is, or that there is nothing, unless the proxy has it already.
    fn take(&mut self, request: &DeltaDiscoveryRequest, answers: &Answers) {
        let Some(at) = self
            .streams
            .iter()
            .position(|stream| stream.answers.same_channel(answers))
        else {
            return;
        };
        for name in &request.resource_names_subscribe {
            let key = (request.type_url.clone(), name.clone());
            self.streams[at].subscribed.insert(key.clone());
            let held = request.initial_resource_versions.get(name);
            let there = self.resources.get(&key).map(|resource| &resource.version);
            if held.is_none() || held != there {
                self.say(at, &key);
            }
        }
        for name in &request.resource_names_unsubscribe {
            self.streams[at]
                .subscribed
                .remove(&(request.type_url.clone(), name.clone()));
        }
    }

    /// Tells the streams that have subscribed to it; gives the nonce of the last.
    fn tell(&mut self, name: &Name) -> Option<String> {
        let streams = (0..self.streams.len()).filter(|at| self.streams[*at].subscribed.contains(name));
        let streams: Vec<usize> = streams.collect();
        streams.into_iter().map(|at| self.say(at, name)).last()
    }

    fn say(&mut self, stream: usize, name: &Name) -> String {
        self.said += 1;
        let nonce = format!("n{}", self.said);
        let resource = self.resources.get(name).cloned();
        let response = DeltaDiscoveryResponse {
            type_url: name.0.clone(),
            nonce: nonce.clone(),
            removed_resources: resource.is_none().then(|| name.1.clone()).into_iter().collect(),
            resources: resource.into_iter().collect(),
            ..Default::default()
        };
        // A proxy that has just gone does not hear it.
        let _ = self.streams[stream].answers.send(Ok(response));
        nonce
    }
}
