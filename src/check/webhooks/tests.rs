//! Tables over configurations as the API server gives them.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use outrigger_certs::Authority;
use serde_json::json;

use super::super::verdict::Level::{self, Fail, Ok, Warn};
use super::*;

fn check(verdict: Verdict, level: Level, words: &str) {
    let text = format!("{} {}", verdict.reason, verdict.remedy.unwrap_or_default());
    assert_eq!(verdict.level, level, "{text}");
    assert!(text.contains(words), "{text:?} has no {words:?}");
}

fn configuration(name: &str, webhooks: Vec<Value>) -> Value {
    json!({"metadata": {"name": name}, "webhooks": webhooks})
}

fn labels(text: &str) -> Labels {
    let pairs = text.split(' ').filter_map(|pair| pair.split_once('='));
    pairs
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

/// A webhook for new pods, with more fields.
fn webhook(name: &str, more: Value) -> Value {
    let rule = json!({"operations": ["CREATE"], "apiGroups": [""], "resources": ["pods"]});
    let mut webhook = json!({"name": name, "rules": [rule], "failurePolicy": "Fail", "clientConfig": {}});
    for (field, value) in more.as_object().expect("fields") {
        webhook[field] = value.clone();
    }
    webhook
}

#[test]
fn the_api_server_has_to_trust_who_signs() {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let day = Duration::from_secs(24 * 60 * 60);
    let authority = |name, lifetime, from| Authority::generate(name, lifetime, from).expect("an authority");
    let (ours, other) = (
        authority("ours", 100 * day, now),
        authority("other", 100 * day, now),
    );
    let old = authority("old", 10 * day, now - 20 * day);
    let known = |authority: &Authority| Authorities::Known {
        signer: authority.certificate().clone(),
    };
    let with = |bundle: &str| json!({"clientConfig": {"caBundle": STANDARD.encode(bundle)}});
    let both = format!("{}{}", other.certificate_pem(), ours.certificate_pem());
    let unknown = || Authorities::Unknown("no".to_owned());
    for (webhooks, authorities, level, words) in [
        (
            vec![with(ours.certificate_pem()), with(&both)],
            known(&ours),
            Ok,
            "2 webhooks trust",
        ),
        (
            vec![with(&both), with(other.certificate_pem())],
            known(&ours),
            Fail,
            "webhook w1 does not have the authority",
        ),
        (vec![json!({})], known(&ours), Fail, "webhook w0 is empty"),
        (
            vec![json!({"clientConfig": {"caBundle": "?"}})],
            known(&ours),
            Fail,
            "is no base64",
        ),
        (vec![with("text")], known(&ours), Fail, "holds no certificate"),
        (
            vec![with(old.certificate_pem())],
            known(&old),
            Fail,
            "expired on 2027-01-05",
        ),
        (
            vec![with(old.certificate_pem())],
            unknown(),
            Fail,
            "expired on 2027-01-05",
        ),
        (
            vec![with(&format!("{}{both}", old.certificate_pem()))],
            unknown(),
            Ok,
            "1 webhooks",
        ),
        (vec![], known(&ours), Fail, "has no webhooks"),
    ] {
        let webhooks = webhooks
            .into_iter()
            .enumerate()
            .map(|(index, more)| webhook(&format!("w{index}"), more));
        let configuration = configuration("outrigger-sidecar-injector", webhooks.collect());
        check(ca_bundle(&configuration, &authorities, now), level, words);
    }
}

#[test]
fn who_ignores_failures_is_warned() {
    let policies = |policies: &[&str]| {
        let webhooks = policies
            .iter()
            .map(|policy| webhook("w", json!({"failurePolicy": policy})));
        failure_policy(&configuration("c", webhooks.collect()))
    };
    check(policies(&["Fail", "Fail"]), Ok, "no pod that asks");
    check(policies(&["Fail", "Ignore"]), Warn, "webhook.failurePolicy");
}

#[test]
fn our_webhooks_leave_alone_what_they_need() {
    let namespaces: BTreeMap<_, _> = [
        ("kube-system", "kubernetes.io/metadata.name=kube-system"),
        (
            "outrigger-system",
            "kubernetes.io/metadata.name=outrigger-system istio-injection=enabled",
        ),
        ("shop", "istio-injection=enabled"),
    ]
    .map(|(name, text)| (name.to_owned(), labels(text)))
    .into();
    let not = |names: &[&str]| {
        json!({"matchExpressions": [
            {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": names},
        ]})
    };
    for (selector, level, words) in [
        (not(&["kube-system", "outrigger-system"]), Ok, "alone"),
        (
            not(&["kube-system"]),
            Fail,
            "selects the namespace outrigger-system",
        ),
        (
            not(&["outrigger-system"]),
            Fail,
            "selects the namespace kube-system",
        ),
        (
            json!({"matchLabels": {"istio-injection": "enabled"}}),
            Fail,
            "outrigger-system",
        ),
        (json!({"matchLabels": {"team": "a"}}), Ok, "alone"),
        (Value::Null, Fail, "outrigger-system"),
        (
            json!({"matchExpressions": [{"key": "a", "operator": "Near"}]}),
            Fail,
            "outrigger-system",
        ),
    ] {
        let configuration = configuration("c", vec![webhook("w", json!({"namespaceSelector": selector}))]);
        check(
            spared(&configuration, &namespaces, "outrigger-system"),
            level,
            words,
        );
    }
}

#[test]
fn a_webhook_of_others_may_stand_in_our_way() {
    let own = labels("kubernetes.io/metadata.name=outrigger-system");
    let services = json!([{"operations": ["*"], "apiGroups": ["*"], "resources": ["services"]}]);
    let any = json!([{"operations": ["*"], "apiGroups": ["*"], "resources": ["*"]}]);
    let never_ours = json!({"matchLabels": {"istio-injection": "enabled"}});
    for (name, more, level) in [
        ("policy", json!({}), Warn),
        ("policy", json!({"rules": any}), Warn),
        ("policy", json!({"failurePolicy": "Ignore"}), Ok),
        ("policy", json!({"rules": services}), Ok),
        ("policy", json!({"namespaceSelector": never_ours}), Ok),
        ("ours", json!({}), Ok),
    ] {
        let configurations = [configuration(name, vec![webhook("pods.policy.example", more)])];
        let verdict = in_our_way(&configurations, "ours", &own, "outrigger-system");
        let words = match level {
            Warn => "pods.policy.example",
            _ => "no other webhook",
        };
        check(verdict, level, words);
    }
}

#[test]
fn two_meshes_in_one_namespace_are_noticed() {
    let enabled: BTreeMap<_, _> = [("shop".to_owned(), labels("istio-injection=enabled"))].into();
    let of = |service: &str, selector: Value| {
        let client = json!({"service": {"name": service}});
        let webhook = webhook(
            "w",
            json!({"clientConfig": client, "namespaceSelector": selector}),
        );
        vec![configuration("c", vec![webhook])]
    };
    let labelled = json!({"matchLabels": {"istio-injection": "enabled"}});
    let revision = json!({"matchLabels": {"istio.io/rev": "1-30"}});
    for (configurations, level, words) in [
        (vec![], Ok, "no other mesh"),
        (of("outrigger", labelled.clone()), Ok, "no other mesh"),
        (of("istiod", labelled), Warn, "Istio injects pods of shop as well"),
        (of("istiod-1-30", revision), Ok, "Istio is here and injects none"),
        (
            of("linkerd-proxy-injector", json!({})),
            Warn,
            "Linkerd injects pods of shop",
        ),
    ] {
        check(other_meshes(&configurations, &enabled), level, words);
    }
}
