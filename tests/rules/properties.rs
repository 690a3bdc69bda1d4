//! What holds for any rules: they compile, the proxy takes what comes of them, every request has an answer, and
//! `outrigger explain request` gives the same one. `PROPTEST_CASES=100000` looks longer. Before it: `strategy`.

use clap::Parser;
use futures::executor::block_on;
use outrigger::cli::{Cli, Command};
use outrigger::control::compile::{self, Client};
use outrigger::control::directory::{documents, events};
use outrigger::control::world::World;
use outrigger_proxy::protocol::mesh;
use outrigger_proxy::route::{self, TlsRoute};
use proptest::prelude::*;
use serde_json::Value;

use super::request::{Asked, ready};
use super::strategy::{Request, requests, rules};
use crate::pods::properties::config;

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_rules_are_published_and_explained(rules in rules(), requests in prop::collection::vec(requests(), 2)) {
        let cluster = super::text("cluster.yaml");
        // What cannot be read at all is told when it is written, and is not there.
        let readable = rules.iter().map(Value::to_string).filter(|rule| world("", rule).is_some());
        let rules = readable.map(|rule| format!("---\n{rule}\n")).collect::<String>();
        let world = world(&cluster, &rules).expect("each of them is readable");
        compile::problems(&world);
        for request in requests {
            answered(&world, &format!("{cluster}\n{rules}"), &request)?;
        }
    }
}

fn world(cluster: &str, rules: &str) -> Option<World> {
    let text = format!("{cluster}\n---\n{rules}");
    let read = documents(&[("rules.yaml".to_owned(), text)]).and_then(|documents| events(&documents));
    let mut world = World::default();
    read.ok()?.into_iter().for_each(|event| {
        world.apply(event);
    });
    Some(world)
}

/// By the proxy, and by the command in the same way.
fn answered(world: &World, manifests: &str, request: &Request) -> Result<(), TestCaseError> {
    let Request {
        method,
        authority,
        path,
        headers,
        labels,
    } = request;
    let options: String = headers.iter().map(|header| format!(" -H {header}")).collect();
    let row = format!("{} {method} {authority}{path}{options}", labels.replace(',', " "));
    let asked = Asked::parse(&row);
    let client = &asked.client;
    for address in [
        "10.96.0.2:9080",
        "10.96.0.5:80",
        "10.96.1.1:5432",
        "10.96.1.2:443",
        "10.96.1.3:7000",
    ] {
        let published = compile::service(world, client, address.parse().expect("an address"));
        let published = published.expect("every client sees it");
        let ready = ready(&published);
        prop_assert!(ready.is_ok(), "{}: {:?}", published.host, ready.err());
        for name in [None, Some("reviews.default.svc.cluster.local")] {
            let found = ready
                .as_ref()
                .ok()
                .and_then(|ready| TlsRoute::find(&ready.tls, name));
            prop_assert!(found.is_none_or(|route| route.unmet(name).is_none()));
        }
    }
    let published = compile::resource(world, client, &asked.dialled(world));
    let published = published.expect("a service").service;
    let expected = found(&published, &asked);
    let explained = explained(manifests, request, client)?;
    let destinations = explained["destinations"].as_array().expect("a list").iter();
    let destinations = destinations.map(|one| {
        let text = |field: &str| one[field].as_str().unwrap_or_default().to_owned();
        (text("host"), text("labels"))
    });
    let seen = explained["rule"].as_str();
    let seen = seen.map(|rule| (rule.to_owned(), destinations.collect::<Vec<_>>()));
    prop_assert_eq!(seen, expected, "{}: {}", row, explained);
    Ok(())
}

/// The route of the proxy, and where it leads.
fn found(published: &mesh::Service, asked: &Asked<'_>) -> Option<(String, Vec<(String, String)>)> {
    let ready = ready(published).expect("seen above");
    let request = asked.head();
    let found = route::find(&ready.http, &request)?;
    let mut routes = ready.http.iter().zip(&published.http_routes);
    let (_, route) = routes.find(|(route, _)| std::ptr::eq(*route, found.route))?;
    let leads = route.backends.iter().filter(|_| route.instead.is_none());
    let leads = leads.map(|backend| {
        let name = backend
            .endpoints
            .split_once('/')
            .unwrap_or((&backend.endpoints, ""));
        match backend.original_destination {
            true => ("where the client connects to".to_owned(), String::new()),
            false => (name.0.to_owned(), name.1.to_owned()),
        }
    });
    Some((route.name.clone(), leads.collect()))
}

fn explained(manifests: &str, request: &Request, client: &Client) -> Result<Value, TestCaseError> {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("rules.yaml");
    std::fs::write(&file, manifests).expect("written");
    let url = format!("http://{}{}", request.authority, request.path);
    let file = file.to_str().expect("text");
    let mut words = vec!["outrigger", "explain", "request", "-o", "json", "-f", file];
    words.extend(["--from", request.labels, "--to", &url, "-X", request.method]);
    words.extend(["-n", &client.namespace]);
    words.extend(request.headers.iter().flat_map(|header| ["-H", header]));
    let parsed = Cli::try_parse_from(words).map_err(|error| TestCaseError::fail(error.to_string()))?;
    let Command::Explain(args) = parsed.command else {
        return Err(TestCaseError::fail("not the command"));
    };
    let explained = block_on(outrigger::explain::explain(&args));
    let (text, _) = explained.map_err(|error| TestCaseError::fail(format!("{error:#}")))?;
    Ok(serde_json::from_str(&text).expect("JSON"))
}
