//! The precedence table, held against pods, namespaces and settings, and against the documentation.

use super::*;
use crate::inject::warnings::warnings;
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
    let both = "neverInjectSelector: [{matchLabels: {a: b}}], alwaysInjectSelector: [{matchLabels: {a: b}}]";
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
    let text = include_str!("../../../docs/injection.md");
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
