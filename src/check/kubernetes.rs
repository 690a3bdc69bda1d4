//! Whether the cluster is one that Outrigger can run on: versions, custom resources, permissions, other meshes. Pure.
//! Before it: `cluster`, which read them. After it: `report`.

use serde_json::Value;

use super::verdict::{Verdict, few};
use crate::api::IstioKind;

/// The first Kubernetes whose native sidecars are on by default (KEP-753), for API server and kubelets alike.
const NATIVE_SIDECARS: (u32, u32) = (1, 29);

/// Whether the API server, of which this is `/version`, knows native sidecars.
pub(super) fn knows_native_sidecars(info: &Value) -> bool {
    numbers(info["gitVersion"].as_str().unwrap_or_default()).is_none_or(|found| found >= NATIVE_SIDECARS)
}

/// The API server's version, from `/version`.
pub(super) fn version(info: &Value) -> Verdict {
    const CHECK: &str = "kubernetes_version";
    let git = info["gitVersion"].as_str().unwrap_or_default();
    match numbers(git) {
        None => Verdict::warn(
            CHECK,
            format!("the API server's version is {git:?}, which cannot be read"),
            format!(
                "it has to be Kubernetes {}.{} or newer",
                NATIVE_SIDECARS.0, NATIVE_SIDECARS.1
            ),
        ),
        Some(found) if found < NATIVE_SIDECARS => Verdict::warn(
            CHECK,
            format!("Kubernetes {git} has no native sidecars: a Job has to end its proxy itself"),
            format!(
                "upgrade the cluster to {}.{} or newer",
                NATIVE_SIDECARS.0, NATIVE_SIDECARS.1
            ),
        ),
        Some(_) => Verdict::ok(CHECK, format!("Kubernetes {git}")),
    }
}

/// Every node on which a pod with a proxy may run. A kubelet that does not know native sidecars takes the proxy for an
/// init container and waits for its end for ever.
pub(super) fn kubelets(nodes: &[Value], native: bool) -> Verdict {
    const CHECK: &str = "kubelet_versions";
    let info = |node: &Value, field: &str| {
        let text = node["status"]["nodeInfo"][field].as_str();
        text.unwrap_or_default().to_owned()
    };
    let linux = || {
        nodes
            .iter()
            .filter(|node| info(node, "operatingSystem") != "windows")
    };
    let version = |node: &&Value| numbers(&info(node, "kubeletVersion"));
    let old: Vec<_> = linux()
        .filter(|node| version(node).is_some_and(|found| found < NATIVE_SIDECARS))
        .collect();
    if native && !old.is_empty() {
        let names = old.iter().map(|node| name(node));
        return Verdict::fail(
            CHECK,
            format!(
                "pods with a native sidecar never start on {}: the kubelet is older than {}.{}",
                few(names),
                NATIVE_SIDECARS.0,
                NATIVE_SIDECARS.1
            ),
            "upgrade these nodes, or set proxy.nativeSidecar to false",
        );
    }
    let oldest = linux()
        .min_by_key(version)
        .map(|node| info(node, "kubeletVersion"));
    match oldest {
        None => Verdict::warn(
            CHECK,
            "there is no Linux node",
            "add one: the proxy runs on Linux",
        ),
        Some(oldest) => Verdict::ok(
            CHECK,
            format!("{} Linux nodes, the oldest kubelet is {oldest}", linux().count()),
        ),
    }
}

/// One of the kinds of rules; `found` is its CustomResourceDefinition.
pub(super) fn custom_resource(name: &str, found: Option<&Value>, installed: bool) -> Verdict {
    const CHECK: &str = "custom_resources";
    let Some(definition) = found else {
        return match installed {
            false => Verdict::ok(CHECK, format!("{name} is not there yet; the chart brings it")),
            true => Verdict::fail(
                CHECK,
                format!("{name} is missing, so that no rule can be written"),
                "outrigger crds | kubectl apply -f -",
            ),
        };
    };
    let versions = definition["spec"]["versions"].as_array().into_iter().flatten();
    let served: Vec<_> = versions
        .filter(|version| version["served"] == true)
        .filter_map(|version| version["name"].as_str())
        .collect();
    let read = IstioKind::VERSIONS
        .into_iter()
        .find(|known| served.contains(known));
    let Some(read) = read else {
        return Verdict::fail(
            CHECK,
            format!(
                "{name} is served as {}, and the control plane reads {}",
                few(served),
                few(IstioKind::VERSIONS)
            ),
            "outrigger crds | kubectl apply -f -",
        );
    };
    let by_helm = &definition["metadata"]["annotations"]["meta.helm.sh/release-name"];
    if !installed && by_helm.is_null() {
        return Verdict::warn(
            CHECK,
            format!(
                "{name} is there already and belongs to no Helm release, which Helm refuses to take over"
            ),
            "install with --set crds.install=false",
        );
    }
    Verdict::ok(CHECK, format!("{name} is served, and read as {read}"))
}

