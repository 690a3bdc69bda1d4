//! Tables over objects as the API server gives them.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube::core::Status;
use outrigger_certs::Authority;
use serde_json::json;

use super::super::verdict::Level::{self, Fail, Ok, Warn};
use super::*;

fn check(verdict: Verdict, level: Level, words: &str) {
    let text = format!("{} {}", verdict.reason, verdict.remedy.unwrap_or_default());
    assert_eq!(verdict.level, level, "{text}");
    assert!(text.contains(words), "{text:?} has no {words:?}");
}

#[test]
fn a_control_plane_has_replicas_to_spare() {
    let today = env!("CARGO_PKG_VERSION");
    for (wanted, available, version, level, words) in [
        (
            json!(2),
            json!(2),
            today,
            Ok,
            "outrigger-system/outrigger has 2 available replicas of 2",
        ),
        (json!(3), json!(2), today, Warn, "2 available replicas of 3"),
        (
            json!(2),
            json!(0),
            today,
            Fail,
            "kubectl -n outrigger-system describe deployment outrigger",
        ),
        (json!(2), Value::Null, today, Fail, "no available replica"),
        (json!(1), json!(1), today, Warn, "replicas to 2"),
        (Value::Null, json!(1), today, Warn, "one replica"),
        (
            json!(2),
            json!(2),
            "9.9.9",
            Warn,
            "version 9.9.9, and this command",
        ),
    ] {
        let deployed = json!({
            "metadata": {"name": "outrigger", "namespace": "outrigger-system", "labels": {"app.kubernetes.io/version": version}},
            "spec": {"replicas": wanted},
            "status": {"availableReplicas": available},
        });
        check(deployment(&deployed), level, words);
    }
}

#[test]
fn settings_are_read_as_the_controller_reads_them() {
    let map = |text: &str| json!({"data": {"config.yaml": text}});
    for (found, level, words) in [
        (
            Some(map("injection: {revision: canary}")),
            Ok,
            "istio.io/rev=canary",
        ),
        (Some(map("proxy: {uid: 0}")), Fail, "proxy.uid"),
        (Some(json!({"data": {}})), Fail, "no key config.yaml"),
        (None, Fail, "is not there"),
    ] {
        let (verdict, read) = settings(found.as_ref(), "ConfigMap a/b", "own");
        check(verdict, level, words);
        assert!(read.injection.ignored_namespaces.contains(&"own".to_owned()));
    }
}

#[test]
fn every_namespace_needs_the_trust_anchors() {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let authority = |name| Authority::generate(name, Duration::from_secs(3600), now).expect("an authority");
    let (ours, other) = (authority("ours"), authority("other"));
    let known = Authorities::Known {
        signer: ours.certificate().clone(),
    };
    let unknown = Authorities::Unknown("no".to_owned());
    let (right, wrong) = (ours.certificate_pem(), other.certificate_pem());
    for (maps, authorities, level, words) in [
        (vec![("a", right), ("b", right)], &known, Ok, "2 namespaces"),
        (vec![("a", right)], &known, Fail, "in b: pods there wait"),
        (vec![], &known, Fail, "in a, b:"),
        (vec![("a", right), ("b", wrong)], &known, Fail, "authority in b"),
        (vec![("a", right), ("b", wrong)], &unknown, Ok, "2 namespaces"),
        (
            vec![("a", right), ("b", "nonsense")],
            &unknown,
            Fail,
            "authority in b",
        ),
    ] {
        let found = maps
            .iter()
            .map(|(name, pem)| (name.to_string(), json!({"data": {"ca.pem": pem}})));
        let verdict = trust_anchors(&["a", "b"], &found.collect(), authorities);
        check(verdict, level, words);
    }
}

#[test]
fn authorities_are_renewed_long_before_they_end() {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let day = Duration::from_secs(24 * 60 * 60);
    let secret = |lifetime, from| {
        let authority = Authority::generate("ca", lifetime, from).expect("an authority");
        json!({"data": {"ca-cert.pem": STANDARD.encode(authority.certificate_pem())}})
    };
    let (fresh, late, over) = (
        secret(365 * day, now),
        secret(365 * day, now - 340 * day),
        secret(10 * day, now - 11 * day),
    );
    for (secret, level, words) in [
        (Some(&fresh), Ok, "valid until 2028-01-15"),
        (Some(&late), Warn, "has not been renewed"),
        (Some(&over), Fail, "has expired on 2027-01-14"),
        (Some(&json!({"data": {}})), Fail, "data[\"ca-cert.pem\"] is empty"),
        (None, Fail, "outrigger-ca is not there"),
    ] {
        check(Authorities::of_secret(secret).judge(now), level, words);
    }
    check(
        Authorities::Unknown("may not read".to_owned()).judge(now),
        Warn,
        "may not read",
    );
}

#[test]
fn strict_namespaces_admit_no_capabilities() {
    let enabled = |level: &str| {
        let labels = [("pod-security.kubernetes.io/enforce".to_owned(), level.to_owned())];
        BTreeMap::from([("shop".to_owned(), labels.into())])
    };
    for (level, needs, expected, words) in [
        ("privileged", true, Ok, "1 namespaces are enabled"),
        ("baseline", true, Fail, "shop enforces"),
        ("restricted", true, Fail, "proxy.capture to external"),
        ("restricted", false, Ok, "needs nothing"),
    ] {
        check(pod_security(&enabled(level), needs), expected, words);
    }
}

#[test]
fn the_webhooks_own_answer_is_the_best_proof() {
    let pod = |list: &str, name: &str| json!({"spec": {list: [{"name": "app"}, {"name": name}]}});
    let refused = |code: u16, message: &str| {
        let status = Status {
            code,
            message: message.to_owned(),
            ..Status::default()
        };
        Err(kube::Error::Api(Box::new(status)))
    };
    for (created, level, words) in [
        (
            Result::Ok(pod("initContainers", "outrigger-proxy")),
            Ok,
            "a pod in shop gets its proxy",
        ),
        (
            Result::Ok(pod("containers", "outrigger-proxy")),
            Ok,
            "gets its proxy",
        ),
        (Result::Ok(pod("containers", "other")), Fail, "gets none"),
        (
            refused(
                500,
                "Internal error occurred: failed calling webhook \"a\": x509: expired",
            ),
            Fail,
            "gets no answer: Internal error occurred: failed calling webhook \"a\": x509: expired",
        ),
        (
            refused(403, "pods is forbidden: User \"me\""),
            Warn,
            "may create pods in shop",
        ),
        (refused(422, "spec.x is 1"), Fail, "is refused (a dry run)"),
    ] {
        check(answer("shop", created.as_ref()), level, words);
    }
}
