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
mod tests;
