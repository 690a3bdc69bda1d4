//! A table of running pods: each was injected as it says, and is audited by today's rules.

use serde_json::json;

use super::*;
use crate::control::world;

fn namespace(labels: &str) -> world::Namespace {
    let pairs = labels.split(' ').filter_map(|pair| pair.split_once('='));
    world::Namespace {
        name: "shop".to_owned(),
        labels: pairs
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect(),
        ..world::Namespace::default()
    }
}

fn settings(text: &str) -> Settings {
    Settings::parse(text).expect("settings")
}

/// A pod as its author writes it.
fn pod() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web", "namespace": "shop", "labels": {"app": "web"}},
        "spec": {"containers": [{"name": "app", "image": "web:1", "ports": [{"containerPort": 8080}],
            "livenessProbe": {"httpGet": {"path": "/live", "port": 8080}}}]},
        "status": {"phase": "Running"},
    })
}

/// The pod as the webhook of these settings makes it.
fn injected(mut pod: Value, settings: &Settings) -> Value {
    let home = namespace(&format!("istio.io/rev={}", settings.injection.revision));
    let injection = inject::inject(&pod, &(&home).into(), settings).expect("an injection");
    assert!(injection.reason.injects(), "{:?}", injection.reason);
    json_patch::patch(&mut pod, &injection.patch).expect("a patch that applies");
    pod
}

/// The pod with this value at a pointer.
fn with(mut pod: Value, pointer: &str, value: Value) -> Value {
    let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
    pod.pointer_mut(parent).expect("a parent")[key] = value;
    pod
}

