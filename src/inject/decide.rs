//! Inject or skip, and why: one table, the first rule that holds decides.
//! Before it: `pod`. After it: `reason` (how the answer reads) and, when it is to inject, `sidecar`.

use super::Namespace;
use super::pod::Pod;
use super::reason::Reason;
use super::status::Status;
use crate::settings::{Injection, Policy};

/// Istio's namespace label, `enabled` or `disabled`.
const NAMESPACE_LABEL: &str = "istio-injection";
/// Istio's label, on a namespace or a pod, that names the installation which is to inject.
const REVISION_LABEL: &str = "istio.io/rev";
/// Istio's label (or, older, annotation) with which a pod opts in or out.
const POD_LABEL: &str = "sidecar.istio.io/inject";
/// The proxies of other meshes: two of them in one pod would capture each other's connections.
const OTHER_SIDECARS: [&str; 2] = ["istio-proxy", "linkerd-proxy"];

/// The revision that the labels without a revision's name are for.
pub(super) const DEFAULT_REVISION: &str = "outrigger";

/// All that a decision is made from.
pub(super) struct Subject<'a> {
    pub(super) pod: &'a Pod<'a>,
    pub(super) namespace: &'a Namespace<'a>,
    pub(super) injection: &'a Injection,
}

type Holds = fn(&Subject) -> bool;

/// The precedence table. The order among labels is that of Istio's webhook selectors and of its injector:
/// `istio-injection` beats `istio.io/rev`, a namespace that says no beats a pod that says yes, a pod's own "no" beats
/// its namespace's yes, and a namespace with any of the two labels takes no advice from the pod's `istio.io/rev`. The
/// selectors and the policy come last, never before always, and only for pods that say nothing themselves.
const PRECEDENCE: [(Reason, Holds); 20] = [
    (Reason::MirrorPod, |it| {
        it.pod.annotation("kubernetes.io/config.mirror").is_some()
    }),
    (Reason::IgnoredNamespace, |it| {
        it.injection
            .ignored_namespaces
            .iter()
            .any(|name| name == it.namespace.name)
    }),
    (Reason::AlreadyInjected, |it| Status::read(it.pod).is_some()),
    (Reason::NamespaceDisabled, |it| {
        it.namespace_label().is_some_and(|value| value != "enabled")
    }),
    (Reason::PodDisabled, |it| it.pod_wish() == Some("false")),
    (Reason::InvalidValue, |it| {
        it.pod_wish().is_some_and(|value| value != "true")
    }),
    (Reason::OtherRevision, |it| {
        it.revision().is_some_and(|value| value != it.injection.revision)
    }),
    (Reason::NotThisRevision, |it| {
        it.revision().is_none() && it.injection.revision != DEFAULT_REVISION
    }),
    (Reason::NotSelected, |it| !it.selected()),
    (Reason::HostNetwork, |it| it.pod.host_network),
    (Reason::Windows, |it| it.pod.runs_windows()),
    (Reason::OtherSidecar, |it| {
        it.pod
            .all_containers()
            .any(|(_, name)| OTHER_SIDECARS.contains(&name))
    }),
    (Reason::NeverSelector, |it| {
        it.pod_wish().is_none() && it.injection.never_inject_selector.matches(it.pod.labels())
    }),
    (Reason::AlwaysSelector, |it| {
        it.pod_wish().is_none() && it.injection.always_inject_selector.matches(it.pod.labels())
    }),
    (Reason::PolicyDisabled, |it| {
        !it.pod_asks() && it.injection.policy == Policy::Disabled
    }),
    (Reason::NamespaceLabel, |it| it.namespace_label().is_some()),
    (Reason::NamespaceRevision, |it| it.namespace_revision().is_some()),
    (Reason::PodRevision, |it| it.revision().is_some()),
    (Reason::PodLabel, |it| it.pod.label(POD_LABEL).is_some()),
    (Reason::NamespaceDefault, |it| {
        it.injection.enable_namespaces_by_default
    }),
];

