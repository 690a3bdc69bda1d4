//! Inject or skip, and why: one table, the first rule that holds decides.
//! Before it: `pod`. After it: `sidecar`, when the answer is to inject.

use std::collections::BTreeMap;

use super::pod::Pod;
use super::status::Status;
use crate::settings::Injection;

/// Istio's namespace label, `enabled` or `disabled`.
const NAMESPACE_LABEL: &str = "istio-injection";
/// Istio's label, on a namespace or a pod, that names the installation which is to inject.
const REVISION_LABEL: &str = "istio.io/rev";
/// Istio's label (or, older, annotation) with which a pod opts in or out.
const POD_LABEL: &str = "sidecar.istio.io/inject";
/// The proxies of other meshes: two of them in one pod would capture each other's connections.
const OTHER_SIDECARS: [&str; 2] = ["istio-proxy", "linkerd-proxy"];

/// All that a decision is made from.
pub(super) struct Subject<'a> {
    pub(super) pod: &'a Pod<'a>,
    pub(super) namespace: &'a str,
    pub(super) namespace_labels: &'a BTreeMap<String, String>,
    pub(super) injection: &'a Injection,
}

/// Which rule decided.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Reason {
    /// The kubelet mirrors a static pod that already runs.
    MirrorPod,
    /// The settings list the namespace.
    IgnoredNamespace,
    /// Outrigger was here before.
    AlreadyInjected,
    /// The namespace's label `istio-injection` is not `enabled`.
    NamespaceDisabled,
    /// The pod's `sidecar.istio.io/inject` is `false`.
    PodDisabled,
    /// The pod's `sidecar.istio.io/inject` is neither `true` nor `false`.
    InvalidValue,
    /// `istio.io/rev` names another installation.
    OtherRevision,
    /// No label asks for injection.
    NotSelected,
    /// The pod shares the node's network, where iptables rules would capture the node's traffic.
    HostNetwork,
    /// Another mesh's proxy is in the pod.
    OtherSidecar,
    /// The namespace has `istio-injection=enabled`.
    NamespaceLabel,
    /// The namespace has `istio.io/rev` with our revision.
    NamespaceRevision,
    /// The pod has `sidecar.istio.io/inject=true`.
    PodLabel,
    /// The pod has `istio.io/rev` with our revision.
    PodRevision,
}

impl Reason {
    /// Whether the pod gets a proxy.
    pub fn injects(self) -> bool {
        matches!(
            self,
            Self::NamespaceLabel | Self::NamespaceRevision | Self::PodLabel | Self::PodRevision
        )
    }

    /// A stable code, for metrics and logs.
    pub fn code(self) -> &'static str {
        match self {
            Self::MirrorPod => "mirror_pod",
            Self::IgnoredNamespace => "ignored_namespace",
            Self::AlreadyInjected => "already_injected",
            Self::NamespaceDisabled => "namespace_disabled",
            Self::PodDisabled => "pod_disabled",
            Self::InvalidValue => "invalid_value",
            Self::OtherRevision => "other_revision",
            Self::NotSelected => "not_selected",
            Self::HostNetwork => "host_network",
            Self::OtherSidecar => "other_sidecar",
            Self::NamespaceLabel => "namespace_label",
            Self::NamespaceRevision => "namespace_revision",
            Self::PodLabel => "pod_label",
            Self::PodRevision => "pod_revision",
        }
    }

    /// The reason as the end of the sentence "the pod was (not) injected because".
    pub fn because(self) -> &'static str {
        match self {
            Self::MirrorPod => "it mirrors a static pod, which cannot be changed",
            Self::IgnoredNamespace => "its namespace is in injection.ignoredNamespaces",
            Self::AlreadyInjected => "it already has the container outrigger-proxy",
            Self::NamespaceDisabled => {
                "its namespace has the label istio-injection with a value other than enabled"
            }
            Self::PodDisabled => "sidecar.istio.io/inject is \"false\" on the pod",
            Self::InvalidValue => "sidecar.istio.io/inject on the pod is neither \"true\" nor \"false\"",
            Self::OtherRevision => "the label istio.io/rev names another revision",
            Self::NotSelected => "neither the namespace nor the pod has a label that asks for it",
            Self::HostNetwork => "spec.hostNetwork is true: its traffic is the node's",
            Self::OtherSidecar => "it already has the proxy of another mesh",
            Self::NamespaceLabel => "its namespace has the label istio-injection=enabled",
            Self::NamespaceRevision => "its namespace's label istio.io/rev names this revision",
            Self::PodLabel => "the pod has the label sidecar.istio.io/inject=true",
            Self::PodRevision => "the pod's label istio.io/rev names this revision",
        }
    }
}

