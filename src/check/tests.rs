//! The whole command over an API server that answers from a map of paths.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Method, Request, Response};
use kube::Client;
use kube::client::Body;
use outrigger_certs::Authority;
use serde_json::json;

use super::verdict::Level;
use super::*;
use crate::control::served::tests::{discovered, groups};

/// Objects by path; a list is at the path of its collection. What is not there is 404, a string is a 403 with it.
#[derive(Clone)]
struct ApiServer(Arc<Mutex<BTreeMap<String, Value>>>);

impl ApiServer {
    fn set(&self, path: &str, value: Value) {
        self.0.lock().unwrap().insert(path.to_owned(), value);
    }

    fn change(&self, path: &str, pointer: &str, value: Value) {
        let mut objects = self.0.lock().unwrap();
        let object = objects.get_mut(path).expect("an object");
        let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
        object.pointer_mut(parent).expect("a parent")[key] = value;
    }

    async fn check(&self, command: &[&str]) -> Report {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let answer = server.answer(request.method(), request.uri().path());
            async move {
                let (code, answer) = answer;
                let response = Response::builder().status(code);
                Ok::<_, Box<dyn std::error::Error + Send + Sync>>(
                    response.body(Body::from(answer.to_string().into_bytes()))?,
                )
            }
        });
        let cluster = Cluster::new(Client::new(service, "default"));
        check(&arguments(command), &cluster).await.expect("a report")
    }

    fn answer(&self, method: &Method, path: &str) -> (u16, Value) {
        let status = |code: u16, message: &str| {
            let status = json!({"kind": "Status", "status": "Failure", "code": code, "message": message});
            (code, status)
        };
        let key = format!("{}{path}", if method == Method::POST { "POST " } else { "" });
        match self.0.lock().unwrap().get(&key) {
            None => status(404, "not found"),
            Some(Value::String(message)) => status(403, message),
            Some(Value::Array(items)) => (200, json!({"metadata": {}, "items": items})),
            Some(object) => (200, object.clone()),
        }
    }
}

fn arguments(command: &[&str]) -> CheckArgs {
    #[derive(clap::Parser)]
    struct Command {
        #[command(flatten)]
        args: CheckArgs,
    }
    let command = std::iter::once("check").chain(command.iter().copied());
    <Command as clap::Parser>::try_parse_from(command)
        .expect("arguments")
        .args
}

const SYSTEM: &str = "/api/v1/namespaces/outrigger-system";
const WEBHOOKS: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/outrigger-system/deployments/outrigger";
const TRY: &str = "POST /api/v1/namespaces/shop/pods";

/// A cluster in which all is well.
fn well() -> ApiServer {
    let server = ApiServer(Arc::default());
    let year = Duration::from_secs(365 * 24 * 60 * 60);
    let authority = Authority::generate("ca", year, SystemTime::now()).expect("an authority");
    let (pem, encoded) = (
        authority.certificate_pem(),
        STANDARD.encode(authority.certificate_pem()),
    );
    server.set("/version", json!({"gitVersion": "v1.34.4"}));
    server.set(
        "/api/v1/nodes",
        json!([{"metadata": {"name": "node-1"}, "status": {"nodeInfo": {"kubeletVersion": "v1.34.4"}}}]),
    );
    let namespace = |name: &str, injection: &str| {
        let labels = json!({"kubernetes.io/metadata.name": name, "istio-injection": injection});
        json!({"metadata": {"name": name, "labels": labels}})
    };
    server.set(
        "/api/v1/namespaces",
        json!([
            namespace("kube-system", ""),
            namespace("outrigger-system", ""),
            namespace("shop", "enabled")
        ]),
    );
    for name in IstioKind::ALL.map(IstioKind::custom_resource) {
        server.set(
            &format!("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}"),
            json!({"metadata": {}, "spec": {"versions": [{"name": "v1", "served": true}]}}),
        );
    }
    let selector = json!({"matchLabels": {"istio-injection": "enabled"}});
    let webhook = json!({"name": "namespace", "failurePolicy": "Fail", "namespaceSelector": selector,
        "clientConfig": {"caBundle": encoded}});
    server.set(
        WEBHOOKS,
        json!([{"metadata": {"name": "outrigger-sidecar-injector"}, "webhooks": [webhook]}]),
    );
    server.set(
        &format!("{SYSTEM}/configmaps/outrigger"),
        json!({"data": {"config.yaml": ""}}),
    );
    server.set(
        &format!("{SYSTEM}/secrets/outrigger-ca"),
        json!({"data": {"ca-cert.pem": encoded}}),
    );
    server.set(
        DEPLOYMENT,
        json!({"metadata": {"name": "outrigger", "namespace": "outrigger-system"},
            "spec": {"replicas": 2}, "status": {"availableReplicas": 2}}),
    );
    server.set(
        "/api/v1/configmaps",
        json!([{"metadata": {"name": "outrigger-ca-root", "namespace": "shop"}, "data": {"ca.pem": pem}}]),
    );
    server.set(
        TRY,
        json!({"spec": {"initContainers": [{"name": "outrigger-proxy"}]}}),
    );
    server.set("/api/v1/pods", json!([]));
    server
}

fn pod(name: &str) -> Value {
    let owner = json!({"kind": "StatefulSet", "name": "web", "controller": true});
    json!({"metadata": {"name": name, "namespace": "shop", "ownerReferences": [owner]},
        "spec": {"containers": [{"name": "app"}]}, "status": {"phase": "Running"}})
}

/// The checks that are not well, as `code level`.
fn trouble(report: &Report) -> Vec<String> {
    let verdicts = report.checks.iter().filter(|verdict| verdict.level != Level::Ok);
    verdicts
        .map(|verdict| format!("{} {:?}", verdict.check, verdict.level))
        .collect()
}

