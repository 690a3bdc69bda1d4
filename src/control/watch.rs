//! Watches the cluster: what the API server says, as events. After: `feed` applies them.
//!
//! Needs `list` and `watch`, cluster-wide, on `namespaces`, `nodes`, `pods` and `services` of the core group, `endpointslices` of
//! `discovery.k8s.io`, and `virtualservices`, `destinationrules`, `serviceentries`, `workloadentries` and `sidecars` of
//! `networking.istio.io`, which are watched in the newest version that is served.

mod addresses;
mod listed;

use std::pin::pin;
use std::time::Duration;

use futures::{Stream, StreamExt, stream};
use k8s_openapi::api::core::v1::{Namespace, Node, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::ApiResource;
use kube::api::{DynamicObject, PartialObjectMeta};
use kube::core::Status;
use kube::runtime::watcher::{self, watcher};
use kube::{Api, Client, Resource};
use tokio::sync::{mpsc, watch as channel};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::served::served;
use super::world::{Event, Key, Kind, Object, Rule, RuleSpec, World};
use crate::api::IstioKind;
pub use listed::list;

/// Waiting times between attempts: doubled from the first to the last.
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(15);
/// Objects per answer of a first list: a bound on what is held at once.
const PAGE: u32 = 500;

/// Watches every kind until `shutdown`; the `world` that the events make says which pods' addresses matter. Trouble with one kind is logged, tried again, and does not stop the others.
///
/// # Errors
/// If nobody takes the events any more.
pub async fn run(
    client: Client,
    feed: mpsc::Sender<Event>,
    world: channel::Receiver<World>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let istio = |kind| rules(client.clone(), kind);
    // Of nodes, pods and namespaces the API server sends the metadata alone.
    let namespaces = watcher(Api::<PartialObjectMeta<Namespace>>::all(client.clone()), config());
    let nodes = watcher(Api::<PartialObjectMeta<Node>>::all(client.clone()), config());
    let pods = watcher(Api::<PartialObjectMeta<Pod>>::all(client.clone()), config());
    let services = watcher(Api::<Service>::all(client.clone()), config());
    let slices = watcher(Api::<EndpointSlice>::all(client.clone()), config());
    let virtual_services = istio(IstioKind::VirtualService);
    let destination_rules = istio(IstioKind::DestinationRule);
    let service_entries = istio(IstioKind::ServiceEntry);
    let workload_entries = istio(IstioKind::WorkloadEntry);
    let sidecars = istio(IstioKind::Sidecar);
    let watching = async {
        tokio::try_join!(
            watch(Kind::Namespace, namespaces, &feed, |object| Some(
                Object::Namespace(object.metadata.into())
            )),
            watch(Kind::Node, nodes, &feed, |object| Some(Object::Node(
                object.metadata.into()
            ))),
            watch(Kind::Pod, pods, &feed, |object| Some(Object::Pod(
                object.metadata.into()
            ))),
            watch(Kind::Service, services, &feed, |service| Some(Object::Service(
                service.into()
            ))),
            watch(Kind::EndpointSlice, slices, &feed, |slice| Some(
                Object::EndpointSlice(slice.into())
            )),
            watch(Kind::VirtualService, virtual_services, &feed, |object| {
                rule(&object).map(Object::VirtualService)
            }),
            watch(Kind::DestinationRule, destination_rules, &feed, |object| {
                rule(&object).map(|rule| Object::DestinationRule(Box::new(rule)))
            }),
            watch(Kind::ServiceEntry, service_entries, &feed, |object| {
                rule(&object).map(|rule| Object::ServiceEntry(Box::new(rule)))
            }),
            watch(Kind::WorkloadEntry, workload_entries, &feed, |object| {
                rule(&object).map(|rule| Object::WorkloadEntry(Box::new(rule)))
            }),
            addresses::run(client.clone(), world, &feed),
            watch(Kind::Sidecar, sidecars, &feed, |object| {
                rule(&object).map(Object::Sidecar)
            }),
        )
    };
    tokio::select! {
        ended = watching => ended.map(|_| ()),
        () = shutdown.cancelled() => Ok(()),
    }
}

fn config() -> watcher::Config {
    watcher::Config::default().page_size(PAGE)
}

/// What happens to the objects of a kind, in the newest version in which it is served. Which one that is, is looked for again
/// when there is none, or none any more: a definition may come, or another take its place.
fn rules(
    client: Client,
    kind: IstioKind,
) -> impl Stream<Item = watcher::Result<watcher::Event<DynamicObject>>> {
    stream::unfold(None, move |events| {
        let client = client.clone();
        async move {
            let mut events = match events {
                Some(events) => events,
                None => match resource(&client, kind).await {
                    Ok(resource) => watcher(Api::all_with(client, &resource), config()).boxed(),
                    Err(error) => return Some((Err(watcher::Error::InitialListFailed(error)), None)),
                },
            };
            match events.next().await? {
                Err(error) if is_elsewhere(&error) => {
                    // Objects are not gone that are in another version now.
                    let error = match error {
                        watcher::Error::InitialListFailed(error) => watcher::Error::WatchStartFailed(error),
                        error => error,
                    };
                    Some((Err(error), None))
                }
                event => Some((event, Some(events))),
            }
        }
    })
}

async fn resource(client: &Client, kind: IstioKind) -> kube::Result<ApiResource> {
    let nowhere = || {
        let message = format!("{} is served in no version of {}", kind.name(), IstioKind::GROUP);
        kube::Error::Api(Status::failure(&message, "NotFound").with_code(404).boxed())
    };
    served(client).await?.remove(&kind).ok_or_else(nowhere)
}

async fn watch<K: Resource>(
    kind: Kind,
    events: impl Stream<Item = watcher::Result<watcher::Event<K>>>,
    feed: &mpsc::Sender<Event>,
    read: impl Fn(K) -> Option<Object>,
) -> anyhow::Result<()> {
    let mut events = pin!(events);
    let (mut listed, mut wait, mut trouble) = (Vec::new(), FIRST_WAIT, String::new());
    while let Some(event) = events.next().await {
        let event = match event {
            Ok(event) => event,
            Err(error) => {
                if is_no_such_kind(&error) {
                    // Rules that cannot exist do not hold up those who do without them.
                    feed.send(Event::Replace(kind, Vec::new())).await?;
                }
                let text = advice(kind, &error);
                // That a resource version is too old is how a watch is told to list again.
                if text == trouble || status(&error) == Some(410) {
                    debug!(%kind, again_in = ?wait, "{text}");
                } else {
                    warn!(%kind, again_in = ?wait, "{text}");
                    trouble = text;
                }
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(LONGEST_WAIT);
                continue;
            }
        };
        match event {
            watcher::Event::Init => listed = Vec::new(),
            watcher::Event::InitApply(object) => listed.extend(read(object)),
            watcher::Event::InitDone => {
                info!(%kind, objects = listed.len(), "listed");
                feed.send(Event::Replace(kind, std::mem::take(&mut listed)))
                    .await?;
                (wait, trouble) = (FIRST_WAIT, String::new());
            }
            watcher::Event::Apply(object) => {
                let key = Key::of(object.meta());
                // What cannot be read any more is not what it was either.
                let event = read(object).map_or_else(|| Event::Delete(kind, key), Event::Apply);
                feed.send(event).await?;
                (wait, trouble) = (FIRST_WAIT, String::new());
            }
            watcher::Event::Delete(object) => {
                feed.send(Event::Delete(kind, Key::of(object.meta()))).await?;
            }
        }
    }
    anyhow::bail!("the watch for {kind} ended")
}

/// One object at a time, so that one that is malformed does no harm to others.
fn rule<S: RuleSpec>(object: &DynamicObject) -> Option<Rule<S>> {
    let key = Key::of(&object.metadata);
    match serde_json::to_value(object) {
        Ok(value) => match Rule::read(&value) {
            Ok(rule) => return Some(rule),
            Err(error) => warn!("{} {key} {error}; the whole object has no effect", S::KIND),
        },
        Err(error) => warn!("{} {key}: {error}; the whole object has no effect", S::KIND),
    }
    None
}

fn status(error: &watcher::Error) -> Option<u16> {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status)) => Some(status.code),
        watcher::Error::WatchError(status) => Some(status.code),
        _ => None,
    }
}

fn is_not_found(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

fn is_no_such_kind(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::InitialListFailed(error) if is_not_found(error))
}

/// Whether the objects may be in another version. What an API server has to say of a path that it does not know is no JSON,
/// so that a watch fails to read it.
fn is_elsewhere(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => {
            is_not_found(error) || matches!(error, kube::Error::SerdeError(_))
        }
        _ => false,
    }
}

/// What happened and what to do about it.
fn advice(kind: Kind, error: &watcher::Error) -> String {
    match status(error) {
        _ if is_no_such_kind(error) => format!(
            "the API server does not know the kind {kind}; install it with `outrigger crds | kubectl apply -f -`: {error}"
        ),
        Some(401 | 403) => format!(
            "may not list and watch {kind}; the ClusterRole and its ClusterRoleBinding have to allow it: {error}"
        ),
        _ if is_elsewhere(error) || status(error) == Some(410) => {
            format!("the watch for {kind} starts over: {error}")
        }
        _ => format!("cannot watch {kind}: {error}"),
    }
}

#[cfg(test)]
mod tests;
