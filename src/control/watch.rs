//! Watches the cluster: what the API server says, as events. After: `feed` applies them.
//!
//! Needs `list` and `watch`, cluster-wide, on `namespaces`, `nodes`, `pods` and `services` of the core group, `endpointslices` of
//! `discovery.k8s.io`, and `virtualservices`, `destinationrules`, `serviceentries` and `sidecars` of `networking.istio.io`.

mod listed;

use std::pin::pin;
use std::time::Duration;

use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::{Namespace, Node, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{ApiResource, DynamicObject, PartialObjectMeta};
use kube::runtime::watcher::{self, watcher};
use kube::{Api, Client, Resource};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::world::{Event, Key, Kind, Object, Rule, RuleSpec};
pub use listed::list;

use crate::api::{DestinationRule, ServiceEntry, Sidecar, VirtualService};

/// Waiting times between attempts: doubled from the first to the last.
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(15);
/// Objects per answer of a first list: a bound on what is held at once.
const PAGE: u32 = 500;

/// Watches every kind until `shutdown`. Trouble with one kind is logged, tried again, and does not stop the others.
///
/// # Errors
/// If nobody takes the events any more.
pub async fn run(
    client: Client,
    feed: mpsc::Sender<Event>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let config = || watcher::Config::default().page_size(PAGE);
    let istio = |resource| {
        watcher(
            Api::<DynamicObject>::all_with(client.clone(), &resource),
            config(),
        )
    };
    // Of nodes, pods and namespaces the API server sends the metadata alone.
    let namespaces = watcher(Api::<PartialObjectMeta<Namespace>>::all(client.clone()), config());
    let nodes = watcher(Api::<PartialObjectMeta<Node>>::all(client.clone()), config());
    let pods = watcher(Api::<PartialObjectMeta<Pod>>::all(client.clone()), config());
    let services = watcher(Api::<Service>::all(client.clone()), config());
    let slices = watcher(Api::<EndpointSlice>::all(client.clone()), config());
    let virtual_services = istio(ApiResource::erase::<VirtualService>(&()));
    let destination_rules = istio(ApiResource::erase::<DestinationRule>(&()));
    let service_entries = istio(ApiResource::erase::<ServiceEntry>(&()));
    let sidecars = istio(ApiResource::erase::<Sidecar>(&()));
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

fn is_no_such_kind(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::InitialListFailed(_)) && status(error) == Some(404)
}

/// What happened and what to do about it.
fn advice(kind: Kind, error: &watcher::Error) -> String {
    match status(error) {
        Some(404) => format!(
            "the API server does not know the kind {kind}; install it with `outrigger crds | kubectl apply -f -`: {error}"
        ),
        Some(401 | 403) => format!(
            "may not list and watch {kind}; the ClusterRole and its ClusterRoleBinding have to allow it: {error}"
        ),
        Some(410) => format!("the watch for {kind} starts over: {error}"),
        _ => format!("cannot watch {kind}: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use kube::core::Status;
    use serde_json::json;

    use super::*;
    use crate::control::world::World;

    fn object(name: &str, hosts: serde_json::Value) -> DynamicObject {
        let object = json!({
            "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
            "metadata": {"name": name, "namespace": "default"}, "spec": {"hosts": hosts},
        });
        serde_json::from_value(object).unwrap()
    }

    fn refused(code: u16) -> watcher::Error {
        let status = Status {
            code,
            message: "no".to_owned(),
            ..Default::default()
        };
        watcher::Error::InitialListFailed(kube::Error::Api(Box::new(status)))
    }

    /// What the world is told: `=a b` for a list, `+a` and `-a` for one object.
    async fn told(events: Vec<watcher::Result<watcher::Event<DynamicObject>>>) -> String {
        let (feed, mut receiver) = mpsc::channel(16);
        let read = |object| rule(&object).map(Object::VirtualService);
        let ended = watch(Kind::VirtualService, stream::iter(events), &feed, read)
            .await
            .unwrap_err();
        assert_eq!(ended.to_string(), "the watch for VirtualService ended");
        drop(feed);
        let mut words = Vec::new();
        while let Some(event) = receiver.recv().await {
            words.push(match event {
                Event::Apply(object) => format!("+{}", object.key().name),
                Event::Delete(_, key) => format!("-{}", key.name),
                Event::Replace(_, objects) => {
                    let names: Vec<_> = objects.iter().map(|object| object.key().name).collect();
                    format!("={}", names.join(" "))
                }
            });
        }
        words.join(", ")
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_api_server_says_becomes_events() {
        use watcher::Event::{Apply, Delete, Init, InitApply, InitDone};
        let good = |name| object(name, json!(["a"]));
        let bad = |name| object(name, json!("a"));
        let list = || {
            vec![
                Ok(Init),
                Ok(InitApply(good("a"))),
                Ok(InitApply(bad("b"))),
                Ok(InitApply(good("c"))),
                Ok(InitDone),
            ]
        };
        let then = |more: Vec<_>| list().into_iter().chain(more).collect::<Vec<_>>();
        let after = |first: Vec<_>| first.into_iter().chain(list()).collect::<Vec<_>>();
        for (why, events, expected) in [
            ("a malformed object harms no other", list(), "=a c"),
            (
                "changes",
                then(vec![Ok(Apply(good("b"))), Ok(Delete(good("a")))]),
                "=a c, +b, -a",
            ),
            (
                "what becomes malformed is gone",
                then(vec![Ok(Apply(bad("a")))]),
                "=a c, -a",
            ),
            (
                "a list that broke off is not one",
                vec![Ok(Init), Ok(InitApply(good("x"))), Err(refused(500))],
                "",
            ),
            (
                "and starts over",
                after(vec![Ok(Init), Ok(InitApply(good("x"))), Err(refused(500))]),
                "=a c",
            ),
            (
                "a denied list is not an empty one",
                after(vec![Err(refused(403))]),
                "=a c",
            ),
            (
                "a kind that does not exist has no objects",
                after(vec![Err(refused(404))]),
                "=, =a c",
            ),
        ] {
            assert_eq!(told(events).await, expected, "{why}");
        }
    }

    #[test]
    fn advice_says_what_to_do() {
        for (code, expected) in [
            (404, "outrigger crds | kubectl apply"),
            (403, "ClusterRole"),
            (500, "cannot watch"),
        ] {
            let advice = advice(Kind::VirtualService, &refused(code));
            assert!(advice.contains(expected), "{advice}");
        }
    }

    #[test]
    fn an_object_of_the_api_server_is_a_rule_of_the_world() {
        let mut world = World::default();
        let rule = rule(&object("a", json!(["a"]))).unwrap();
        let change = world.apply(Event::Apply(Object::VirtualService(rule)));
        assert!(change.hosts.contains("a.default.svc.cluster.local"), "{change:?}");
    }
}
