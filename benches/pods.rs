//! The pods that are sent: an ordinary one as the API server writes it, and the same with much of one thing.

use serde_json::{Value, json};

/// A Deployment's pod with one container, as it reaches a webhook.
pub(crate) fn ordinary() -> Value {
    let token = json!({"name": "kube-api-access-x7x2p", "projected": {"defaultMode": 420, "sources": [
        {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
        {"configMap": {"items": [{"key": "ca.crt", "path": "ca.crt"}], "name": "kube-root-ca.crt"}},
        {"downwardAPI": {"items": [
            {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}, "path": "namespace"}]}},
    ]}});
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "creationTimestamp": null,
            "generateName": "cart-5d8f7c9b4-",
            "labels": {"app": "cart", "pod-template-hash": "5d8f7c9b4", "version": "v1"},
            "ownerReferences": [{
                "apiVersion": "apps/v1", "blockOwnerDeletion": true, "controller": true, "kind": "ReplicaSet",
                "name": "cart-5d8f7c9b4", "uid": "5c4e1a0e-8d0c-4f5e-9a68-1f2f5a0f3a11",
            }],
        },
        "spec": {
            "containers": [container("cart")],
            "dnsPolicy": "ClusterFirst",
            "enableServiceLinks": true,
            "preemptionPolicy": "PreemptLowerPriority",
            "priority": 0,
            "restartPolicy": "Always",
            "schedulerName": "default-scheduler",
            "securityContext": {},
            "serviceAccount": "default",
            "serviceAccountName": "default",
            "terminationGracePeriodSeconds": 30,
            "tolerations": [
                {"effect": "NoExecute", "key": "node.kubernetes.io/not-ready", "operator": "Exists",
                    "tolerationSeconds": 300},
                {"effect": "NoExecute", "key": "node.kubernetes.io/unreachable", "operator": "Exists",
                    "tolerationSeconds": 300},
            ],
            "volumes": [token],
        },
        "status": {},
    })
}

/// The ordinary pod with this many environment variables.
#[allow(dead_code, reason = "for one of the two benchmarks")]
pub(crate) fn with_env(count: usize) -> Value {
    let variable =
        |index| json!({"name": format!("VARIABLE_{index}"), "value": format!("the value of {index}")});
    let mut pod = ordinary();
    pod["spec"]["containers"][0]["env"] = (0..count).map(variable).collect();
    pod
}

/// The ordinary pod with this many containers, each with its probes.
#[allow(dead_code, reason = "for one of the two benchmarks")]
pub(crate) fn with_containers(count: usize) -> Value {
    let mut pod = ordinary();
    pod["spec"]["containers"] = (0..count)
        .map(|index| container(&format!("cart-{index}")))
        .collect();
    pod
}

/// The ordinary pod, made about this many KiB large by variables of one KiB each.
#[allow(dead_code, reason = "for one of the two benchmarks")]
pub(crate) fn of_kib(count: usize) -> Value {
    let mut pod = with_env(count);
    for variable in pod["spec"]["containers"][0]["env"]
        .as_array_mut()
        .into_iter()
        .flatten()
    {
        variable["value"] = "x".repeat(1000).into();
    }
    pod
}

/// The review that asks about a pod.
pub(crate) fn review(pod: Value) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "0df28fbd-5f5f-11e8-bc74-36e6bb280816",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "requestKind": {"group": "", "version": "v1", "kind": "Pod"},
            "requestResource": {"group": "", "version": "v1", "resource": "pods"},
            "namespace": "shop",
            "operation": "CREATE",
            "userInfo": {
                "username": "system:serviceaccount:kube-system:replicaset-controller",
                "uid": "a1b2", "groups": ["system:serviceaccounts", "system:authenticated"],
            },
            "object": pod,
            "oldObject": null,
            "dryRun": false,
            "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
        },
    })
}

fn container(name: &str) -> Value {
    let probe = |path: &str| {
        json!({"failureThreshold": 3, "httpGet": {"path": path, "port": "http", "scheme": "HTTP"},
            "periodSeconds": 10, "successThreshold": 1, "timeoutSeconds": 1})
    };
    json!({
        "env": [
            {"name": "POD_IP", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "status.podIP"}}},
            {"name": "DATABASE", "value": "postgres://cart.db.svc:5432/cart"},
        ],
        "image": "registry.example.org/shop/cart:1.2.3",
        "imagePullPolicy": "IfNotPresent",
        "livenessProbe": probe("/live"),
        "name": name,
        "ports": [{"containerPort": 8080, "name": "http", "protocol": "TCP"}],
        "readinessProbe": probe("/ready"),
        "resources": {"limits": {"memory": "256Mi"}, "requests": {"cpu": "100m", "memory": "128Mi"}},
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "volumeMounts": [{"mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
            "name": "kube-api-access-x7x2p", "readOnly": true}],
    })
}
