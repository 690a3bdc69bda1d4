//! What the API server is sent for objects that come, go and come again, with the clock paused.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use kube::client::Body;
use serde_json::{Value, json};

use super::*;
use crate::control::compile::Severity;
use crate::control::served::tests::{discovered, groups, not_found, version_of};

/// The objects of the cluster by their paths, and every status that was written. Rules are served in one version.
#[derive(Clone, Default)]
struct ApiServer {
    version: Arc<Mutex<String>>,
    objects: Arc<Mutex<BTreeMap<String, Value>>>,
    written: Arc<Mutex<Vec<String>>>,
}

impl ApiServer {
    fn serve(&self, version: &str) {
        version.clone_into(&mut self.version.lock().unwrap());
    }

    fn client(&self) -> Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect().await?.to_bytes();
                let sent = serde_json::from_slice(&body).unwrap_or_default();
                let (status, answer) = server.answer(&parts.method, parts.uri.path(), &sent);
                let response = Response::builder().status(status);
                Ok::<_, Box<dyn std::error::Error + Send + Sync>>(
                    response.body(Body::from(answer.to_string().into_bytes()))?,
                )
            }
        });
        Client::new(service, "default")
    }

    fn answer(&self, method: &Method, path: &str, sent: &Value) -> (StatusCode, Value) {
        let served = self.version.lock().unwrap().clone();
        match version_of(path) {
            None if path == "/apis" => return groups(&[&served]),
            Some((version, _)) if version != served => return not_found(),
            Some((version, "")) => return discovered(version, &[IstioKind::VirtualService]),
            _ => {}
        }
        let mut objects = self.objects.lock().unwrap();
        let name = path.trim_end_matches("/status").replacen(&served, "VERSION", 1);
        let name = name.as_str();
        match (objects.get_mut(name), *method == Method::PATCH) {
            (Some(object), true) => {
                object["status"] = sent["status"].clone();
                let uid = object["metadata"]["uid"].as_str().unwrap_or_default();
                let status = sent["status"]["conditions"][0]["status"]
                    .as_str()
                    .unwrap_or_default();
                self.written.lock().unwrap().push(format!("{uid} {status}"));
                (StatusCode::OK, object.clone())
            }
            (Some(object), false) => (StatusCode::OK, object.clone()),
            (None, _) if path.starts_with("/apis/events.k8s.io/") => (
                StatusCode::OK,
                json!({"apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {}, "eventTime": null}),
            ),
            (None, _) if name.contains("/namespaces/") => not_found(),
            (None, _) => (StatusCode::OK, json!({"metadata": {}, "items": []})),
        }
    }

    /// In the place of the one of its name.
    fn make(&self, uid: &str) {
        let metadata = json!({"namespace": "shop", "name": "a", "uid": uid, "resourceVersion": "1"});
        let object = json!({
            "apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": metadata, "spec": {},
        });
        let path = "/apis/networking.istio.io/VERSION/namespaces/shop/virtualservices/a";
        self.objects.lock().unwrap().insert(path.to_owned(), object);
    }

    fn written(&self) -> Vec<String> {
        std::mem::take(&mut self.written.lock().unwrap())
    }
}

/// What is wrong with the object, if anything is.
fn problems(uid: Option<&str>) -> Arc<BTreeSet<Problem>> {
    let problem = uid.map(|uid| Problem {
        object: "VirtualService shop/a".to_owned(),
        kind: "VirtualService",
        key: Key::new("shop", "a"),
        uid: uid.to_owned(),
        generation: 1,
        severity: Severity::Error,
        field: "spec.hosts".to_owned(),
        problem: "names no host".to_owned(),
    });
    Arc::new(problem.into_iter().collect())
}

#[tokio::test(start_paused = true)]
async fn an_object_that_is_made_again_is_told_again() {
    let (server, shutdown) = (ApiServer::default(), CancellationToken::new());
    let (sender, receiver) = watch::channel(problems(None));
    let manager = "outrigger".to_owned();
    let running = tokio::spawn(run(server.client(), "one", manager, receiver, shutdown.clone()));
    for (version, made, wrong, expected) in [
        ("v1", Some("first"), Some("first"), vec!["first False"]),
        // Deleted and made again before anybody looked: nothing but the uid is another.
        ("v1", Some("second"), Some("second"), vec!["second False"]),
        ("v1", Some("third"), None, vec![]),
        // Of one that is no more.
        ("v1", None, Some("second"), vec![]),
        ("v1", None, Some("third"), vec!["third False"]),
        // The definition is replaced by one of an older Istio.
        ("v1beta1", None, None, vec!["third True"]),
    ] {
        server.serve(version);
        if let Some(uid) = made {
            server.make(uid);
        }
        sender.send_replace(problems(wrong));
        // The clock goes on when everybody waits, so that after this all that was due is done.
        tokio::time::sleep(SETTLE * 4).await;
        assert_eq!(server.written(), expected, "{made:?} {wrong:?}");
    }
    shutdown.cancel();
    running.await.unwrap().unwrap();
}