/// What Kubernetes adds to a pod that the webhook has seen.
fn scheduled(pod: Value) -> Value {
    let mount =
        json!({"name": "kube-api-access", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"});
    let mut pod = with(pod, "/spec/nodeName", "node-1".into());
    pod = with(pod, "/metadata/uid", "7".into());
    for container in pod["spec"]["containers"].as_array_mut().expect("containers") {
        container["terminationMessagePath"] = "/dev/termination-log".into();
        container["volumeMounts"] = json!([mount]);
    }
    pod["spec"]["volumes"]
        .as_array_mut()
        .expect("volumes")
        .push(json!({"name": "kube-api-access"}));
    pod
}

fn check(pod: &Value, labels: &str, settings: &Settings, expected: Option<(Code, &str)>) {
    let found = audit(pod, &(&namespace(labels)).into(), settings);
    let code = found.as_ref().map(|finding| finding.code);
    let why = found.map(|finding| finding.why).unwrap_or_default();
    assert_eq!(code, expected.map(|(code, _)| code), "{labels:?}: {why}");
    let words = expected.map(|(_, words)| words).unwrap_or_default();
    assert!(why.contains(words), "{why:?} has no {words:?}");
}

const ENABLED: &str = "istio-injection=enabled";

#[test]
fn pods_without_a_proxy_are_missing_it_if_the_rules_give_them_one() {
    use Code::Missing;
    let today = Settings::default();
    let asks = json!({"sidecar.istio.io/inject": "true"});
    let out = json!({"sidecar.istio.io/inject": "false"});
    let copied = with(
        pod(),
        "/metadata/annotations",
        json!({"outrigger.dev/status": "{}"}),
    );
    for (pod, labels, expected) in [
        (pod(), "", None),
        (
            pod(),
            ENABLED,
            Some((
                Missing,
                "although its namespace has the label istio-injection=enabled",
            )),
        ),
        (pod(), "istio.io/rev=outrigger", Some((Missing, "istio.io/rev"))),
        (pod(), "istio.io/rev=canary", None),
        (
            with(pod(), "/metadata/labels", asks.clone()),
            "",
            Some((Missing, "sidecar.istio.io/inject=true")),
        ),
        (with(pod(), "/metadata/labels", out), ENABLED, None),
        (with(pod(), "/spec/hostNetwork", true.into()), ENABLED, None),
        (
            with(pod(), "/status/phase", "Pending".into()),
            ENABLED,
            Some((Missing, "")),
        ),
        (with(pod(), "/status/phase", "Succeeded".into()), ENABLED, None),
        (with(pod(), "/status/phase", "Failed".into()), ENABLED, None),
        (
            with(
                pod(),
                "/metadata/deletionTimestamp",
                "2027-01-01T00:00:00Z".into(),
            ),
            ENABLED,
            None,
        ),
        (copied, ENABLED, Some((Missing, ""))),
        (
            with(pod(), "/spec/containers/0/name", "outrigger-init".into()),
            ENABLED,
            Some((Missing, "would be refused today: ")),
        ),
    ] {
        check(&pod, labels, &today, expected);
    }
}

#[test]
fn proxies_are_compared_with_what_they_would_be_today() {
    use Code::{Differs, Outdated, Unwanted};
    let today = Settings::default();
    let running = |text: &str| scheduled(injected(pod(), &settings(text)));
    let current = running("");
    let mut older = current.clone();
    let status = &mut older["metadata"]["annotations"]["outrigger.dev/status"];
    let text = status.as_str().expect("a status");
    let version = format!("\"version\":\"{}\"", env!("CARGO_PKG_VERSION"));
    *status = text.replace(&version, "\"version\":\"0.0.1\"").into();
    assert_ne!(older, current);
    let annotated = with(
        pod(),
        "/metadata/annotations",
        json!({"sidecar.istio.io/proxyCPU": "2"}),
    );
    let mut annotated_later = current.clone();
    annotated_later["metadata"]["annotations"]["sidecar.istio.io/proxyCPU"] = "2".into();
    for (pod, labels, expected) in [
        (&current, ENABLED, None),
        (&current, "istio.io/rev=outrigger", None),
        (
            &running("proxy: {nativeSidecar: false}"),
            ENABLED,
            Some((Differs, "other settings")),
        ),
        (
            &running("proxy: {logLevel: debug}"),
            ENABLED,
            Some((Differs, "other settings")),
        ),
        (
            &running("proxy: {excludeInboundPorts: '9090'}"),
            ENABLED,
            Some((Differs, "other settings")),
        ),
        (
            &running("proxy: {rewriteAppProbes: false}"),
            ENABLED,
            Some((Differs, "other settings")),
        ),
        (
            &running("proxy: {image: 'mesh:0'}"),
            ENABLED,
            Some((Outdated, "image mesh:0, and today's is ghcr.io")),
        ),
        (&older, ENABLED, Some((Outdated, "version 0.0.1"))),
        (&scheduled(injected(annotated, &today)), ENABLED, None),
        (&annotated_later, ENABLED, Some((Differs, "other settings"))),
        (&current, "", None),
        (&older, "", Some((Outdated, "version 0.0.1"))),
        (
            &running("proxy: {logLevel: debug}"),
            "",
            Some((Differs, "other settings")),
        ),
        (
            &current,
            "istio-injection=disabled",
            Some((Unwanted, "other than enabled")),
        ),
        (&current, "istio.io/rev=canary", None),
        (
            &running("injection: {revision: canary}"),
            "istio.io/rev=canary",
            None,
        ),
        (&running("injection: {revision: canary}"), "", None),
        (
            &running("injection: {revision: canary}"),
            ENABLED,
            Some((Outdated, "revision canary, and today's is outrigger")),
        ),
        (
            &with(older.clone(), "/status/phase", "Succeeded".into()),
            ENABLED,
            None,
        ),
    ] {
        check(pod, labels, &today, expected);
    }
}

#[test]
fn one_revision_speaks_about_each_pod() {
    use Code::{Missing, Outdated};
    let (default, canary) = (Settings::default(), settings("injection: {revision: canary}"));
    let by_default = scheduled(injected(pod(), &default));
    let by_canary = scheduled(injected(pod(), &canary));
    let named = with(pod(), "/metadata/labels", json!({"istio.io/rev": "canary"}));
    let asking = scheduled(injected(
        with(
            pod(),
            "/metadata/labels",
            json!({"sidecar.istio.io/inject": "true"}),
        ),
        &canary,
    ));
    // The pod, its namespace's labels, what the default revision says, what the other one says.
    for (pod, labels, of_default, of_canary) in [
        (&pod(), ENABLED, Some((Missing, "")), None),
        (&pod(), "istio.io/rev=canary", None, Some((Missing, ""))),
        (&named, "", None, Some((Missing, ""))),
        (&named, ENABLED, Some((Missing, "")), None),
        (
            &by_default,
            "istio.io/rev=canary",
            None,
            Some((Outdated, "revision outrigger, and today's is canary")),
        ),
        (&by_canary, ENABLED, Some((Outdated, "revision canary")), None),
        (&by_canary, "", None, None),
        (&asking, "", Some((Outdated, "revision canary")), None),
        (&by_default, "", None, None),
    ] {
        check(pod, labels, &default, of_default);
        check(pod, labels, &canary, of_canary);
    }
}
