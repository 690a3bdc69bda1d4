//! Services that the client's address says nothing about: ServiceEntries without addresses, and ExternalName services. The
//! Host header or the SNI names them, so that what is published for a port says which names there are.

use std::borrow::Cow;
use std::net::IpAddr;

use outrigger_proxy::protocol::mesh;

use super::considered::Notes;
use super::routes::Target;
use super::{Answer, Client, protocol};
use crate::control::world::{Key, Service, ServicePort, World};

/// Whether nothing but its name leads there.
pub(super) fn is_named_only(service: &Service) -> bool {
    service.addresses.is_empty() && service.ranges.is_empty() && !is_headless(service)
}

fn is_headless(service: &Service) -> bool {
    service.original_destination && !service.is_entry()
}

/// The service that a client means by a host. Rules name the host that was asked for, not the wildcard around it.
pub(super) fn asked<'a>(world: &'a World, client: &Client, host: &str) -> Option<Cow<'a, Service>> {
    let service = world.service_for(host, &client.namespace)?;
    Some(match world.host_of(service).starts_with('*') {
        true => Cow::Owned(Service {
            key: Key::new(&service.key.namespace, &format!("/{host}")),
            ..service.clone()
        }),
        false => Cow::Borrowed(service),
    })
}

/// What is known of one host.
pub(super) fn one(world: &World, client: &Client, host: &str, port: u16) -> Option<Answer> {
    let known = world.service_for(host, &client.namespace)?;
    let view = world.view(&client.namespace, &client.labels);
    if !view.sees(known, port) {
        return None;
    }
    let service = asked(world, client, host)?;
    let target = Target {
        world,
        client,
        service: &service,
        port: service.port(port)?,
        address: None,
    };
    Some(Answer {
        service: target.service(),
        hosts: vec![world.host_of(known), host.to_owned()],
    })
}

/// All that is known by name alone on a port: HTTP by the Host header, TLS by its SNI, and bytes that name nothing go to the
/// first service that is declared as TCP. What is known of none goes where it was dialled, or nowhere if the client's
/// outboundTrafficPolicy is REGISTRY_ONLY.
pub(super) fn all(world: &World, client: &Client, port: u16) -> Option<Answer> {
    let view = world.view(&client.namespace, &client.labels);
    let services = world
        .services()
        .outside()
        .filter(|service| is_named_only(service));
    let mut seen: Vec<(&Service, &ServicePort)> = services
        .filter_map(|service| Some((service, service.port(port)?)))
        .filter(|(service, port)| view.sees(service, port.port))
        .collect();
    // Of two namespaces that have the same host, a client means its own.
    seen.sort_by_key(|(service, _)| service.key.namespace == client.namespace);
    let mut answer = Answer {
        service: nothing_named(port, view.registry_only()),
        hosts: vec!["*".to_owned()],
    };
    let (mut opaque, mut http, mut tls) = (None, false, Vec::new());
    for (service, port) in &seen {
        let host = world.host_of(service);
        let target = Target {
            world,
            client,
            service,
            port,
            address: None,
        };
        let declared = protocol::of(port);
        if declared != mesh::Protocol::Tcp {
            http = true;
            let resource = format!("{host}:{}", port.port);
            let names = names(world, client, service, None).into_iter();
            answer
                .service
                .hosts
                .extend(names.map(|name| (name, resource.clone())));
        }
        if protocol::may_be_tls(port) {
            // Routes of a rule come before the default, which would take all that they name.
            let default = mesh::TlsRoute {
                name: "default".to_owned(),
                sni_hosts: names(world, client, service, None),
                backends: target.tcp_backends(&mut Notes::none()),
            };
            tls.push((target.tls_routes(&mut Notes::none()), default));
        } else if declared == mesh::Protocol::Tcp {
            opaque = Some(target.tcp_backends(&mut Notes::none()));
        }
        answer.hosts.push(host);
    }
    // The last is the client's own; a rule comes before a default, and a name before a wildcard.
    tls.reverse();
    let (of_rules, defaults): (Vec<_>, Vec<_>) = tls.into_iter().unzip();
    let mut routes: Vec<_> = of_rules.into_iter().flatten().chain(defaults).collect();
    routes.sort_by_key(|route| route.sni_hosts.iter().any(|host| host.starts_with('*')));
    answer.service.tls_routes = routes;
    if let Some(backends) = opaque {
        answer.service.tcp_backends = backends;
    }
    if !http {
        answer.service.protocol = mesh::Protocol::Tcp.into();
        answer.service.http_routes.clear();
    }
    (!seen.is_empty()).then_some(answer)
}

/// What becomes of a connection that names nothing that is known.
fn nothing_named(port: u16, registry_only: bool) -> mesh::Service {
    let mut through = mesh::HttpRoute {
        name: "allow_any".to_owned(),
        ..Default::default()
    };
    let backend = match registry_only {
        true => {
            through.name = "block_all".to_owned();
            let refusal = mesh::DirectResponse {
                status: 502,
                body: Default::default(),
            };
            through.instead = Some(mesh::http_route::Instead::DirectResponse(refusal));
            mesh::Backend {
                unavailable:
                    "no service has this name, and the outboundTrafficPolicy of this pod is REGISTRY_ONLY"
                        .to_owned(),
                cluster: "BlackHoleCluster".to_owned(),
                weight: 1,
                ..Default::default()
            }
        }
        false => mesh::Backend {
            original_destination: true,
            cluster: "PassthroughCluster".to_owned(),
            weight: 1,
            ..Default::default()
        },
    };
    if !registry_only {
        through.backends = vec![backend.clone()];
    }
    mesh::Service {
        host: "*".to_owned(),
        port: u32::from(port),
        http_routes: vec![through],
        tcp_backends: vec![backend],
        ..Default::default()
    }
}

/// The names by which a client may know a service, as they are in a Host header without the port. `at`: also those of the
/// pods of a headless service there.
pub(super) fn names(world: &World, client: &Client, service: &Service, at: Option<IpAddr>) -> Vec<String> {
    let host = world.host_of(service);
    if service.is_entry() {
        return vec![host];
    }
    let Key { namespace, name } = &service.key;
    let mut names = vec![
        host,
        format!("{name}.{namespace}.svc"),
        format!("{name}.{namespace}"),
    ];
    if *namespace == client.namespace {
        names.push(name.clone());
    }
    let pods = world
        .services()
        .slices(&service.key)
        .flat_map(|slice| &slice.endpoints);
    let pods = pods.filter(|pod| at.is_some_and(|at| pod.addresses.contains(&at)));
    let of_pods: Vec<_> = pods
        .filter_map(|pod| pod.hostname.as_ref())
        .flat_map(|pod| names.iter().map(move |name| format!("{pod}.{name}")))
        .collect();
    names.extend(of_pods);
    names
}

#[cfg(test)]
mod tests;
