//! A second mutating webhook, as other products have them: a small HTTPS server in the suite's own process, on the node's
//! address, that the API server asks after ours.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use axum::{Json, Router, routing::post};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use outrigger::serve::{Limits, serve};
use outrigger_certs::{Authority, Request, ServingCertificate, server_config};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::kubectl::{kubectl, run};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The JSON patch with which it answers for a pod.
pub(crate) type Change = fn(&Value) -> Value;

/// A webhook that serves until it is dropped, and whose configuration goes with it.
pub(crate) struct OtherWebhook {
    name: &'static str,
    _runtime: tokio::runtime::Runtime,
}

impl OtherWebhook {
    /// Has every pod of a namespace with label `other=NAME` changed by it. Its name comes after ours, which is the order
    /// in which the API server asks.
    ///
    /// # Errors
    /// When the node's address is not this machine's, for one: the API server has to reach this process.
    pub(crate) fn start(name: &'static str, namespace: &str, change: Change) -> Result<Self> {
        let node = "jsonpath={.items[0].status.addresses[?(@.type==\"InternalIP\")].address}";
        let addresses = kubectl(&["get", "nodes", "-o", node])?;
        let address: IpAddr = addresses
            .split_whitespace()
            .next()
            .context("a node without an address")?
            .parse()?;
        let now = SystemTime::now();
        let authority = Authority::generate("other-webhook", DAY, now)?;
        let request = Request {
            ips: vec![address],
            ..Request::default()
        };
        let certificate = Arc::new(ServingCertificate::default());
        certificate.replace(authority.issue(&request, DAY, now)?)?;
        let tls = Arc::new(server_config(certificate)?);
        let answer = post(move |Json(review): Json<Value>| async move { Json(answer(&review, change)) });
        let router = Router::new().route("/change", answer);

        let runtime = tokio::runtime::Runtime::new()?;
        let listener = runtime.block_on(TcpListener::bind(SocketAddr::new(address, 0)));
        let listener = listener.with_context(|| format!("the suite does not run on the node {address}"))?;
        let port = listener.local_addr()?.port();
        runtime.spawn(async move {
            serve(listener, tls, router, Limits::default(), CancellationToken::new()).await
        });
        let bundle = STANDARD.encode(authority.certificate_pem());
        run(
            "kubectl",
            &["apply", "-f", "-"],
            &configuration(name, namespace, address, port, &bundle),
        )?;
        Ok(Self {
            name,
            _runtime: runtime,
        })
    }
}

impl Drop for OtherWebhook {
    fn drop(&mut self) {
        // What is left would stop every pod of the namespace; the next run deletes that anyway.
        let configuration = format!("mutatingwebhookconfiguration/zz-{}", self.name);
        if let Err(error) = kubectl(&["delete", &configuration, "--ignore-not-found"]) {
            println!("    {error:#}");
        }
    }
}

fn configuration(name: &str, namespace: &str, address: IpAddr, port: u16, bundle: &str) -> String {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": format!("zz-{name}")},
        "webhooks": [{
            "name": format!("{name}.example.org"),
            "admissionReviewVersions": ["v1"],
            "clientConfig": {"url": format!("https://{}/change", SocketAddr::new(address, port)), "caBundle": bundle},
            "sideEffects": "None",
            "failurePolicy": "Fail",
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
            "objectSelector": {"matchLabels": {"other": name}},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
        }],
    })
    .to_string()
}

fn answer(review: &Value, change: Change) -> Value {
    let patch = change(&review["request"]["object"]).to_string();
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "response": {
            "uid": review["request"]["uid"], "allowed": true, "patchType": "JSONPatch", "patch": STANDARD.encode(patch),
        },
    })
}
