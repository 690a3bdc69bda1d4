//! The cluster as it is now, once: for commands that look at it and end. A part of `watch`.

use std::fmt::Debug;

use anyhow::{Context, anyhow};
use k8s_openapi::api::core::v1::{Namespace, Node, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{ApiResource, DynamicObject, ListParams, ObjectList};
use kube::{Api, Client};

use super::rule;
use crate::api::{DestinationRule, ServiceEntry, Sidecar, VirtualService};
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
    let istio = |resource: ApiResource| Api::<DynamicObject>::all_with(client.clone(), &resource);
    let virtual_services = istio(ApiResource::erase::<VirtualService>(&()));
    let destination_rules = istio(ApiResource::erase::<DestinationRule>(&()));
    let service_entries = istio(ApiResource::erase::<ServiceEntry>(&()));
    let sidecars = istio(ApiResource::erase::<Sidecar>(&()));
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
        told(Kind::ServiceEntry, service_entries.list(&all).await, |object| {
            rule(&object).map(|rule| Object::ServiceEntry(Box::new(rule)))
        })?,
        told(
            Kind::DestinationRule,
            destination_rules.list(&all).await,
            |object| rule(&object).map(|rule| Object::DestinationRule(Box::new(rule))),
        )?,
        told(
            Kind::VirtualService,
            virtual_services.list(&all).await,
            |object| rule(&object).map(Object::VirtualService),
        )?,
        told(Kind::Sidecar, sidecars.list(&all).await, |object| {
            rule(&object).map(Object::Sidecar)
        })?,
    ])
}

fn told<K: Clone + Debug>(
    kind: Kind,
    listed: kube::Result<ObjectList<K>>,
    read: impl Fn(K) -> Option<Object>,
) -> anyhow::Result<Event> {
    let objects = match listed {
        Ok(listed) => listed.items,
        Err(kube::Error::Api(status)) if status.code == 404 => Vec::new(),
        Err(error) => return Err(anyhow!(error)).with_context(|| format!("list {kind}")),
    };
    Ok(Event::Replace(
        kind,
        objects.into_iter().filter_map(read).collect(),
    ))
}