#[tokio::test]
async fn a_cluster_that_is_well_has_no_problems() {
    let report = well().check(&[]).await;
    assert_eq!(report.problems(), None, "{}", report.text(false));
    assert_eq!(trouble(&report), Vec::<String>::new(), "{}", report.text(false));
    let codes: Vec<_> = report.checks.iter().map(|verdict| verdict.check).collect();
    assert_eq!(
        codes,
        [
            "kubernetes_version",
            "settings",
            "kubelet_versions",
            "custom_resources",
            "custom_resources",
            "custom_resources",
            "custom_resources",
            "custom_resources",
            "other_meshes",
            "control_plane",
            "certificate_authority",
            "trust_anchors",
            "ca_bundle",
            "failure_policy",
            "own_namespaces",
            "webhooks_of_others",
            "pod_security",
            "webhook_answers",
            "rules",
            "pods",
        ]
    );
}

#[tokio::test]
async fn what_is_wrong_is_found() {
    let table: [(&str, &str, Value, &[&str]); 5] = [
        (
            DEPLOYMENT,
            "/status/availableReplicas",
            json!(0),
            &["control_plane Fail"],
        ),
        (
            WEBHOOKS,
            "/0/webhooks/0/failurePolicy",
            json!("Ignore"),
            &["failure_policy Warn"],
        ),
        (
            WEBHOOKS,
            "/0/metadata/name",
            json!("other"),
            &["webhook_configuration Fail"],
        ),
        (TRY, "/spec", json!({}), &["webhook_answers Fail"]),
        (
            "/api/v1/configmaps",
            "/0/metadata/namespace",
            json!("else"),
            &["trust_anchors Fail"],
        ),
    ];
    for (path, pointer, value, expected) in table {
        let server = well();
        server.change(path, pointer, value);
        let report = server.check(&[]).await;
        assert_eq!(trouble(&report), expected, "{}", report.text(false));
    }
}

#[tokio::test]
async fn what_may_not_be_read_is_said_and_does_not_fail() {
    for (path, expected) in [
        ("/api/v1/nodes", "kubelet_versions Warn"),
        (DEPLOYMENT, "control_plane Warn"),
        (
            &format!("{SYSTEM}/secrets/outrigger-ca"),
            "certificate_authority Warn",
        ),
        ("/api/v1/configmaps", "trust_anchors Warn"),
        ("/api/v1/pods", "pods Warn"),
        (TRY, "webhook_answers Warn"),
    ] {
        let server = well();
        server.set(path, json!("no, you may not"));
        let report = server.check(&[]).await;
        assert_eq!(trouble(&report), [expected], "{}", report.text(false));
        assert!(report.text(false).contains("no, you may not"));
        assert_eq!(report.problems(), None);
    }
}

#[tokio::test]
async fn rules_are_judged_in_the_version_that_is_served() {
    let server = well();
    server.set("/apis", groups(&["v1beta1"]).1);
    let list = discovered("v1beta1", &[IstioKind::VirtualService]).1;
    server.set("/apis/networking.istio.io/v1beta1", list);
    let condition = json!({"type": "outrigger.dev/Accepted", "status": "False", "reason": "Invalid", "message": "spec.hosts: none"});
    let rule = json!({"metadata": {"namespace": "shop", "name": "a"}, "status": {"conditions": [condition]}});
    server.set("/apis/networking.istio.io/v1beta1/virtualservices", json!([rule]));
    let report = server.check(&[]).await;
    assert_eq!(trouble(&report), ["rules Fail"], "{}", report.text(false));
}

#[tokio::test]
async fn pods_are_listed_with_what_to_do() {
    let server = well();
    server.set("/api/v1/pods", json!([pod("web-0"), pod("web-1")]));
    let report = server.check(&[]).await;
    assert_eq!(
        report.problems().as_deref(),
        Some("2 pods are not as the rules say")
    );
    let text = report.text(false);
    assert!(
        text.contains("shop/web-1  statefulset/web  missing  it has no proxy although"),
        "{text}"
    );
    assert!(
        text.ends_with("  kubectl -n shop rollout restart statefulset/web\n"),
        "{text}"
    );

    server.set("/api/v1/namespaces/shop/pods", json!([pod("web-0")]));
    let report = server.check(&["-n", "shop"]).await;
    assert_eq!(
        report.problems().as_deref(),
        Some("1 pod is not as the rules say")
    );
}

#[tokio::test]
async fn another_revision_has_objects_of_its_own() {
    let report = well().check(&["--revision", "canary"]).await;
    let text = report.text(false);
    for words in [
        "ConfigMap outrigger-system/outrigger-canary is not there",
        "there is no Deployment outrigger-system/outrigger-canary",
        "there is no MutatingWebhookConfiguration outrigger-sidecar-injector-canary",
    ] {
        assert!(text.contains(words), "{text}");
    }
}

#[tokio::test]
async fn before_an_install_the_cluster_alone_is_judged() {
    let server = well();
    let path = "POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    server.set(path, json!({"status": {"allowed": true}}));
    let report = server.check(&["--pre"]).await;
    assert_eq!(report.problems(), None, "{}", report.text(false));
    assert!(
        report
            .checks
            .iter()
            .all(|verdict| verdict.check != "control_plane")
    );
    server.set(path, json!({"status": {"allowed": false}}));
    let report = server.check(&["--pre"]).await;
    assert_eq!(report.problems().as_deref(), Some("1 check failed"));
    let text = report.text(false);
    assert!(
        text.contains("you may not create namespaces, customresourcedefinitions, clusterroles and 9 more"),
        "{text}"
    );
}
