//! What becomes of a request, and why: pure. Before: `source` has the world. The compiler says what the client's proxy is
//! told, and the proxy's own matcher says what it does with it. Its parts: `place`, `destination`, `rule`. After: `page`.

use std::net::IpAddr;

use anyhow::anyhow;
use outrigger_proxy::balance::{Cluster, Endpoints};
use outrigger_proxy::message;
use outrigger_proxy::protocol::mesh::{self, Protocol};
use outrigger_proxy::route::{self, TlsRoute};
use serde::Serialize;

use super::asked::{Request, Scheme};
use super::destination::{Destination, destination, destinations};
use super::place::place;
use super::rule;
use super::source::Source;
use crate::control::compile::{self, PassedOver, Severity};
use crate::control::world::World;

/// All that there is to say.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Explained {
    /// Who asks for what.
    pub(super) request: String,
    /// Whether it arrives somewhere, or has the answer that a rule has for it.
    pub(super) delivered: bool,
    /// What becomes of it, as a sentence that begins with a verb.
    pub(super) outcome: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) service: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rule: Option<String>,
    /// The match that held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) matched: Option<String>,
    pub(super) does: Vec<String>,
    pub(super) destinations: Vec<Destination>,
    pub(super) mirrors: Vec<Destination>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) timeout: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) retries: Option<String>,
    pub(super) passed_over: Vec<Passed>,
    pub(super) problems: Vec<Problem>,
    pub(super) notes: Vec<String>,
}

/// A rule that does not have the request.
#[derive(Debug, Serialize)]
pub(super) struct Passed {
    pub(super) rule: String,
    pub(super) why: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Problem {
    pub(super) object: String,
    pub(super) field: String,
    pub(super) problem: String,
    pub(super) error: bool,
}

/// Explains a request.
///
/// # Errors
/// A request that nobody can send, or routes that no proxy would take.
pub(super) fn explained(source: &Source, request: &Request) -> anyhow::Result<Explained> {
    let mut explained = Explained {
        request: title(source, request),
        notes: source.note.iter().cloned().collect(),
        ..Default::default()
    };
    match place(source, request) {
        Err((delivered, outcome)) => (explained.delivered, explained.outcome) = (delivered, outcome),
        Ok((published, address)) => {
            explained.within(source, request, &published, address)?;
            explained.problems(&source.world, &published.host);
        }
    }
    Ok(explained)
}

fn title(source: &Source, request: &Request) -> String {
    let labels: Vec<_> = source
        .client
        .labels
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let labels = if labels.is_empty() {
        "no labels".to_owned()
    } else {
        labels.join(",")
    };
    let client = match &source.pod {
        Some(pod) => format!("Pod {pod} ({labels})"),
        None => format!("a pod of namespace {} ({labels})", source.client.namespace),
    };
    match request.url.scheme {
        Scheme::Http => format!("{} {} from {client}", request.method, request.url.text),
        Scheme::Tls | Scheme::Tcp => format!("{} from {client}", request.url.text),
    }
}

impl Explained {
    fn within(
        &mut self,
        source: &Source,
        request: &Request,
        published: &mesh::Service,
        address: Option<IpAddr>,
    ) -> anyhow::Result<()> {
        let (world, client) = (&source.world, &source.client);
        let mut published = published.clone();
        let mut address = address;
        let head = request.head()?;
        let scheme = request.url.scheme;
        let mut ready = ready(&published)?;
        let named = head.headers.text(http::header::HOST);
        if scheme == Scheme::Http
            && let Some(name) = named.and_then(|host| ready.hosts.find(host))
            && let Some(answer) = compile::resource(world, client, &name)
        {
            (published, address) = (answer.service, None);
            ready = self::ready(&published)?;
        }
        let port = request.url.port;
        let notes = |http| {
            let place = (
                published.host.as_str(),
                u16::try_from(published.port).unwrap_or(port),
            );
            compile::considered(world, client, place, address, http)
        };
        let spoken = match published.protocol() {
            Protocol::Http => "HTTP",
            Protocol::Tcp => "TCP",
            Protocol::Unspecified => "found out by the first bytes",
        };
        self.service = Some(format!("{}:{}, {spoken}", published.host, published.port));
        match (scheme, published.protocol()) {
            (Scheme::Http, Protocol::Http | Protocol::Unspecified) => {
                self.passed_over(notes(true).passed_over);
                self.http(source, &head, &published, &ready);
            }
            (Scheme::Tls | Scheme::Tcp, Protocol::Http) => {
                self.outcome = format!("is not understood: port {} is declared as HTTP", published.port);
            }
            (_, Protocol::Tcp | Protocol::Unspecified) => {
                let notes = notes(false);
                self.passed_over(notes.passed_over);
                let name = (scheme == Scheme::Tls).then_some(request.url.host.as_str());
                let found = name.and_then(|name| TlsRoute::find(&ready.tls, Some(name)));
                let route =
                    found.and_then(|found| ready.tls.iter().position(|route| std::ptr::eq(route, found)));
                for earlier in ready.tls.iter().take(route.unwrap_or(ready.tls.len())) {
                    self.passed_over.extend(earlier.unmet(name).map(|why| Passed {
                        rule: earlier.name.clone(),
                        why,
                    }));
                }
                let (rule, backends) = match route.and_then(|index| published.tls_routes.get(index)) {
                    Some(route) => (route.name.clone(), &route.backends),
                    None => (
                        notes.used.unwrap_or_else(|| "default".to_owned()),
                        &published.tcp_backends,
                    ),
                };
                self.rule = Some(rule);
                self.destinations = destinations(source, backends);
                self.judge("connections");
            }
        }
        Ok(())
    }

