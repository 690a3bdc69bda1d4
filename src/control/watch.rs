//! Watches the cluster: what the API server says, as events. After: `feed` applies them.
//!
//! Needs `list` and `watch`, cluster-wide, on `namespaces`, `pods` and `services` of the core group, `endpointslices` of
//! `discovery.k8s.io`, and `virtualservices` and `destinationrules` of `networking.istio.io`.

use std::fmt::Debug;
use std::time::Duration;

use futures::{StreamExt, pin_mut};
use k8s_openapi::api::core::v1::{Namespace, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{ApiResource, DynamicObject};
use kube::runtime::watcher::{self, watcher};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::world::{Event, Key, Kind, Object, Rule, RuleSpec};
use crate::api::{self, DestinationRule, VirtualService};

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
    let istio = |resource: ApiResource| Api::<DynamicObject>::all_with(client.clone(), &resource);
    let watching = async {
        tokio::try_join!(
            watch(
                Kind::Namespace,
                Api::<Namespace>::all(client.clone()),
                &feed,
                |namespace| { Some(Object::Namespace(namespace.into())) }
            ),
            watch(
                Kind::Pod,
                Api::<api::Pod>::all(client.clone()),
                &feed,
                |pod| Some(Object::Pod(pod.into()))
            ),
            watch(
                Kind::Service,
                Api::<Service>::all(client.clone()),
                &feed,
                |service| { Some(Object::Service(service.into())) }
            ),
            watch(
                Kind::EndpointSlice,
                Api::<EndpointSlice>::all(client.clone()),
                &feed,
                |slice| { Some(Object::EndpointSlice(slice.into())) }
            ),
            watch(
                Kind::VirtualService,
                istio(ApiResource::erase::<VirtualService>(&())),
                &feed,
                |object| { rule(&object).map(Object::VirtualService) }
            ),
            watch(
                Kind::DestinationRule,
                istio(ApiResource::erase::<DestinationRule>(&())),
                &feed,
                |object| { rule(&object).map(Object::DestinationRule) }
            ),
        )
    };
    tokio::select! {
        ended = watching => ended.map(|_| ()),
        () = shutdown.cancelled() => Ok(()),
    }
}

async fn watch<K>(
    kind: Kind,
    api: Api<K>,
    feed: &mpsc::Sender<Event>,
    read: impl Fn(K) -> Option<Object>,
) -> anyhow::Result<()>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let events = watcher(api, watcher::Config::default().page_size(PAGE));
    pin_mut!(events);
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
