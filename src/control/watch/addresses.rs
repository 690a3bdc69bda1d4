//! Where pods are that ServiceEntries select: the only thing for which pods are watched as a whole, and only in namespaces with
//! such ServiceEntries. Of all others the metadata is enough. A part of `watch`.

use std::collections::BTreeSet;

use futures::future::ready;
use futures::{Stream, StreamExt, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use tokio::sync::{mpsc, watch};

use super::config;
use crate::control::world::{self, Kind, Object, World};

/// Watches until the world or the feed ends.
///
/// # Errors
/// If there is no world, or nobody takes the events any more.
pub(super) async fn run(
    client: Client,
    mut world: watch::Receiver<World>,
    feed: &mpsc::Sender<world::Event>,
) -> anyhow::Result<()> {
    let mut watched = None;
    loop {
        let known = world.wait_for(|world| {
            let wanted = world.namespaces_selecting();
            wanted.is_some_and(|wanted| watched.as_ref().is_none_or(|watched| !same(watched, &wanted)))
        });
        let namespaces = match &watched {
            None => selecting(&*known.await?),
            Some(watched) => {
                let pods = pods(&client, watched);
                let watching = super::watch(Kind::PodAddress, pods, feed, |pod| {
                    Some(Object::PodAddress(pod.into()))
                });
                tokio::select! {
                    world = known => selecting(&*world?),
                    ended = watching => return ended,
                }
            }
        };
        watched = Some(namespaces);
    }
}

fn selecting(world: &World) -> BTreeSet<String> {
    let namespaces = world.namespaces_selecting().unwrap_or_default();
    namespaces.into_iter().map(str::to_owned).collect()
}

fn same(one: &BTreeSet<String>, other: &BTreeSet<&str>) -> bool {
    one.iter().map(String::as_str).eq(other.iter().copied())
}

/// The pods of these namespaces as one list, and what happens to them. After an error it starts over with all of them.
fn pods(client: &Client, namespaces: &BTreeSet<String>) -> impl Stream<Item = watcher::Result<Event<Pod>>> {
    let again = move || {
        let each = namespaces
            .iter()
            .map(|namespace| watcher(Api::<Pod>::namespaced(client.clone(), namespace), config()).boxed());
        let events = listed(stream::select_all(each), namespaces.len());
        stream::once(ready(Ok(Event::Init))).chain(until_error(events))
    };
    stream::repeat_with(again).flatten()
}

/// The lists of several watches as one, which is done when all of them are.
fn listed(
    events: impl Stream<Item = watcher::Result<Event<Pod>>>,
    lists: usize,
) -> impl Stream<Item = watcher::Result<Event<Pod>>> {
    let mut waiting = lists;
    let none = stream::iter((lists == 0).then_some(Ok(Event::InitDone)));
    let merged = events.filter_map(move |event| {
        ready(match event {
            Ok(Event::Init) => None,
            Ok(Event::InitDone) => {
                waiting = waiting.saturating_sub(1);
                (waiting == 0).then_some(Ok(Event::InitDone))
            }
            Ok(Event::Apply(pod)) if waiting > 0 => Some(Ok(Event::InitApply(pod))),
            // It is in the list already, where a pod without a status is nowhere.
            Ok(Event::Delete(pod)) if waiting > 0 => Some(Ok(Event::InitApply(Pod { status: None, ..pod }))),
            event => Some(event),
        })
    });
    none.chain(merged).chain(stream::pending())
}

/// All up to the first error, which is the last.
fn until_error<T>(events: impl Stream<Item = watcher::Result<T>>) -> impl Stream<Item = watcher::Result<T>> {
    events.scan(false, |failed, event| {
        let over = std::mem::replace(failed, event.is_err());
        ready((!over).then_some(event))
    })
}

#[cfg(test)]
mod tests;