/// The first rule of the table that holds.
pub(super) fn decide(subject: &Subject) -> Reason {
    PRECEDENCE
        .iter()
        .find(|(_, holds)| holds(subject))
        .map_or(Reason::NotSelected, |(reason, _)| *reason)
}

/// Every rule, and whether it holds.
pub(super) fn rules(subject: &Subject) -> Vec<(Reason, bool)> {
    let rules = PRECEDENCE.iter();
    rules.map(|(reason, holds)| (*reason, holds(subject))).collect()
}

impl<'a> Subject<'a> {
    fn namespace_label(&self) -> Option<&'a str> {
        self.namespace.labels.get(NAMESPACE_LABEL).map(String::as_str)
    }

    fn namespace_revision(&self) -> Option<&'a str> {
        self.namespace.labels.get(REVISION_LABEL).map(String::as_str)
    }

    /// Whether the pod itself wants to be in, whatever its namespace says.
    pub(super) fn pod_asks(&self) -> bool {
        self.pod_wish().is_some_and(|value| value != "false")
            || self.pod.label(REVISION_LABEL) == Some(&self.injection.revision)
    }

    /// The label beats the annotation of the same name; an empty value is no wish.
    fn pod_wish(&self) -> Option<&'a str> {
        let value = self
            .pod
            .label(POD_LABEL)
            .or_else(|| self.pod.annotation(POD_LABEL));
        value.filter(|value| !value.is_empty())
    }

    /// The revision that counts, if one does: `istio-injection` beats it, and the namespace's beats the pod's.
    fn revision(&self) -> Option<&'a str> {
        match self.namespace_label() {
            Some(_) => None,
            None => self
                .namespace_revision()
                .or_else(|| self.pod.label(REVISION_LABEL)),
        }
    }

    /// Whether any label asks for injection. The annotation can only opt out, as in Istio.
    fn selected(&self) -> bool {
        self.namespace_label().is_some()
            || self.revision().is_some()
            || self.pod.label(POD_LABEL) == Some("true")
            || self.injection.enable_namespaces_by_default
    }
}

#[cfg(test)]
mod tests {
    use super::super::warnings::warnings;
    use super::*;
    use crate::settings::Settings;
    use serde_json::{Value, json};
    use std::collections::BTreeMap;

    fn labels(text: &str) -> BTreeMap<String, String> {
        let pairs = text.split(' ').filter_map(|pair| pair.split_once('='));
        pairs.map(|(key, value)| (key.into(), value.into())).collect()
    }

    fn pod(pod_labels: &str, annotations: &str) -> Value {
        json!({
            "metadata": {"labels": labels(pod_labels), "annotations": labels(annotations)},
            "spec": {"containers": [{"name": "app"}]},
        })
    }

    fn reason(pod: &Value, namespace: &str, namespace_labels: &str) -> (Reason, Option<String>) {
        reason_by(pod, namespace, namespace_labels, &Injection::default())
    }

    fn reason_by(
        pod: &Value,
        name: &str,
        namespace_labels: &str,
        injection: &Injection,
    ) -> (Reason, Option<String>) {
        let (pod, labels) = (Pod::read(pod, "").expect("a pod"), labels(namespace_labels));
        let subject = Subject {
            pod: &pod,
            namespace: &Namespace {
                name,
                labels: &labels,
                uid_range: None,
            },
            injection,
        };
        let reason = decide(&subject);
        (reason, warnings(&subject, reason).pop())
    }

