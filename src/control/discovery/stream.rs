//! One proxy's stream: requests and changes in, responses out, compiled only when there is room to send them, so that
//! a slow proxy holds up nobody and is told what is true then, not what was true in between.

use std::sync::Arc;
use std::time::Duration;

use outrigger_proxy::protocol::discovery::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource};
use outrigger_proxy::protocol::{ENDPOINTS, SELF, SERVICE, WORKLOAD};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};
use tracing::{debug, info, warn};

use super::answers::{Answers, Encoded, told_alike};
use super::interest::{Interest, News};
use super::metrics::Metrics;
use crate::control::audience::{Changes, Lagged, Topic};
use crate::control::compile::{self, Client};
use crate::control::feed::Reader;
use crate::control::world::{Change, Pod, World};

/// A response is sent when it has this many bytes, even if more is due.
const FULL: usize = 1 << 20;
/// How long a proxy that takes nothing may hold up the end of its stream.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Why streams end when the process does: proxies connect again, and find another replica.
pub(super) fn ending() -> Status {
    Status::unavailable("this replica of the control plane is shutting down")
}

pub(super) struct Stream {
    pod: Pod,
    /// Where the pod runs, if its token says so.
    node: Option<String>,
    client: Client,
    reader: Reader,
    answers: Arc<Answers>,
    interest: Interest,
    changes: Changes,
    metrics: Metrics,
    nonce: u64,
}

impl Stream {
    pub(super) fn new(
        pod: Pod,
        node: Option<String>,
        reader: Reader,
        answers: Arc<Answers>,
        metrics: Metrics,
    ) -> Self {
        let (mut topics, changes) = reader.listen();
        topics.add(Topic::Pod(pod.key.clone()));
        let client = Client {
            namespace: pod.key.namespace.clone(),
            labels: pod.labels.clone(),
        };
        Self {
            pod,
            node,
            client,
            reader,
            answers,
            interest: Interest::new(topics),
            changes,
            metrics,
            nonce: 0,
        }
    }

    pub(super) async fn run(
        mut self,
        requests: Streaming<DeltaDiscoveryRequest>,
        responses: mpsc::Sender<Result<DeltaDiscoveryResponse, Status>>,
        shutdown: CancellationToken,
    ) {
        let _connected = self.metrics.connected();
        info!(pod = %self.pod.key, "proxy connected");
        match self.converse(requests, &responses, shutdown).await {
            Ok(()) => info!(pod = %self.pod.key, "proxy disconnected"),
            Err(status) => {
                info!(pod = %self.pod.key, code = ?status.code(), "stream ended: {}", status.message());
                // If the proxy does not take it, the end of the stream says as much.
                let _ = tokio::time::timeout(LAST_WORDS, responses.send(Err(status))).await;
            }
        }
    }

    async fn converse(
        &mut self,
        mut requests: Streaming<DeltaDiscoveryRequest>,
        responses: &mpsc::Sender<Result<DeltaDiscoveryResponse, Status>>,
        shutdown: CancellationToken,
    ) -> Result<(), Status> {
        // Listened to before the first look at the world, so that nothing falls in between.
        self.own_pod()?;
        loop {
            let due = self.interest.due_type().map(str::to_owned);
            tokio::select! {
                () = shutdown.cancelled() => return Err(ending()),
                request = requests.message() => match request {
                    Ok(Some(request)) => self.request(&request)?,
                    Ok(None) => return Ok(()),
                    // The connection went away, which is what proxies do when their pods end.
                    Err(status) => {
                        debug!(pod = %self.pod.key, "stream broke: {status}");
                        return Ok(());
                    }
                },
                change = self.changes.next() => match change {
                    Ok(change) => self.change(&change)?,
                    Err(Lagged) => {
                        self.own_pod()?;
                        self.interest.touch_all();
                    }
                },
                room = responses.reserve(), if due.is_some() => {
                    let Ok(room) = room else { return Ok(()) };
                    if let Some(response) = self.respond(&due.unwrap_or_default()) {
                        room.send(Ok(response));
                    }
                }
            }
        }
    }

