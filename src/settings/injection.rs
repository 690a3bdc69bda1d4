//! Which pods get a proxy, as far as an operator decides it. A part of `settings`; `inject::decide` reads it.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::{Selector, SelectorExt};
use serde::Deserialize;

use super::{SettingsError, refuse};

/// Which pods get a proxy.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Injection {
    /// The value of the label `istio.io/rev` that selects this installation.
    pub revision: String,
    /// Namespaces in which no pod is ever changed. The controller adds its own.
    pub ignored_namespaces: Vec<String>,
    /// What becomes of a pod that says nothing itself, in a namespace that asks for proxies.
    pub policy: Policy,
    /// Whether a namespace without a label of ours is taken for one that asks for proxies.
    pub enable_namespaces_by_default: bool,
    /// Pods that say nothing themselves and match one of these get no proxy. Stronger than `alwaysInjectSelector`.
    pub never_inject_selector: Selectors,
    /// Pods that say nothing themselves and match one of these get a proxy, whatever `policy` says.
    pub always_inject_selector: Selectors,
}

/// Istio's `autoInject`.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "camelCase")]
pub enum Policy {
    /// It gets a proxy.
    #[default]
    Enabled,
    /// It gets none: pods have to ask.
    Disabled,
}

/// Label selectors of which one has to match.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(try_from = "Vec<LabelSelector>")]
pub struct Selectors(Vec<Selector>);

impl Selectors {
    /// Whether one of them matches the labels. An empty selector matches nothing, as in Istio.
    pub(crate) fn matches<'a>(&self, labels: impl Iterator<Item = (&'a str, &'a str)>) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let labels: BTreeMap<String, String> =
            labels.map(|(key, value)| (key.into(), value.into())).collect();
        self.0
            .iter()
            .any(|selector| !selector.selects_all() && selector.matches(&labels))
    }
}

impl TryFrom<Vec<LabelSelector>> for Selectors {
    type Error = String;

    fn try_from(selectors: Vec<LabelSelector>) -> Result<Self, String> {
        let read = |selector: LabelSelector| {
            Selector::try_from(selector).map_err(|error| {
                format!("{error}; neverInjectSelector and alwaysInjectSelector are lists of label selectors")
            })
        };
        selectors
            .into_iter()
            .map(read)
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl Default for Injection {
    fn default() -> Self {
        let ignored = [
            "kube-system",
            "kube-public",
            "kube-node-lease",
            "local-path-storage",
        ];
        Self {
            revision: "outrigger".into(),
            ignored_namespaces: ignored.map(String::from).into(),
            policy: Policy::default(),
            enable_namespaces_by_default: false,
            never_inject_selector: Selectors::default(),
            always_inject_selector: Selectors::default(),
        }
    }
}

impl Injection {
    pub(super) fn check(&self) -> Result<(), SettingsError> {
        match self.revision.is_empty() {
            true => refuse("injection.revision", "", "a value of the label istio.io/rev"),
            false => Ok(()),
        }
    }
}