    #[test]
    fn selectors_and_policy_are_for_pods_that_say_nothing() {
        use Reason::*;
        let (enabled, disabled) = ("istio-injection=enabled", "istio-injection=disabled");
        let (asks, out) = ("sidecar.istio.io/inject=true", "sidecar.istio.io/inject=false");
        let never = "neverInjectSelector: [{matchLabels: {batch: 'yes'}}]";
        let always =
            "policy: disabled, alwaysInjectSelector: [{matchExpressions: [{key: web, operator: Exists}]}]";
        let both =
            "neverInjectSelector: [{matchLabels: {a: b}}], alwaysInjectSelector: [{matchLabels: {a: b}}]";
        let by_default = "enableNamespacesByDefault: true";
        let canary = "revision: canary";
        // settings, namespace's labels, pod's labels, reason, whether the owner is told
        let table = [
            (never, enabled, "batch=yes", NeverSelector, false),
            (never, enabled, "batch=no", NamespaceLabel, false),
            (
                never,
                enabled,
                "batch=yes sidecar.istio.io/inject=true",
                NamespaceLabel,
                false,
            ),
            (never, "", "batch=yes", NotSelected, false),
            (
                "neverInjectSelector: [{}]",
                enabled,
                "batch=yes",
                NamespaceLabel,
                false,
            ),
            (always, enabled, "web=1", AlwaysSelector, false),
            (
                always,
                enabled,
                "web=1 sidecar.istio.io/inject=false",
                PodDisabled,
                false,
            ),
            (always, enabled, "", PolicyDisabled, false),
            (always, enabled, asks, NamespaceLabel, false),
            (always, "", "web=1", NotSelected, false),
            (both, enabled, "a=b", NeverSelector, false),
            (
                "policy: disabled",
                "",
                "istio.io/rev=outrigger",
                PodRevision,
                false,
            ),
            (by_default, "", "", NamespaceDefault, false),
            (by_default, "", out, PodDisabled, false),
            (by_default, disabled, "", NamespaceDisabled, false),
            (by_default, "istio.io/rev=canary", "", OtherRevision, false),
            (by_default, enabled, "", NamespaceLabel, false),
            (canary, "istio.io/rev=canary", "", NamespaceRevision, false),
            (canary, "", "istio.io/rev=canary", PodRevision, false),
            (canary, enabled, "", NotThisRevision, false),
            (canary, "", asks, NotThisRevision, true),
            (canary, "istio.io/rev=outrigger", "", OtherRevision, false),
        ];
        for (settings, namespace, pod_labels, expected, told) in table {
            let settings = Settings::parse(&format!("injection: {{{settings}}}")).expect("settings");
            let pod = pod(pod_labels, "");
            let (found, warning) = reason_by(&pod, "shop", namespace, &settings.injection);
            let case = format!("namespace {namespace:?} labels {pod_labels:?}");
            assert_eq!((found, warning.is_some()), (expected, told), "{case}");
        }
    }

    #[test]
    fn the_documentation_has_the_same_table() {
        let text = include_str!("../../docs/injection.md");
        let rows = text
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
        let documented: Vec<_> = rows
            .filter_map(|(code, rest)| Some((code, rest.split_once(" |")?.0)))
            .filter(|(_, outcome)| ["skip", "inject"].contains(outcome))
            .collect();
        let table: Vec<_> = PRECEDENCE
            .iter()
            .map(|(reason, _)| (reason.code(), if reason.injects() { "inject" } else { "skip" }))
            .collect();
        assert_eq!(documented, table);
    }

