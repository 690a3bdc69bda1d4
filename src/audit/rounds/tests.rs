//! Rounds over an API server that answers from a list of pods, with the clock paused.

use std::sync::Mutex;

use http::{Request, Response, StatusCode};
use kube::client::Body;
use serde_json::json;

use super::*;
use crate::control::world::{Event, Kind, Namespace, Object};

type Pods = Arc<Mutex<Vec<Value>>>;

/// Answers with one pod a page, and with 500 if there is one named `trouble`.
fn client(pods: Pods) -> Client {
    let service = tower::service_fn(move |request: Request<Body>| {
        let pods = pods.lock().unwrap().clone();
        async move {
            let query = request.uri().query().unwrap_or_default();
            assert!(query.contains("limit=250"), "{query}");
            assert!(
                query.contains("fieldSelector=status.phase%21%3DSucceeded%2Cstatus.phase%21%3DFailed"),
                "{query}"
            );
            let at: usize = query
                .split('&')
                .find_map(|pair| pair.strip_prefix("continue="))
                .map_or(0, |token| token.parse().expect("a number"));
            let next = (at + 1 < pods.len()).then(|| (at + 1).to_string());
            let page = json!({"metadata": {"continue": next}, "items": pods.get(at).as_slice()});
            let trouble = pods
                .get(at)
                .is_some_and(|pod| pod["metadata"]["name"] == "trouble");
            let status = if trouble {
                StatusCode::INTERNAL_SERVER_ERROR
            } else {
                StatusCode::OK
            };
            let answer = Response::builder()
                .status(status)
                .body(Body::from(page.to_string().into_bytes()));
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(answer?)
        }
    });
    Client::new(service, "default")
}

fn pod(namespace: &str, name: &str) -> Value {
    json!({"metadata": {"namespace": namespace, "name": name, "uid": name}, "spec": {"containers": [{"name": "app"}]}})
}

fn gauge(metrics: &Metrics, code: Code) -> i64 {
    let label = Label {
        finding: code.as_str(),
    };
    metrics.pods.get_or_create(&label).get()
}

#[tokio::test(start_paused = true)]
async fn every_round_counts_anew() {
    let pods = Pods::default();
    *pods.lock().unwrap() = vec![
        pod("shop", "a"),
        pod("other", "b"),
        pod("shop", "c"),
        pod("unknown", "d"),
    ];
    let world = watch::Sender::new(World::default());
    let (metrics, shutdown) = (Metrics::default(), CancellationToken::new());
    let rounds = run(
        client(pods.clone()),
        world.subscribe(),
        Arc::default(),
        metrics.clone(),
        shutdown.clone(),
    );
    let rounds = tokio::spawn(rounds);
    tokio::time::sleep(INTERVAL * 2).await;
    assert_eq!(gauge(&metrics, Code::Missing), 0, "namespaces are not known yet");

    let namespace = |name: &str, label: &str| {
        Object::Namespace(Namespace {
            name: name.to_owned(),
            labels: [("istio-injection".to_owned(), label.to_owned())].into(),
            ..Namespace::default()
        })
    };
    world.send_modify(|world| {
        let namespaces = vec![namespace("shop", "enabled"), namespace("other", "disabled")];
        for kind in Kind::ALL {
            let objects = if kind == Kind::Namespace {
                namespaces.clone()
            } else {
                vec![]
            };
            world.apply(Event::Replace(kind, objects));
        }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(gauge(&metrics, Code::Missing), 2);
    assert_eq!(gauge(&metrics, Code::Unwanted), 0);

    pods.lock().unwrap()[0]["metadata"]["deletionTimestamp"] = "2027-01-01T00:00:00Z".into();
    tokio::time::sleep(INTERVAL).await;
    assert_eq!(gauge(&metrics, Code::Missing), 1);

    pods.lock().unwrap()[1] = pod("shop", "trouble");
    tokio::time::sleep(INTERVAL).await;
    assert_eq!(
        gauge(&metrics, Code::Missing),
        1,
        "a round that fails changes nothing"
    );
    shutdown.cancel();
    rounds.await.expect("no panic").expect("no error");
}
