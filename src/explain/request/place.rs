//! What a client's proxy knows of where a request is sent, or why it knows nothing of it. Before: `asked`. After: `answer`.

use std::net::{IpAddr, SocketAddr};

use outrigger_proxy::protocol::mesh;

use super::asked::{Request, Scheme};
use super::source::Source;
use crate::control::compile;
use crate::control::world::{Service, World};

/// What the client's proxy knows of where it connects to, and the address if that is what names it; or what becomes of the
/// connection otherwise, and whether it arrives.
pub(super) fn place(
    source: &Source,
    request: &Request,
) -> Result<(mesh::Service, Option<IpAddr>), (bool, String)> {
    let (Source { world, client, .. }, url) = (source, &request.url);
    let registry_only = world.view(&client.namespace, &client.labels).registry_only();
    let refused = match url.scheme {
        Scheme::Http => "is answered with 502",
        Scheme::Tls | Scheme::Tcp => "is closed",
    };
    let through = || match registry_only {
        true => Err((
            false,
            format!(
                "{refused}: it is for nothing in the mesh, and the outboundTrafficPolicy of this client is REGISTRY_ONLY"
            ),
        )),
        false => Err((
            true,
            "passes through as it is: it is for nothing in the mesh".to_owned(),
        )),
    };
    if let Some(address) = url.address() {
        let found = compile::service(world, client, SocketAddr::new(address, url.port));
        return found.map_or_else(through, |found| Ok((found, Some(address))));
    }
    let Some((name, service)) = resolved(world, &client.namespace, &url.host) else {
        // Names that only the cluster's DNS would know.
        if !url.host.contains('.') || url.host.ends_with(&format!(".svc.{}", world.cluster_domain)) {
            let text = format!(
                "cannot be sent: there is no service {} for namespace {}",
                url.host, client.namespace
            );
            return Err((false, text));
        }
        return through();
    };
    if service.port(url.port).is_none() {
        let ports: Vec<_> = service.ports.iter().map(|port| port.port.to_string()).collect();
        let text = format!(
            "is not delivered: service {name} has no port {}, only {}",
            url.port,
            ports.join(", ")
        );
        return Err((false, text));
    }
    let address = service.addresses.first().copied();
    let found = match address {
        Some(address) => compile::service(world, client, SocketAddr::new(address, url.port)),
        None => {
            compile::resource(world, client, &format!("{name}:{}", url.port)).map(|answer| answer.service)
        }
    };
    let Some(found) = found else {
        let sees = format!(
            "service {name} is not visible to this client, by its exportTo or by the client's Sidecar"
        );
        return Err(match registry_only {
            true => (
                false,
                format!("{refused}: {sees}, and its outboundTrafficPolicy is REGISTRY_ONLY"),
            ),
            false => (true, format!("passes through as it is: {sees}")),
        });
    };
    Ok((found, address))
}

/// The service that the cluster's DNS finds for a name in a pod of a namespace, and its full name.
fn resolved<'a>(world: &'a World, namespace: &str, host: &str) -> Option<(String, &'a Service)> {
    let domain = &world.cluster_domain;
    let searched = [
        format!("{host}.{namespace}.svc.{domain}"),
        format!("{host}.svc.{domain}"),
        format!("{host}.{domain}"),
        host.to_owned(),
    ];
    searched.into_iter().find_map(|name| {
        // What is not exported to the client has its name in DNS all the same.
        let service = world.service_for(&name, namespace);
        let service = service.or_else(|| world.service_by_host(&name))?;
        Some((name, service))
    })
}
