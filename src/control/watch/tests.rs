//! What the API server says as events, and the version of rules that it is asked for.

use std::sync::{Arc, Mutex};

use http::{Request, StatusCode};
use kube::client::Body;
use serde_json::json;

use super::*;
use crate::control::served::tests::{client, discovered, groups, not_found, version_of};
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
async fn told(events: impl Stream<Item = watcher::Result<watcher::Event<DynamicObject>>>) -> String {
    let (feed, mut receiver) = mpsc::channel(16);
    let read = |object| rule(&object).map(Object::VirtualService);
    let ended = watch(Kind::VirtualService, events, &feed, read)
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
        assert_eq!(told(stream::iter(events)).await, expected, "{why}");
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

/// An API server in which a definition changes whenever it is asked to watch: the versions that it serves, one after the other.
/// Each has an object of the version's name.
fn changing(served: &[&'static [&'static str]]) -> Client {
    let stages = Arc::new(Mutex::new(served.to_vec()));
    client(move |request: &Request<Body>| {
        let mut stages = stages.lock().unwrap();
        let query = request.uri().query().unwrap_or_default();
        let Some((version, rest)) = version_of(request.uri().path()) else {
            let answer = groups(stages.first().copied().unwrap_or_default());
            // Whoever finds none looks again, in the next stage.
            if stages.first().is_some_and(|stage| stage.is_empty()) {
                stages.remove(0);
            }
            return answer;
        };
        let known = |stages: &[&[&str]]| stages.first().is_some_and(|stage| stage.contains(&version));
        match rest {
            "" if known(&stages) => discovered(version, &[IstioKind::VirtualService]),
            "virtualservices" if query.contains("watch=") => {
                stages.remove(0);
                (StatusCode::NOT_FOUND, "404 page not found".into())
            }
            "virtualservices" if known(&stages) => {
                let found = serde_json::to_value(object(version, json!(["a"]))).unwrap();
                (
                    StatusCode::OK,
                    json!({"metadata": {"resourceVersion": "1"}, "items": [found]}),
                )
            }
            _ => not_found(),
        }
    })
}

#[tokio::test(start_paused = true)]
async fn rules_are_watched_in_the_newest_version_that_is_served() {
    for (why, served, expected) in [
        ("all of them", vec![&["v1alpha3", "v1beta1", "v1"][..]], "=v1"),
        ("an older Istio", vec![&["v1alpha3", "v1beta1"]], "=v1beta1"),
        (
            "a definition that is replaced: nothing is gone in between",
            vec![&["v1beta1"], &["v1"], &["v1alpha3"]],
            "=v1beta1, =v1, =v1alpha3",
        ),
        (
            "one that goes and comes",
            vec![&["v1"], &[], &["v1beta1"]],
            "=v1, =, =v1beta1",
        ),
        ("one that comes later", vec![&[], &["v1"]], "=, =v1"),
    ] {
        let lists = expected.split(", ").count();
        let events = rules(changing(&served), IstioKind::VirtualService);
        // After the last stage there is nothing, again and again.
        let mut ends = 0;
        let events = events.take_while(move |event| {
            let listed = matches!(event, Ok(watcher::Event::InitDone));
            ends += usize::from(listed || event.as_ref().is_err_and(is_no_such_kind));
            std::future::ready(ends <= lists)
        });
        assert_eq!(told(events).await, expected, "{why}");
    }
}
