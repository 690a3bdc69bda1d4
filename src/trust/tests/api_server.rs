//! An API server in memory: lists, watches, creates, replaces and patches whatever it is sent, and refuses what the RBAC
//! rules in the documentation of `trust` do not allow.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use axum::body::Body as Answered;
use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::Names;

/// Resource, name and verbs of everything that a revision is allowed.
fn is_allowed(names: &Names, resource: &str, name: &str, verb: &str) -> bool {
    let rules: [(&str, &str, &[&str]); 6] = [
        ("secrets", "outrigger-ca", &["list", "watch", "update"]),
        ("secrets", "", &["create"]),
        (
            "mutatingwebhookconfigurations",
            &names.webhook,
            &["list", "watch", "patch"],
        ),
        (
            "validatingwebhookconfigurations",
            &names.validator,
            &["list", "watch", "patch"],
        ),
        (
            "configmaps",
            "outrigger-ca-root",
            &["list", "watch", "patch", "create"],
        ),
        ("clusterroles", &names.installation, &["get"]),
    ];
    rules
        .iter()
        .any(|rule| (rule.0, rule.1) == (resource, name) && rule.2.contains(&verb))
}

/// Resource, namespace (empty if the cluster's) and name.
pub(super) type Key = (String, String, String);
type Answer = (StatusCode, Value);

#[derive(Default)]
struct Store {
    objects: BTreeMap<Key, Value>,
    /// Every change; its index is the resourceVersion less one.
    log: Vec<(&'static str, Key, Value)>,
    /// The owners that a field manager has applied to an object.
    owners: BTreeMap<(Key, String), Vec<Value>>,
    refused: Vec<String>,
}

/// Cheap to clone; all clones are the same server.
#[derive(Clone)]
pub(super) struct ApiServer {
    store: Arc<Mutex<Store>>,
    version: watch::Sender<usize>,
}

pub(super) fn key(resource: &str, namespace: &str, name: &str) -> Key {
    (resource.to_owned(), namespace.to_owned(), name.to_owned())
}

impl ApiServer {
    pub(super) fn new() -> Self {
        Self {
            store: Arc::default(),
            version: watch::Sender::new(0),
        }
    }

    /// The client of the revision that has these names.
    pub(super) fn client(&self, names: &Names) -> Client {
        let (server, names) = (self.clone(), names.clone());
        let service = tower::service_fn(move |request: Request<Body>| {
            let (server, names) = (server.clone(), names.clone());
            async move { Ok::<_, Infallible>(server.answer(&names, request).await) }
        });
        Client::new(service, "default")
    }

    pub(super) fn get(&self, key: &Key) -> Option<Value> {
        self.store.lock().unwrap().objects.get(key).cloned()
    }

    pub(super) fn put(&self, key: Key, mut object: Value) -> Value {
        let mut store = self.store.lock().unwrap();
        let metadata = &mut object["metadata"];
        metadata["name"] = json!(key.2);
        if !key.1.is_empty() {
            metadata["namespace"] = json!(key.1);
        }
        metadata["resourceVersion"] = json!((store.log.len() + 1).to_string());
        let kind = if store.objects.insert(key.clone(), object.clone()).is_some() {
            "MODIFIED"
        } else {
            "ADDED"
        };
        self.record(&mut store, kind, key, object.clone());
        object
    }

    pub(super) fn delete(&self, key: &Key) {
        let mut store = self.store.lock().unwrap();
        let object = store.objects.remove(key).expect("an object to delete");
        self.record(&mut store, "DELETED", key.clone(), object);
    }

    /// Waits until the object at `key` is as `expected`.
    pub(super) async fn wait_for(&self, key: &Key, expected: impl Fn(&Value) -> bool) -> Value {
        let mut version = self.version.subscribe();
        loop {
            version.borrow_and_update();
            if let Some(object) = self.get(key).filter(&expected) {
                return object;
            }
            version.changed().await.unwrap();
        }
    }

    pub(super) fn refused(&self) -> Vec<String> {
        self.store.lock().unwrap().refused.clone()
    }

    fn record(&self, store: &mut Store, kind: &'static str, key: Key, object: Value) {
        store.log.push((kind, key, object));
        self.version.send_replace(store.log.len());
    }

    async fn answer(&self, names: &Names, request: Request<Body>) -> Response<Answered> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let query = parts.uri.query().unwrap_or_default().to_owned();
        let (resource, namespace, mut name) = resource(parts.uri.path());
        let collection = name.is_empty();
        if let Some((_, selected)) = query.split_once("fieldSelector=metadata.name%3D") {
            name = selected.split('&').next().unwrap_or_default().to_owned();
        }
        let watch = query.contains("watch=true");
        let verb = match parts.method {
            Method::GET if watch => "watch",
            Method::GET if collection => "list",
            Method::GET => "get",
            Method::POST => "create",
            Method::PUT => "update",
            _ => "patch",
        };
        let key = key(&resource, &namespace, &name);
        let creates = verb == "patch" && resource == "configmaps" && self.get(&key).is_none();
        for verb in [Some(verb), creates.then_some("create")].into_iter().flatten() {
            if !is_allowed(names, &resource, &name, verb) {
                self.store.lock().unwrap().refused.push(format!("{verb} {key:?}"));
                return whole(failure(StatusCode::FORBIDDEN, "Forbidden"));
            }
        }
        let sent = || serde_json::from_slice::<Value>(&body).expect("JSON");
        whole(match verb {
            "watch" => return Response::new(Answered::from_stream(self.watch(key, &query))),
            "list" => self.list(&key),
            "get" => self
                .get(&key)
                .map_or(failure(StatusCode::NOT_FOUND, "NotFound"), |found| {
                    (StatusCode::OK, found)
                }),
            "create" => self.create(&resource, &namespace, sent()),
            "update" => self.update(key, sent()),
            _ if parts.headers["content-type"] == "application/apply-patch+yaml" => {
                let manager = query
                    .split('&')
                    .find_map(|pair| pair.strip_prefix("fieldManager="));
                self.apply(key, manager.expect("a field manager"), &sent())
            }
            _ => self.patch(key, sent()),
        })
    }

