//! Who made a pod, told from the pod alone, and how a person replaces the pod. Used by `canonical`, and by `audit`.

use serde::Serialize;
use serde_json::{Map, Value};

/// The workload that a pod belongs to; the pod itself if nobody owns it.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[allow(missing_docs, reason = "Kubernetes' names")]
pub struct Owner {
    pub kind: String,
    pub name: String,
}

impl Owner {
    /// The workload that controls the pod, or else the pod.
    pub fn of(pod: &Value) -> Self {
        let metadata = &pod["metadata"];
        let pod = || Self::new("Pod", metadata["name"].as_str().unwrap_or_default());
        metadata
            .as_object()
            .and_then(Self::controlling)
            .unwrap_or_else(pod)
    }

    /// The controlling owner, followed one step further where the names say how, as Istio does: a Deployment names its
    /// ReplicaSets after itself and the hash of their template, a CronJob its Jobs after itself and the minute they were due.
    pub(super) fn controlling(metadata: &Map<String, Value>) -> Option<Self> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut owners = metadata.get("ownerReferences")?.as_array()?.iter();
        let owner = owners.find(|owner| owner["controller"] == true)?;
        let (kind, name) = (text(&owner["kind"]), text(&owner["name"]));
        let labels = metadata.get("labels");
        let hash = labels
            .map(|labels| text(&labels["pod-template-hash"]))
            .unwrap_or_default();
        Some(match (kind.as_str(), name.rsplit_once('-')) {
            ("ReplicaSet", Some((deployment, end))) if !hash.is_empty() && end == hash => {
                Self::new("Deployment", deployment)
            }
            ("Job", Some((cron_job, minute)))
                if minute.len() >= 8 && minute.bytes().all(|byte| byte.is_ascii_digit()) =>
            {
                Self::new("CronJob", cron_job)
            }
            _ => Self { kind, name },
        })
    }

    /// What replaces the pods of this owner in `namespace` by new ones, which are injected by today's rules.
    pub fn remedy(&self, namespace: &str, pod: &str) -> String {
        let name = &self.name;
        match self.kind.as_str() {
            kind @ ("Deployment" | "DaemonSet" | "StatefulSet") => {
                format!(
                    "kubectl -n {namespace} rollout restart {}/{name}",
                    kind.to_lowercase()
                )
            }
            "CronJob" => format!("wait for the next run of cronjob/{name} in {namespace}"),
            "Job" => format!("delete job/{name} in {namespace} and create it again, or let it end"),
            "Pod" => format!("delete pod/{name} in {namespace} and create it again"),
            // Whoever owns it makes another one.
            _ => format!("kubectl -n {namespace} delete pod {pod}"),
        }
    }

    fn new(kind: &str, name: &str) -> Self {
        Self {
            kind: kind.to_owned(),
            name: name.to_owned(),
        }
    }
}

impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.kind.to_lowercase(), self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn owners_are_told_from_names() {
        let owned = |kind: &str, name: &str, hash: &str| {
            let owner = json!({"apiVersion": "v1", "kind": kind, "name": name, "controller": true});
            json!({"metadata": {"name": "p", "labels": {"pod-template-hash": hash}, "ownerReferences": [owner]}})
        };
        let table = [
            (
                json!({"metadata": {"name": "p"}}),
                "pod/p",
                "delete pod/p in shop",
            ),
            (
                owned("ReplicaSet", "web-1-5d8f", "5d8f"),
                "deployment/web-1",
                "rollout restart deployment/web-1",
            ),
            (
                owned("ReplicaSet", "web-5d8f", ""),
                "replicaset/web-5d8f",
                "kubectl -n shop delete pod p",
            ),
            (
                owned("ReplicaSet", "web-5d8f", "77"),
                "replicaset/web-5d8f",
                "delete pod p",
            ),
            (
                owned("Job", "nightly-29383920", ""),
                "cronjob/nightly",
                "next run of cronjob/nightly",
            ),
            (
                owned("Job", "import-2024", ""),
                "job/import-2024",
                "delete job/import-2024",
            ),
            (owned("Job", "once", ""), "job/once", "delete job/once"),
            (
                owned("StatefulSet", "db", ""),
                "statefulset/db",
                "kubectl -n shop rollout restart statefulset/db",
            ),
            (
                owned("DaemonSet", "log", ""),
                "daemonset/log",
                "rollout restart daemonset/log",
            ),
            (
                owned("Workflow", "x", ""),
                "workflow/x",
                "kubectl -n shop delete pod p",
            ),
        ];
        for (pod, name, remedy) in table {
            let owner = Owner::of(&pod);
            assert_eq!(owner.to_string(), name);
            let said = owner.remedy("shop", "p");
            assert!(said.contains(remedy), "{name}: {said}");
        }
    }
}
