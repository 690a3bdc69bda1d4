//! Which pods are watched as a whole, and what becomes of several lists.

use std::sync::{Arc, Mutex};

use futures::StreamExt;
use http::{Request, StatusCode};
use kube::client::Body;
use serde_json::{Value, json};

use super::*;
use crate::control::directory::{documents, events};
use crate::control::served::tests::{client, not_found};

fn pod(namespace: &str, name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace, "resourceVersion": "1"},
        "spec": {"containers": [], "nodeName": "n"},
        "status": {"podIP": "10.1.0.1", "phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    })
}

/// The world in which ServiceEntries of these namespaces select workloads.
fn world(namespaces: &[&str]) -> World {
    let entries = namespaces.iter().map(|namespace| {
        format!(
            "---\n{{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {{name: e, namespace: {namespace}}}, spec: {{hosts: [x.com], ports: [{{number: 80, name: http}}], resolution: STATIC, workloadSelector: {{labels: {{app: x}}}}}}}}\n"
        )
    });
    let text = entries.collect::<String>()
        + "---\n{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: e, namespace: other}, spec: {hosts: [y.com], ports: [{number: 80, name: http}]}}\n";
    let mut world = World::default();
    for event in events(&documents(&[("test.yaml".to_owned(), text)]).unwrap()).unwrap() {
        world.apply(event);
    }
    world
}

#[tokio::test(start_paused = true)]
async fn pods_are_watched_where_service_entries_select_them_and_nowhere_else() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let client = {
        let asked = asked.clone();
        client(move |request: &Request<Body>| {
            let path = request.uri().path().to_owned();
            asked.lock().unwrap().push(path.clone());
            match path
                .strip_prefix("/api/v1/namespaces/")
                .and_then(|rest| rest.strip_suffix("/pods"))
            {
                // What happens afterwards is lost, so that everything is listed again, and again.
                _ if request.uri().query().unwrap_or_default().contains("watch=") => not_found(),
                Some(namespace) => {
                    let items = [pod(namespace, &format!("{namespace}-0"))];
                    (
                        StatusCode::OK,
                        json!({"metadata": {"resourceVersion": "1"}, "items": items}),
                    )
                }
                None => not_found(),
            }
        })
    };
    let (sender, receiver) = watch::channel(World::default());
    let (feed, mut events) = mpsc::channel(1);
    let running = tokio::spawn(async move { run(client, receiver, &feed).await });
    for (namespaces, expected) in [
        (&[][..], ""),
        (&["a"], "a-0"),
        (&["a", "b"], "a-0 b-0"),
        (&["b"], "b-0"),
        (&[], ""),
    ] {
        sender.send_replace(world(namespaces));
        loop {
            let Some(world::Event::Replace(Kind::PodAddress, pods)) = events.recv().await else {
                panic!("no list")
            };
            let names: Vec<_> = pods.iter().map(|pod| pod.key().name).collect();
            // The lists from before may come first.
            if names.join(" ") == expected {
                break;
            }
        }
    }
    drop(sender);
    assert!(running.await.unwrap().is_err(), "there is no world any more");
    let mut asked = std::mem::take(&mut *asked.lock().unwrap());
    asked.sort();
    asked.dedup();
    assert_eq!(asked, ["/api/v1/namespaces/a/pods", "/api/v1/namespaces/b/pods"]);
}

#[tokio::test]
async fn several_lists_are_one() {
    use Event::{Apply, Delete, Init, InitApply, InitDone};
    let pod = |name: &str| serde_json::from_value::<Pod>(pod("a", name)).unwrap();
    let events = [
        Init,
        InitApply(pod("a")),
        Init,
        InitDone,
        Apply(pod("b")),
        Delete(pod("a")),
        InitApply(pod("c")),
        InitDone,
        Apply(pod("d")),
        Delete(pod("c")),
    ];
    let count = events.len();
    let merged = listed(stream::iter(events.map(Ok)), 2).take(count - 3);
    let seen = merged.map(|event| match event.unwrap() {
        InitApply(Pod { status: None, .. }) => "=nowhere".to_owned(),
        InitApply(pod) => format!("={}", pod.metadata.name.unwrap()),
        InitDone => "done".to_owned(),
        Apply(pod) => format!("+{}", pod.metadata.name.unwrap()),
        Delete(pod) => format!("-{}", pod.metadata.name.unwrap()),
        Init => "again".to_owned(),
    });
    let seen = seen.collect::<Vec<_>>().await;
    assert_eq!(seen, ["=a", "=b", "=nowhere", "=c", "done", "+d", "-c"]);

    let broken = || Err(watcher::Error::NoResourceVersion);
    let events = until_error(stream::iter([Ok(1), broken(), Ok(2)]));
    assert_eq!(
        events.map(|event| event.is_ok()).collect::<Vec<_>>().await,
        [true, false]
    );
}
