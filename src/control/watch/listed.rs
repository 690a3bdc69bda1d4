//! The cluster as it is now, once: for commands that look at it and end. A part of `watch`.

use std::collections::BTreeSet;
use std::fmt::Debug;

use anyhow::Context;
use k8s_openapi::api::core::v1::{Namespace, Node, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{DynamicObject, ListParams, ObjectList};
use kube::{Api, Client};

use super::rule;
use crate::api::{IstioKind, ServiceEntrySpec};
use crate::control::served::served;
use crate::control::world::{Event, Kind, Object};

/// All objects of every kind. A rule that cannot be read is logged and left out; a kind that the API server does not know has
/// no objects.
///
/// # Errors
/// Names the kind that cannot be listed.
pub async fn list(client: &Client) -> anyhow::Result<Vec<Event>> {
    let all = ListParams::default();
    let namespaces = Api::<Namespace>::all(client.clone());
    let nodes = Api::<Node>::all(client.clone());
    let pods = Api::<Pod>::all(client.clone());
    let services = Api::<Service>::all(client.clone());
    let slices = Api::<EndpointSlice>::all(client.clone());
    let served = served(client).await.context("ask for the versions of rules")?;
    let rules = async |kind| {
        let objects = match served.get(&kind) {
            Some(resource) => {
                let api = Api::<DynamicObject>::all_with(client.clone(), resource);
                api.list(&all)
                    .await
                    .with_context(|| format!("list {}", kind.name()))?
                    .items
            }
            None => Vec::new(),
        };
        anyhow::Ok(objects)
    };
    let entries: Vec<_> = rules(IstioKind::ServiceEntry)
        .await?
        .iter()
        .filter_map(rule::<ServiceEntrySpec>)
        .collect();
    let selecting = entries
        .iter()
        .filter(|rule| rule.spec.workload_selector.is_some());
    let selecting: BTreeSet<_> = selecting.map(|rule| rule.meta.key.namespace.as_str()).collect();
    let mut addresses = Vec::new();
    for namespace in selecting {
        let pods = Api::<Pod>::namespaced(client.clone(), namespace);
        let listed = pods.list(&all).await;
        addresses.extend(
            listed
                .with_context(|| format!("list the pods of {namespace}"))?
                .items,
        );
    }
    Ok(vec![
        told(Kind::Namespace, namespaces.list_metadata(&all).await, |object| {
            Some(Object::Namespace(object.metadata.into()))
        })?,
        told(Kind::Node, nodes.list_metadata(&all).await, |object| {
            Some(Object::Node(object.metadata.into()))
        })?,
        told(Kind::Pod, pods.list_metadata(&all).await, |object| {
            Some(Object::Pod(object.metadata.into()))
        })?,
        told(Kind::Service, services.list(&all).await, |service| {
            Some(Object::Service(service.into()))
        })?,
        told(Kind::EndpointSlice, slices.list(&all).await, |slice| {
            Some(Object::EndpointSlice(slice.into()))
        })?,
        read(Kind::PodAddress, addresses, |pod| {
            Some(Object::PodAddress(pod.into()))
        }),
        read(
            Kind::WorkloadEntry,
            rules(IstioKind::WorkloadEntry).await?,
            |object| rule(&object).map(|rule| Object::WorkloadEntry(Box::new(rule))),
        ),
        read(Kind::ServiceEntry, entries, |rule| {
            Some(Object::ServiceEntry(Box::new(rule)))
        }),
        read(
            Kind::DestinationRule,
            rules(IstioKind::DestinationRule).await?,
            |object| rule(&object).map(|rule| Object::DestinationRule(Box::new(rule))),
        ),
        read(
            Kind::VirtualService,
            rules(IstioKind::VirtualService).await?,
            |object| rule(&object).map(Object::VirtualService),
        ),
        read(Kind::Sidecar, rules(IstioKind::Sidecar).await?, |object| {
            rule(&object).map(Object::Sidecar)
        }),
    ])
}

fn told<K: Clone + Debug>(
    kind: Kind,
    listed: kube::Result<ObjectList<K>>,
    each: impl Fn(K) -> Option<Object>,
) -> anyhow::Result<Event> {
    let listed = listed.with_context(|| format!("list {kind}"))?;
    Ok(read(kind, listed.items, each))
}

fn read<K>(kind: Kind, listed: Vec<K>, each: impl Fn(K) -> Option<Object>) -> Event {
    Event::Replace(kind, listed.into_iter().filter_map(each).collect())
}