    fn list(&self, key: &Key) -> Answer {
        let store = self.store.lock().unwrap();
        let items: Vec<_> = store
            .objects
            .iter()
            .filter(|(of, _)| is_within(of, key))
            .map(|(_, item)| item)
            .collect();
        let version = store.log.len().to_string();
        (
            StatusCode::OK,
            json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": version}, "items": items}),
        )
    }

    fn create(&self, resource: &str, namespace: &str, object: Value) -> Answer {
        let key = key(
            resource,
            namespace,
            object["metadata"]["name"].as_str().expect("a name"),
        );
        match self.get(&key) {
            Some(_) => failure(StatusCode::CONFLICT, "AlreadyExists"),
            None => (StatusCode::CREATED, self.put(key, object)),
        }
    }

    fn update(&self, key: Key, object: Value) -> Answer {
        match self.get(&key) {
            None => failure(StatusCode::NOT_FOUND, "NotFound"),
            Some(found) if found["metadata"]["resourceVersion"] != object["metadata"]["resourceVersion"] => {
                failure(StatusCode::CONFLICT, "Conflict")
            }
            Some(_) => (StatusCode::OK, self.put(key, object)),
        }
    }

    /// Owners are a map by uid, in which each manager has those that it applied; all else is merged.
    fn apply(&self, key: Key, manager: &str, applied: &Value) -> Answer {
        let found = self.get(&key);
        let mut object = found.clone().unwrap_or_else(|| json!({"metadata": {}}));
        let list = |object: &Value| {
            object["metadata"]["ownerReferences"]
                .as_array()
                .cloned()
                .unwrap_or_default()
        };
        let (mut owners, applies) = (list(&object), list(applied));
        let entry = (key.clone(), manager.to_owned());
        let before = self.store.lock().unwrap().owners.insert(entry, applies.clone());
        owners.retain(|owner| {
            !before
                .iter()
                .flatten()
                .chain(&applies)
                .any(|own| own["uid"] == owner["uid"])
        });
        owners.extend(applies);
        json_patch::merge(&mut object, applied);
        object["metadata"]["ownerReferences"] = owners.into();
        if found.as_ref() == Some(&object) {
            (StatusCode::OK, object)
        } else {
            (StatusCode::OK, self.put(key, object))
        }
    }

    fn patch(&self, key: Key, operations: Value) -> Answer {
        let Some(mut object) = self.get(&key) else {
            return failure(StatusCode::NOT_FOUND, "NotFound");
        };
        let operations: json_patch::Patch = serde_json::from_value(operations).expect("a JSON patch");
        match json_patch::patch(&mut object, &operations) {
            Ok(()) => (StatusCode::OK, self.put(key, object)),
            Err(_) => failure(StatusCode::UNPROCESSABLE_ENTITY, "Invalid"),
        }
    }

    fn watch(&self, of: Key, query: &str) -> impl Stream<Item = Result<Bytes, Infallible>> + Send + use<> {
        let since = query
            .split('&')
            .find_map(|pair| pair.strip_prefix("resourceVersion="))
            .expect("a resourceVersion");
        let state = (
            self.store.clone(),
            self.version.subscribe(),
            since.parse::<usize>().expect("a number"),
        );
        let events = stream::unfold(state, |(store, mut version, seen)| async move {
            version.wait_for(|version| *version > seen).await.ok()?;
            let event = store.lock().unwrap().log[seen].clone();
            Some((event, (store, version, seen + 1)))
        });
        events.filter_map(move |(kind, key, object)| {
            let line = json!({"type": kind, "object": object}).to_string() + "\n";
            let event = is_within(&key, &of).then(|| Ok(Bytes::from(line)));
            async move { event }
        })
    }
}

/// Whether an object is one of those that a list or a watch selects.
fn is_within(object: &Key, selected: &Key) -> bool {
    object.0 == selected.0 && (selected.1.is_empty() || object.1 == selected.1) && object.2 == selected.2
}

/// Resource, namespace and name in a path such as `/api/v1/namespaces/NAMESPACE/secrets/NAME`.
fn resource(path: &str) -> Key {
    let path: Vec<_> = path.trim_matches('/').split('/').collect();
    let rest = if path[0] == "api" { &path[2..] } else { &path[3..] };
    match rest {
        ["namespaces", namespace, resource, name @ ..] => {
            key(resource, namespace, name.first().unwrap_or(&""))
        }
        [resource, name @ ..] => key(resource, "", name.first().unwrap_or(&"")),
        [] => panic!("no resource in {path:?}"),
    }
}

fn failure(code: StatusCode, reason: &str) -> Answer {
    (
        code,
        json!({"kind": "Status", "status": "Failure", "message": reason, "reason": reason, "code": code.as_u16()}),
    )
}

fn whole((code, object): Answer) -> Response<Answered> {
    Response::builder()
        .status(code)
        .body(Answered::from(object.to_string()))
        .unwrap()
}
