//! Why a pod was injected or not: a code for metrics and logs, and words for people.
//! Before it: `decide`. After it: the caller's log, metrics and notes.

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
    /// This is a revision with a name of its own, and no label names it.
    NotThisRevision,
    /// No label asks for injection.
    NotSelected,
    /// The pod shares the node's network, where iptables rules would capture the node's traffic.
    HostNetwork,
    /// Another mesh's proxy is in the pod.
    OtherSidecar,
    /// The pod runs on Windows, which has no iptables.
    Windows,
    /// The settings' `neverInjectSelector` matches the pod.
    NeverSelector,
    /// The settings' policy leaves pods alone that do not ask.
    PolicyDisabled,
    /// The settings' `alwaysInjectSelector` matches the pod.
    AlwaysSelector,
    /// The namespace has `istio-injection=enabled`.
    NamespaceLabel,
    /// The namespace has `istio.io/rev` with our revision.
    NamespaceRevision,
    /// The pod has `sidecar.istio.io/inject=true`.
    PodLabel,
    /// The pod has `istio.io/rev` with our revision.
    PodRevision,
    /// The settings take namespaces without a label for enabled ones.
    NamespaceDefault,
}

impl Reason {
    /// Whether the pod gets a proxy.
    pub fn injects(self) -> bool {
        matches!(
            self,
            Self::AlwaysSelector
                | Self::NamespaceLabel
                | Self::NamespaceRevision
                | Self::PodLabel
                | Self::PodRevision
                | Self::NamespaceDefault
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
            Self::NotThisRevision => "not_this_revision",
            Self::NotSelected => "not_selected",
            Self::HostNetwork => "host_network",
            Self::OtherSidecar => "other_sidecar",
            Self::NamespaceLabel => "namespace_label",
            Self::NamespaceRevision => "namespace_revision",
            Self::PodLabel => "pod_label",
            Self::PodRevision => "pod_revision",
            Self::NamespaceDefault => "namespace_default",
            Self::Windows => "windows",
            Self::NeverSelector => "never_selector",
            Self::AlwaysSelector => "always_selector",
            Self::PolicyDisabled => "policy_disabled",
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
            Self::NotThisRevision => "this revision injects only where the label istio.io/rev names it",
            Self::NotSelected => "neither the namespace nor the pod has a label that asks for it",
            Self::HostNetwork => "spec.hostNetwork is true: its traffic is the node's",
            Self::OtherSidecar => "it already has the proxy of another mesh",
            Self::NamespaceLabel => "its namespace has the label istio-injection=enabled",
            Self::NamespaceRevision => "its namespace's label istio.io/rev names this revision",
            Self::PodLabel => "the pod has the label sidecar.istio.io/inject=true",
            Self::PodRevision => "the pod's label istio.io/rev names this revision",
            Self::NamespaceDefault => "injection.enableNamespacesByDefault is set and nothing says otherwise",
            Self::Windows => "it runs on Windows, which has no iptables",
            Self::NeverSelector => "injection.neverInjectSelector matches its labels",
            Self::AlwaysSelector => "injection.alwaysInjectSelector matches its labels",
            Self::PolicyDisabled => "injection.policy is disabled and the pod does not ask",
        }
    }
}