    fn request(&mut self, request: &DeltaDiscoveryRequest) -> Result<(), Status> {
        if let Some(error) = &request.error_detail {
            self.metrics.reject(&request.type_url);
            warn!(
                pod = %self.pod.key,
                type_url = request.type_url,
                nonce = request.response_nonce,
                code = error.code,
                "proxy refused an update and keeps what it had: {:?}",
                error.message
            );
        }
        self.interest.request(request).map_err(Status::resource_exhausted)
    }

    fn change(&mut self, change: &Change) -> Result<(), Status> {
        if change.pods.contains(&self.pod.key) {
            self.own_pod()?;
        }
        if change.views {
            self.interest.touch_all();
        }
        self.interest.touch(change);
        Ok(())
    }

    /// Looks at the proxy's own pod again: its labels decide which rules it follows.
    fn own_pod(&mut self) -> Result<(), Status> {
        let world = self.reader.world.borrow();
        let Some(pod) = world.pod(&self.pod.key).filter(|pod| pod.uid == self.pod.uid) else {
            return Err(Status::unauthenticated(format!(
                "Pod {} of this stream is gone",
                self.pod.key
            )));
        };
        if pod.labels != self.client.labels {
            self.client.labels.clone_from(&pod.labels);
            self.interest.touch_type(SERVICE);
        }
        self.interest.touch_type(WORKLOAD);
        Ok(())
    }

    /// As much of what is due of a type as fits, if there is anything to say.
    fn respond(&mut self, type_url: &str) -> Option<DeltaDiscoveryResponse> {
        let mut response = DeltaDiscoveryResponse {
            type_url: type_url.to_owned(),
            ..Default::default()
        };
        let world = self.reader.world.borrow();
        let client = told_alike(&world, &self.client);
        let mut size = 0;
        while size < FULL
            && let Some(name) = self.interest.next_due(type_url)
        {
            let answer = match type_url {
                WORKLOAD => self.workload(&world, &name),
                SERVICE => self.answers.service(&world, &client, &name),
                ENDPOINTS => self.answers.endpoints(&world, &client.namespace, &name),
                // A proxy newer than this: there is nothing of what it asks for here.
                _ => None,
            };
            for host in answer.iter().flat_map(|answer| &answer.hosts) {
                self.interest.belongs(&name, host);
            }
            let version = answer.as_ref().map(|answer| answer.version.as_str());
            match (self.interest.tell(type_url, &name, version), answer) {
                (News::New, Some(answer)) => {
                    size += answer.value.len() + name.len();
                    let resource = prost_types::Any {
                        type_url: type_url.to_owned(),
                        value: answer.value.clone(),
                    };
                    response.resources.push(Resource {
                        version: answer.version.clone(),
                        resource: Some(resource),
                        name,
                    });
                }
                (News::Gone, _) => {
                    size += name.len();
                    response.removed_resources.push(name);
                }
                _ => {}
            }
        }
        drop(world);
        let greet = self.interest.greet(type_url);
        if !greet && response.resources.is_empty() && response.removed_resources.is_empty() {
            return None;
        }
        self.nonce += 1;
        response.nonce = self.nonce.to_string();
        let said = response.resources.len() + response.removed_resources.len();
        self.metrics.push(type_url, said);
        debug!(
            pod = %self.pod.key,
            type_url,
            resources = response.resources.len(),
            removed = response.removed_resources.len(),
            "pushed"
        );
        Some(response)
    }

    fn workload(&self, world: &World, name: &str) -> Option<Arc<Encoded>> {
        let pod = world.pod(&self.pod.key).filter(|_| name == SELF)?;
        self.metrics.compiled(WORKLOAD);
        let workload = compile::workload(world, pod, self.node.as_deref());
        Some(Arc::new(Encoded::new(&workload, Vec::new())))
    }
}
