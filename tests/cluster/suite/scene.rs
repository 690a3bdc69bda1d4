//! Where a chapter plays: a namespace with its pods, made by the first story that needs it and deleted when all are told.

use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use serde_json::Value;

use crate::install::outrigger;
use crate::kubectl::{Namespace, eventually, kubectl, run};

/// A namespace that asks for proxies, and what is applied to it.
pub(crate) struct Scene {
    name: &'static str,
    objects: &'static str,
    namespace: OnceLock<Result<Namespace, String>>,
}

impl Scene {
    pub(crate) const fn new(name: &'static str, objects: &'static str) -> Self {
        Self {
            name,
            objects,
            namespace: OnceLock::new(),
        }
    }

    /// The namespace, with its objects applied; their pods may still be starting.
    pub(crate) fn namespace(&self) -> Result<&Namespace> {
        let create = || {
            outrigger()?;
            let namespace = Namespace::injected(self.name)?;
            if !self.objects.is_empty() {
                namespace.apply(self.objects)?;
            }
            Ok(namespace)
        };
        self.namespace
            .get_or_init(|| create().map_err(|error: anyhow::Error| format!("{error:#}")))
            .as_ref()
            .map_err(|error| anyhow!("{error}"))
    }

    /// Deletes it, if it was made.
    pub(crate) fn clean(&self) -> Result<()> {
        match self.namespace.get() {
            Some(Ok(namespace)) => kubectl(&["delete", "namespace", namespace.0, "--wait=false"]).map(drop),
            _ => Ok(()),
        }
    }
}

impl Namespace {
    /// Waits until a pod is ready.
    pub(crate) fn ready(&self, pod: &str) -> Result<()> {
        let pod = format!("pod/{pod}");
        self.kubectl(&["wait", "--for=condition=Ready", &pod, "--timeout=120s"])
            .map(drop)
    }

    /// An object as the API server has it.
    pub(crate) fn object(&self, kind_and_name: &str) -> Result<Value> {
        let text = self.kubectl(&["get", kind_and_name, "-o", "json"])?;
        serde_json::from_str(&text).with_context(|| kind_and_name.to_owned())
    }

    /// A new object as the API server would keep it.
    pub(crate) fn dry_run(&self, object: &Value) -> Result<Value> {
        let create = [
            "-n",
            self.0,
            "create",
            "--dry-run=server",
            "-o",
            "json",
            "-f",
            "-",
        ];
        Ok(serde_json::from_str(&run(
            "kubectl",
            &create,
            &object.to_string(),
        )?)?)
    }

    /// What a container of the recipe `app` has said: who asked it for what.
    pub(crate) fn heard(&self, pod: &str, container: &str) -> Result<Vec<String>> {
        let log = self.kubectl(&["logs", pod, "-c", container])?;
        Ok(log.lines().map(str::to_owned).collect())
    }

    /// Waits until one of the lines that a container of the recipe `app` says contains `what`.
    pub(crate) fn hears(&self, pod: &str, container: &str, what: &str) -> Result<()> {
        let described = format!("{pod} {container} says {what:?}");
        eventually(&described, Duration::from_secs(30), || {
            let lines = self.heard(pod, container)?;
            Ok(lines.iter().any(|line| line.contains(what)))
        })
    }

    /// The metrics of a pod's proxy, read from outside of the pod at the port that is not captured.
    pub(crate) fn metrics(&self, pod: &str) -> Result<String> {
        let path = format!(
            "/api/v1/namespaces/{}/pods/{pod}:15020/proxy/stats/prometheus",
            self.0
        );
        kubectl(&["get", "--raw", &path])
    }

    /// How many connections a pod's proxy has carried in a direction, `Inbound` or `Outbound`.
    pub(crate) fn carried(&self, pod: &str, direction: &str) -> Result<f64> {
        let name = format!("outrigger_connections_total{{direction=\"{direction}\"");
        let metrics = self.metrics(pod)?;
        let counts = metrics.lines().filter(|line| line.starts_with(&name));
        let values = counts.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok());
        Ok(values.sum())
    }
}

/// The containers of a pod's field, with their names.
pub(crate) fn containers<'a>(pod: &'a Value, field: &str) -> Vec<(&'a str, &'a Value)> {
    let list = pod["spec"][field].as_array().map_or(&[][..], Vec::as_slice);
    list.iter()
        .map(|container| (container["name"].as_str().unwrap_or_default(), container))
        .collect()
}

/// The names of a pod's containers in a field, in their order.
pub(crate) fn names<'a>(pod: &'a Value, field: &str) -> Vec<&'a str> {
    containers(pod, field).into_iter().map(|(name, _)| name).collect()
}