    #[test]
    fn labels_decide_in_istios_order() {
        use Reason::*;
        let (inject, out) = ("sidecar.istio.io/inject=true", "sidecar.istio.io/inject=false");
        let (ours, other) = ("istio.io/rev=outrigger", "istio.io/rev=canary");
        let (enabled, disabled) = ("istio-injection=enabled", "istio-injection=disabled");
        let enabled_other = "istio-injection=enabled istio.io/rev=canary";
        let disabled_ours = "istio-injection=disabled istio.io/rev=outrigger";
        let both = "sidecar.istio.io/inject=true istio.io/rev=canary";
        // namespace's labels, pod's labels, pod's annotations, reason, whether the owner is told
        let table = [
            ("", "", "", NotSelected, false),
            (enabled, "", "", NamespaceLabel, false),
            (enabled, inject, "", NamespaceLabel, false),
            (enabled, out, "", PodDisabled, false),
            (enabled, "", out, PodDisabled, false),
            (enabled, inject, out, NamespaceLabel, true),
            (enabled, out, inject, PodDisabled, false),
            (enabled, other, "", NamespaceLabel, true),
            (enabled, "sidecar.istio.io/inject=yes", "", InvalidValue, true),
            (enabled, "sidecar.istio.io/inject=", "", NamespaceLabel, false),
            (enabled_other, "", "", NamespaceLabel, false),
            (disabled, "", "", NamespaceDisabled, false),
            (disabled, inject, "", NamespaceDisabled, true),
            (disabled_ours, "", "", NamespaceDisabled, false),
            ("istio-injection=on", "", "", NamespaceDisabled, false),
            (ours, "", "", NamespaceRevision, false),
            (ours, out, "", PodDisabled, false),
            (ours, other, "", NamespaceRevision, true),
            (other, "", "", OtherRevision, false),
            (other, inject, "", OtherRevision, true),
            (other, ours, "", OtherRevision, true),
            ("", inject, "", PodLabel, false),
            ("", ours, "", PodRevision, false),
            ("", other, "", OtherRevision, false),
            ("", both, "", OtherRevision, true),
            ("", "", inject, NotSelected, true),
        ];
        for (namespace, pod_labels, annotations, expected, told) in table {
            let (found, warning) = reason(&pod(pod_labels, annotations), "shop", namespace);
            let case = format!("namespace {namespace:?} labels {pod_labels:?} annotations {annotations:?}");
            assert_eq!((found, warning.is_some()), (expected, told), "{case}");
        }
    }

    #[test]
    fn what_a_pod_is_beats_what_it_asks_for() {
        use Reason::*;
        let enabled = "istio-injection=enabled";
        let asks = |extra: Value| {
            let mut pod = pod("sidecar.istio.io/inject=true", "");
            for (pointer, value) in extra.as_object().into_iter().flatten() {
                let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
                pod.pointer_mut(parent).expect("a parent")[key] = value.clone();
            }
            pod
        };
        let istio = json!({"/spec/containers": [{"name": "app"}, {"name": "istio-proxy"}]});
        let linkerd = json!({"/spec/initContainers": [{"name": "linkerd-proxy"}]});
        let mirror = json!({"/metadata/annotations": {"kubernetes.io/config.mirror": "0"}});
        let table = [
            (json!({"/spec/hostNetwork": true}), "shop", enabled, HostNetwork),
            (
                json!({"/spec/hostNetwork": true}),
                "shop",
                "istio-injection=disabled",
                NamespaceDisabled,
            ),
            (
                json!({"/spec/hostNetwork": false}),
                "shop",
                enabled,
                NamespaceLabel,
            ),
            (json!({"/spec/os": {"name": "windows"}}), "shop", enabled, Windows),
            (
                json!({"/spec/os": {"name": "linux"}}),
                "shop",
                enabled,
                NamespaceLabel,
            ),
            (
                json!({"/spec/nodeSelector": {"kubernetes.io/os": "windows"}}),
                "shop",
                enabled,
                Windows,
            ),
            (istio, "shop", enabled, OtherSidecar),
            (linkerd, "shop", enabled, OtherSidecar),
            (mirror, "shop", enabled, MirrorPod),
            (json!({}), "kube-system", enabled, IgnoredNamespace),
        ];
        for (extra, namespace, labels, expected) in table {
            let (found, warning) = reason(&asks(extra.clone()), namespace, labels);
            assert_eq!(found, expected, "{extra}");
            assert_eq!(warning.is_some(), !expected.injects(), "{extra}: {warning:?}");
        }
    }
}
