//! Whether what the chart installed is there and works: the control plane, its settings, what proxies trust, and an answer of
//! the webhook itself. Pure. Before it: `cluster`, which read them. After it: `report`.

use std::collections::BTreeMap;

use serde_json::Value;

use super::certificates::{Authorities, Bundle};
use super::kubernetes::name;
use super::namespaces::Labelled;
use super::verdict::{Verdict, few};
use crate::inject::PROXY;
use crate::settings::{KEY, Settings};

/// The control plane's Deployment.
pub(super) fn deployment(deployment: &Value) -> Verdict {
    const CHECK: &str = "control_plane";
    let number = |value: &Value| value.as_u64().unwrap_or(0);
    let (wanted, available) = (
        deployment["spec"]["replicas"].as_u64().unwrap_or(1),
        number(&deployment["status"]["availableReplicas"]),
    );
    let namespace = deployment["metadata"]["namespace"].as_str().unwrap_or_default();
    let object = format!("Deployment {namespace}/{}", name(deployment));
    let look = format!("kubectl -n {namespace} describe deployment {}", name(deployment));
    let version = deployment["metadata"]["labels"]["app.kubernetes.io/version"].as_str();
    if available == 0 {
        Verdict::fail(
            CHECK,
            format!("{object} has no available replica of {wanted}"),
            look,
        )
    } else if available < wanted {
        Verdict::warn(
            CHECK,
            format!("{object} has {available} available replicas of {wanted}"),
            look,
        )
    } else if version.is_some_and(|version| version != env!("CARGO_PKG_VERSION")) {
        Verdict::warn(
            CHECK,
            format!(
                "{object} is version {}, and this command {}: the audit judges by its own",
                version.unwrap_or_default(),
                env!("CARGO_PKG_VERSION")
            ),
            "use the command of the same version",
        )
    } else if available == 1 {
        Verdict::warn(
            CHECK,
            format!("{object} has one replica: while its node restarts, no pod of the mesh can start"),
            "set replicas to 2 or more",
        )
    } else {
        Verdict::ok(
            CHECK,
            format!("{object} has {available} available replicas of {wanted}"),
        )
    }
}

/// The settings that the cluster injects by. The control plane's own namespace is always ignored.
pub(super) fn settings(found: Option<&Value>, object: &str, own: &str) -> (Verdict, Settings) {
    const CHECK: &str = "settings";
    let parsed = match found.map(|map| &map["data"][KEY]) {
        None => Err("is not there".to_owned()),
        Some(Value::String(text)) => Settings::parse(text).map_err(|error| error.to_string()),
        Some(_) => Err(format!("has no key {KEY}")),
    };
    let (verdict, mut settings) = match parsed {
        Ok(settings) => {
            let revision = &settings.injection.revision;
            let words = format!("{object} can be read; it injects for istio.io/rev={revision}");
            (Verdict::ok(CHECK, words), settings)
        }
        Err(problem) => (
            Verdict::fail(
                CHECK,
                format!("{object} {problem}; pods are audited by the built-in settings"),
                "helm upgrade with the right value",
            ),
            Settings::default(),
        ),
    };
    settings.injection.ignored_namespaces.push(own.to_owned());
    (verdict, settings)
}

/// The ConfigMap with the trust anchors, without which no pod with a proxy starts, in every namespace where it is wanted.
pub(super) fn trust_anchors(
    wanted: &[&str],
    found: &BTreeMap<String, Value>,
    authorities: &Authorities,
) -> Verdict {
    const CHECK: &str = "trust_anchors";
    let log = "see the control plane's log; it writes them itself";
    let missing: Vec<_> = wanted
        .iter()
        .copied()
        .filter(|name| !found.contains_key(*name))
        .collect();
    if !missing.is_empty() {
        let reason = format!(
            "no ConfigMap outrigger-ca-root in {}: pods there wait for it",
            few(missing)
        );
        return Verdict::fail(CHECK, reason, log);
    }
    let trusts = |name: &str| {
        let bundle = Bundle::of_pem(found[name]["data"]["ca.pem"].as_str().unwrap_or_default());
        match (bundle, authorities) {
            (Err(_), _) => false,
            (Ok(bundle), Authorities::Known { signer }) => bundle.has(signer),
            (Ok(_), _) => true,
        }
    };
    let broken: Vec<_> = wanted.iter().copied().filter(|name| !trusts(name)).collect();
    if !broken.is_empty() {
        let reason = format!(
            "the ConfigMap outrigger-ca-root does not have the control plane's authority in {}",
            few(broken)
        );
        return Verdict::fail(CHECK, reason, log);
    }
    Verdict::ok(
        CHECK,
        format!("{} namespaces have the ConfigMap outrigger-ca-root", wanted.len()),
    )
}

/// Namespaces whose Pod Security level refuses the container that sets up iptables.
pub(super) fn pod_security(enabled: &Labelled, needs_capabilities: bool) -> Verdict {
    const CHECK: &str = "pod_security";
    let level = |labels: &BTreeMap<String, String>| {
        let level = labels.get("pod-security.kubernetes.io/enforce");
        level.is_some_and(|level| level == "restricted" || level == "baseline")
    };
    let strict: Vec<_> = enabled
        .iter()
        .filter(|(_, labels)| level(labels))
        .map(|(name, _)| name.as_str())
        .collect();
    match strict[..] {
        _ if !needs_capabilities => {
            Verdict::ok(CHECK, "the proxy needs nothing that a Pod Security level forbids")
        }
        [] => Verdict::ok(
            CHECK,
            format!("{} namespaces are enabled, and admit a proxy", enabled.len()),
        ),
        _ => Verdict::fail(
            CHECK,
            format!(
                "{} enforces a Pod Security level that forbids NET_ADMIN, which outrigger-init needs",
                few(strict)
            ),
            "label it pod-security.kubernetes.io/enforce=privileged, or set proxy.capture to external",
        ),
    }
}

/// What came of creating a pod as a dry run, in `namespace`: the one proof that API server and webhook understand each
/// other, certificates and all.
pub(super) fn answer(namespace: &str, created: Result<&Value, &kube::Error>) -> Verdict {
    const CHECK: &str = "webhook_answers";
    match created {
        Ok(pod) => {
            let lists = ["initContainers", "containers"];
            let mut containers = lists
                .iter()
                .flat_map(|list| pod["spec"][list].as_array().into_iter().flatten());
            match containers.any(|container| container["name"] == PROXY) {
                true => Verdict::ok(CHECK, format!("a pod in {namespace} gets its proxy (a dry run)")),
                false => Verdict::fail(
                    CHECK,
                    format!("a pod in {namespace} that asks for a proxy gets none (a dry run)"),
                    "look at sidecar_injection_skip in the control plane's metrics, and whether the webhook's rules have it asked",
                ),
            }
        }
        Err(kube::Error::Api(status)) if status.message.contains("failed calling webhook") => Verdict::fail(
            CHECK,
            format!("the API server gets no answer: {}", status.message),
            "see the control plane's log, and whether the API server reaches its Service",
        ),
        Err(kube::Error::Api(status)) if status.code == 403 => Verdict::warn(
            CHECK,
            format!("could not be tried: {}", status.message),
            format!("ask as a user who may create pods in {namespace}, or with -n NAMESPACE"),
        ),
        Err(error) => Verdict::fail(
            CHECK,
            format!("a pod in {namespace} is refused (a dry run): {error}"),
            "the message says by whom",
        ),
    }
}

#[cfg(test)]
mod tests;