/// What whoever installs the chart has to be allowed: group and resource, and whether it is in the control plane's namespace.
pub(super) const CREATED_BY_CHART: [(&str, &str, bool); 12] = [
    ("", "namespaces", false),
    ("apiextensions.k8s.io", "customresourcedefinitions", false),
    ("rbac.authorization.k8s.io", "clusterroles", false),
    ("rbac.authorization.k8s.io", "clusterrolebindings", false),
    (
        "admissionregistration.k8s.io",
        "mutatingwebhookconfigurations",
        false,
    ),
    ("", "configmaps", true),
    ("", "secrets", true),
    ("", "serviceaccounts", true),
    ("", "services", true),
    ("apps", "deployments", true),
    ("rbac.authorization.k8s.io", "roles", true),
    ("rbac.authorization.k8s.io", "rolebindings", true),
];

/// `denied` are the resources that may not be created.
pub(super) fn permissions(denied: &[String]) -> Verdict {
    const CHECK: &str = "permissions";
    match denied {
        [] => Verdict::ok(CHECK, "you may create all that the chart consists of"),
        denied => Verdict::fail(
            CHECK,
            format!("you may not create {}", few(denied.iter().map(String::as_str))),
            "install as a cluster administrator",
        ),
    }
}

/// The object's name.
pub(super) fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

/// Major and minor of a version such as `v1.34.4-gke.100`.
fn numbers(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.trim_start_matches('v').split('.');
    let minor = |text: &str| {
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        text[..digits].parse().ok()
    };
    Some((parts.next()?.parse().ok()?, minor(parts.next()?)?))
}

#[cfg(test)]
mod tests {
    use super::super::verdict::Level::{self, Fail, Ok, Warn};
    use super::*;
    use serde_json::json;

    fn check(verdict: Verdict, level: Level, words: &str) {
        let text = format!("{} {}", verdict.reason, verdict.remedy.unwrap_or_default());
        assert_eq!(verdict.level, level, "{text}");
        assert!(text.contains(words), "{text}");
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        for (git, level, words) in [
            ("v1.34.4", Ok, "Kubernetes v1.34.4"),
            ("v1.29.0-eks-1234", Ok, "Kubernetes v1.29.0-eks-1234"),
            ("v1.30+", Ok, "v1.30+"),
            ("v1.100.0", Ok, "v1.100.0"),
            ("v1.28.9", Warn, "no native sidecars"),
            ("v1.9.0", Warn, "1.29 or newer"),
            ("", Warn, "cannot be read"),
            ("main", Warn, "cannot be read"),
        ] {
            check(version(&json!({"gitVersion": git})), level, words);
        }
    }

    #[test]
    fn every_kubelet_counts_that_may_run_a_proxy() {
        let node = |name: &str, version: &str, system: &str| {
            json!({"metadata": {"name": name},
                "status": {"nodeInfo": {"kubeletVersion": version, "operatingSystem": system}}})
        };
        let (new, old, windows) = (
            node("a", "v1.34.1", "linux"),
            node("b", "v1.28.3", "linux"),
            node("c", "v1.28.0", "windows"),
        );
        for (nodes, native, level, words) in [
            (
                vec![new.clone()],
                true,
                Ok,
                "1 Linux nodes, the oldest kubelet is v1.34.1",
            ),
            (vec![new.clone(), old.clone()], true, Fail, "never start on b"),
            (
                vec![new.clone(), old.clone()],
                false,
                Ok,
                "the oldest kubelet is v1.28.3",
            ),
            (vec![new, windows.clone()], true, Ok, "1 Linux nodes"),
            (vec![windows], true, Warn, "no Linux node"),
        ] {
            check(kubelets(&nodes, native), level, words);
        }
    }

    #[test]
    fn custom_resources_have_to_be_served_as_they_are_read() {
        let definition = |versions: &[&str], release: Option<&str>| {
            let versions: Vec<_> = versions
                .iter()
                .map(|name| json!({"name": name.trim_start_matches('-'), "served": !name.starts_with('-')}))
                .collect();
            json!({"metadata": {"annotations": {"meta.helm.sh/release-name": release}}, "spec": {"versions": versions}})
        };
        let all = definition(&["v1", "v1beta1"], None);
        let ours = definition(&["v1"], Some("outrigger"));
        // Istio's own before 1.22, before 1.5, and of somebody else.
        let (old, older, other) = (
            definition(&["v1alpha3", "v1beta1"], None),
            definition(&["-v1", "v1alpha3"], None),
            definition(&["-v1", "v2"], None),
        );
        for (found, installed, level, words) in [
            (None, false, Ok, "the chart brings it"),
            (None, true, Fail, "outrigger crds"),
            (Some(&all), true, Ok, "read as v1"),
            (Some(&all), false, Warn, "crds.install=false"),
            (Some(&ours), false, Ok, "read as v1"),
            (Some(&old), true, Ok, "read as v1beta1"),
            (Some(&older), true, Ok, "read as v1alpha3"),
            (
                Some(&other),
                true,
                Fail,
                "served as v2, and the control plane reads v1, v1beta1",
            ),
        ] {
            let verdict = custom_resource("virtualservices.networking.istio.io", found, installed);
            check(verdict, level, words);
        }
    }

    #[test]
    fn denied_permissions_are_named() {
        check(permissions(&[]), Ok, "all that the chart");
        check(permissions(&["secrets".into()]), Fail, "may not create secrets");
    }
}