    fn http(
        &mut self,
        source: &Source,
        head: &message::Request,
        published: &mesh::Service,
        ready: &route::Service,
    ) {
        let found = route::find(&ready.http, head);
        let index = found.and_then(|found| {
            ready
                .http
                .iter()
                .position(|route| std::ptr::eq(route, found.route))
        });
        for earlier in ready.http.iter().take(index.unwrap_or(ready.http.len())) {
            let unmet = earlier.unmet(head).into_iter();
            self.passed_over.extend(unmet.map(|why| Passed {
                rule: earlier.name.clone(),
                why,
            }));
        }
        let (Some(found), Some(route)) = (found, index.and_then(|index| published.http_routes.get(index)))
        else {
            self.outcome = format!(
                "is answered with 404: no rule for {} holds for it",
                published.host
            );
            return;
        };
        self.rule = Some(route.name.clone());
        self.matched = found.by.map(|by| match by.name.as_str() {
            "" => by.to_string(),
            name => format!("{name}: {by}"),
        });
        self.does = rule::does(route);
        self.mirrors = route
            .mirrors
            .iter()
            .filter_map(|mirror| {
                let mut copied = destination(source, mirror.backend.as_ref()?, 0.0);
                copied.percent = rule::percent(mirror.millionths);
                Some(copied)
            })
            .collect();
        if let Some(instead) = &route.instead {
            let status = match instead {
                mesh::http_route::Instead::Redirect(redirect) => redirect.code,
                mesh::http_route::Instead::DirectResponse(answer) => answer.status,
            };
            self.delivered = true;
            self.outcome = format!("is answered with {status} by {}", route.name);
            return;
        }
        self.timeout = Some(rule::timeout(route.timeout_ms));
        self.retries = Some(rule::retries(route.retries.as_ref()));
        self.destinations = destinations(source, &route.backends);
        self.judge("requests");
        let aborted = route.fault.as_ref().map_or(0, |fault| fault.abort_millionths);
        if aborted > 0 {
            self.notes.push(format!(
                "{} % of the requests get the fault of the rule instead",
                rule::percent(aborted)
            ));
        }
    }

    fn judge(&mut self, what: &str) {
        let lost: f64 = self
            .destinations
            .iter()
            .filter(|one| one.unavailable.is_some())
            .map(|one| one.percent)
            .sum();
        let rule = self.rule.as_deref().unwrap_or_default();
        let by = if rule == "default" {
            "no rule, to every endpoint"
        } else {
            rule
        };
        let why = self
            .destinations
            .iter()
            .find_map(|one| one.unavailable.as_deref());
        self.delivered = why.is_none();
        let refused = match what {
            "requests" => "is answered with 503",
            _ => "is closed",
        };
        self.outcome = match why {
            None => format!("is delivered by {by}"),
            Some(why) if lost > 99.99 => format!("{refused}: {why}"),
            Some(why) => format!("{refused} in {lost:.0} % of all cases: {why}"),
        };
    }

    fn passed_over(&mut self, notes: Vec<PassedOver>) {
        let notes = notes.into_iter();
        self.passed_over
            .extend(notes.map(|PassedOver { rule, why }| Passed { rule, why }));
    }

    /// Of the rules that have a say here.
    fn problems(&mut self, world: &World, host: &str) {
        let mut objects: Vec<String> = world
            .virtual_services_for(host)
            .map(|rule| rule.title())
            .collect();
        let hosts = self
            .destinations
            .iter()
            .chain(&self.mirrors)
            .map(|one| one.host.as_str());
        for host in hosts
            .filter_map(|host| host.rsplit_once(':'))
            .map(|(host, _)| host)
        {
            objects.extend(world.destination_rules_for(host).map(|rule| rule.title()));
        }
        let entries = world
            .service_entries()
            .filter(|rule| rule.hosts.iter().any(|own| own == host));
        objects.extend(entries.map(|rule| rule.title()));
        // A rule that was delegated to is named behind the one that did.
        let names = self
            .rule
            .iter()
            .chain(self.passed_over.iter().map(|one| &one.rule));
        let is_named = |object: &str| names.clone().any(|name| name.contains(&format!("-> {object} ")));
        let found = compile::problems(world).into_iter();
        let found = found.filter(|problem| objects.contains(&problem.object) || is_named(&problem.object));
        self.problems = found
            .map(|problem| Problem {
                object: problem.object,
                field: problem.field,
                problem: problem.problem,
                error: problem.severity == Severity::Error,
            })
            .collect();
    }
}

fn ready(published: &mesh::Service) -> anyhow::Result<route::Service> {
    let cluster = |backend: &mesh::Backend| Cluster::new(backend, Endpoints::new(&backend.endpoints));
    route::Service::new(published.clone(), cluster)
        .map_err(|error| anyhow!("the proxy refuses the routes of {}: {error}", published.host))
}