type Holds = fn(&Subject) -> bool;

/// The precedence table. The order among labels is that of Istio's webhook selectors and of its injector:
/// `istio-injection` beats `istio.io/rev`, a namespace that says no beats a pod that says yes, a pod's own "no" beats
/// its namespace's yes, and a namespace with any of the two labels takes no advice from the pod's `istio.io/rev`.
const PRECEDENCE: [(Reason, Holds); 14] = [
    (Reason::MirrorPod, |it| {
        it.pod.annotation("kubernetes.io/config.mirror").is_some()
    }),
    (Reason::IgnoredNamespace, |it| {
        it.injection
            .ignored_namespaces
            .iter()
            .any(|name| name == it.namespace)
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
    (Reason::NotSelected, |it| !it.selected()),
    (Reason::HostNetwork, |it| it.pod.host_network),
    (Reason::OtherSidecar, |it| {
        it.pod
            .all_containers()
            .any(|(_, name)| OTHER_SIDECARS.contains(&name))
    }),
    (Reason::NamespaceLabel, |it| it.namespace_label().is_some()),
    (Reason::NamespaceRevision, |it| it.namespace_revision().is_some()),
    (Reason::PodRevision, |it| it.revision().is_some()),
    (Reason::PodLabel, |it| it.pod.label(POD_LABEL).is_some()),
];

/// The first rule of the table that holds.
pub(super) fn decide(subject: &Subject) -> Reason {
    PRECEDENCE
        .iter()
        .find(|(_, holds)| holds(subject))
        .map_or(Reason::NotSelected, |(reason, _)| *reason)
}

/// What to tell an owner whose pod itself asks for injection and does not get it.
pub(super) fn warning(subject: &Subject, reason: Reason) -> Option<String> {
    let asked = subject.pod_wish().is_some_and(|value| value != "false")
        || subject.pod.label(REVISION_LABEL) == Some(&subject.injection.revision);
    let granted = reason.injects() || reason == Reason::AlreadyInjected;
    (asked && !granted).then(|| {
        format!(
            "the pod asks for a sidecar and gets none, because {}",
            reason.because()
        )
    })
}

impl<'a> Subject<'a> {
    fn namespace_label(&self) -> Option<&'a str> {
        self.namespace_labels.get(NAMESPACE_LABEL).map(String::as_str)
    }

    fn namespace_revision(&self) -> Option<&'a str> {
        self.namespace_labels.get(REVISION_LABEL).map(String::as_str)
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
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

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
        let (pod, injection) = (Pod::read(pod, "").expect("a pod"), Injection::default());
        let subject = Subject {
            pod: &pod,
            namespace,
            namespace_labels: &labels(namespace_labels),
            injection: &injection,
        };
        let reason = decide(&subject);
        (reason, warning(&subject, reason))
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
            (enabled, inject, out, NamespaceLabel, false),
            (enabled, out, inject, PodDisabled, false),
            (enabled, other, "", NamespaceLabel, false),
            (enabled, "sidecar.istio.io/inject=yes", "", InvalidValue, true),
            (enabled, "sidecar.istio.io/inject=", "", NamespaceLabel, false),
            (enabled_other, "", "", NamespaceLabel, false),
            (disabled, "", "", NamespaceDisabled, false),
            (disabled, inject, "", NamespaceDisabled, true),
            (disabled_ours, "", "", NamespaceDisabled, false),
            ("istio-injection=on", "", "", NamespaceDisabled, false),
            (ours, "", "", NamespaceRevision, false),
            (ours, out, "", PodDisabled, false),
            (ours, other, "", NamespaceRevision, false),
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
