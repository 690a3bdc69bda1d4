//! Reads what is to be judged, and judges nothing. The edge of `check`: everything that asks the API server is here.
//! After it: `kubernetes`, `webhooks`, `installation` and the audit.

use std::collections::BTreeMap;

use anyhow::Context;
use http::Request;
use kube::Client;
use kube::api::ApiResource;
use serde_json::{Value, json};

use crate::api::IstioKind;
use crate::control::served::served;
use crate::pages::Pages;

/// What reading came to; an error is that it may not be read, in words.
pub(super) type Read<T> = Result<T, String>;

/// An API server.
pub(super) struct Cluster {
    client: Client,
}

impl Cluster {
    /// As the kubeconfig or the pod's service account says.
    pub(super) async fn connect() -> anyhow::Result<Self> {
        let client = Client::try_default().await.context("find the API server")?;
        Ok(Self { client })
    }

    #[cfg(test)]
    pub(super) fn new(client: Client) -> Self {
        Self { client }
    }

    /// The object at this path, if there is one.
    pub(super) async fn get(&self, path: &str) -> anyhow::Result<Read<Option<Value>>> {
        let request = Request::get(path).body(vec![])?;
        match self.client.request::<Value>(request).await {
            Ok(object) => Ok(Ok(Some(object))),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(Ok(None)),
            Err(kube::Error::Api(status)) if status.code == 403 => Ok(Err(status.message.clone())),
            Err(error) => Err(error).with_context(|| format!("read {path}")),
        }
    }

    /// Istio's kinds, in the version in which the control plane reads them.
    pub(super) async fn served(&self) -> anyhow::Result<BTreeMap<IstioKind, ApiResource>> {
        served(&self.client)
            .await
            .context("ask for the versions of rules")
    }

    /// All objects at this path, for small kinds.
    pub(super) async fn list(&self, path: &str, fields: &str) -> anyhow::Result<Read<Vec<Value>>> {
        let mut pages = self.pages(path, fields);
        let mut all = vec![];
        loop {
            match pages.next().await {
                Ok(Some(page)) => all.extend(page),
                Ok(None) => return Ok(Ok(all)),
                Err(kube::Error::Api(status)) if status.code == 403 => {
                    return Ok(Err(status.message.clone()));
                }
                Err(error) => return Err(error).with_context(|| format!("list {path}")),
            }
        }
    }

    /// The objects at this path, a page at a time.
    pub(super) fn pages(&self, path: &str, fields: &str) -> Pages {
        Pages::new(self.client.clone(), path, fields)
    }

    /// Whether this user may create such objects.
    pub(super) async fn may_create(
        &self,
        group: &str,
        resource: &str,
        namespace: Option<&str>,
    ) -> anyhow::Result<bool> {
        let attributes =
            json!({"group": group, "resource": resource, "verb": "create", "namespace": namespace});
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        });
        let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
        let answer = self.post(path, &review).await;
        Ok(
            answer.with_context(|| format!("ask whether {resource} may be created"))?["status"]["allowed"]
                == true,
        )
    }

    /// What the API server makes of a pod that asks for a proxy, and does not create.
    pub(super) async fn try_pod(&self, namespace: &str, revision: &str) -> kube::Result<Value> {
        let pod = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "generateName": "outrigger-check-",
                "labels": {"sidecar.istio.io/inject": "true", "istio.io/rev": revision},
            },
            "spec": {
                "containers": [{
                    "name": "app",
                    "image": "never-started",
                    "resources": {"limits": {"cpu": "1m", "memory": "1Mi"}},
                    "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
                }],
                "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
            },
        });
        self.post(&format!("/api/v1/namespaces/{namespace}/pods?dryRun=All"), &pod)
            .await
    }

    async fn post(&self, path: &str, object: &Value) -> kube::Result<Value> {
        let request = Request::post(path).header("content-type", "application/json");
        let request = request.body(object.to_string().into_bytes());
        self.client
            .request(request.map_err(kube::Error::HttpError)?)
            .await
    }
}
