//! Two replicas against one API server, from an empty cluster through a whole rotation, with accidents.

use std::collections::HashSet;

use k8s_openapi::ByteString;
use outrigger_certs::certificates;
use rustls::pki_types::CertificateDer;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::*;
use api_server::{ApiServer, Key, key};

mod api_server;

const MINUTE: Duration = Duration::from_secs(60);

struct Cluster {
    server: ApiServer,
    replicas: [Arc<Trust>; 2],
    clock: Arc<dyn Fn() -> SystemTime + Send + Sync>,
    shutdown: CancellationToken,
}

fn configuration() -> Key {
    configuration_of(&Names::of("outrigger"))
}

fn configuration_of(names: &Names) -> Key {
    key("mutatingwebhookconfigurations", "", &names.webhook)
}

fn validator() -> Key {
    key(
        "validatingwebhookconfigurations",
        "",
        &Names::of("outrigger").validator,
    )
}

fn secret() -> Key {
    key("secrets", "outrigger-system", "outrigger-ca")
}

fn root(namespace: &str) -> Key {
    key("configmaps", namespace, "outrigger-ca-root")
}

fn webhook(name: &str) -> Value {
    json!({"name": name, "clientConfig": {"service": {"name": "outrigger", "namespace": "outrigger-system"}},
        "sideEffects": "None", "admissionReviewVersions": ["v1"]})
}

/// What the chart installs for a revision.
fn install(server: &ApiServer, names: &Names, uid: &str) {
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"uid": uid}});
    server.put(key("clusterroles", "", &names.installation), role);
    server.put(
        configuration_of(names),
        json!({"webhooks": [webhook("namespace.outrigger.dev"), webhook("object.outrigger.dev")]}),
    );
}

/// Two replicas of one revision.
fn start() -> Cluster {
    start_with(["outrigger"; 2])
}

/// A replica of each of two revisions. The clock is tokio's, which is paused: hours pass as soon as everybody waits.
fn start_with(revisions: [&str; 2]) -> Cluster {
    let server = ApiServer::new();
    for revision in BTreeSet::from(revisions) {
        let names = Names::of(revision);
        install(&server, &names, &format!("{}-role-uid", names.installation));
    }

    let (begin, epoch) = (
        Instant::now(),
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000),
    );
    let clock: Arc<dyn Fn() -> SystemTime + Send + Sync> = Arc::new(move || epoch + begin.elapsed());
    let settings = |revision| Settings {
        policy: Policy {
            name: "test-ca".to_owned(),
            lifetime: 100 * MINUTE,
            overlap: 10 * MINUTE,
        },
        serving_ttl: 20 * MINUTE,
        check_interval: MINUTE / 6,
        clock: clock.clone(),
        ..Settings::new(
            "outrigger-system",
            Names::of(revision),
            "cluster.local",
            BTreeSet::new(),
        )
    };
    let shutdown = CancellationToken::new();
    let replicas = revisions.map(|revision| Arc::new(Trust::new(settings(revision))));
    for replica in &replicas {
        let client = server.client(&replica.settings.names);
        let (replica, shutdown) = (replica.clone(), shutdown.clone());
        replica
            .knowledge
            .namespaces
            .send_replace(["a".to_owned(), "b".to_owned()].into());
        tokio::spawn(async move {
            shutdown
                .run_until_cancelled(replica.keep(client))
                .await
                .map_or(Ok(()), |ended| ended)
        });
    }
    Cluster {
        server,
        replicas,
        clock,
        shutdown,
    }
}

impl Cluster {
    async fn ready(&self) {
        for replica in &self.replicas {
            replica.ready().wait_for(|ready| *ready).await.unwrap();
        }
    }

    /// The PEM texts by which anybody verifies us: those of the webhooks and those of the namespaces.
    fn bundles(&self) -> Vec<String> {
        let configuration = self.server.get(&configuration()).unwrap();
        let webhooks = configuration["webhooks"].as_array().unwrap().iter();
        let of_webhooks = webhooks.map(|webhook| text(&webhook["clientConfig"]["caBundle"]));
        let of_namespaces = ["a", "b"]
            .iter()
            .map(|name| self.server.get(&root(name)).unwrap()["data"]["ca.pem"].clone());
        of_webhooks
            .chain(of_namespaces.map(|pem| pem.as_str().unwrap().to_owned()))
            .collect()
    }

    fn end(self) {
        self.shutdown.cancel();
        assert_eq!(
            self.server.refused(),
            Vec::<String>::new(),
            "requests that RBAC refuses"
        );
    }
}

fn text(base64: &Value) -> String {
    let bytes: ByteString = serde_json::from_value(base64.clone()).expect("a caBundle");
    String::from_utf8(bytes.0).unwrap()
}

fn has(bundle: &str, authority: &CertificateDer<'_>) -> bool {
    certificates(bundle)
        .unwrap()
        .iter()
        .any(|certificate| certificate == authority)
}

#[tokio::test(start_paused = true)]
async fn nobody_is_served_under_an_authority_that_is_not_trusted() {
    let cluster = start();
    cluster.ready().await;
    // Readiness does not wait for the namespaces: kubelet does, when a pod needs its ConfigMap.
    for namespace in ["a", "b"] {
        let found = cluster.server.wait_for(&root(namespace), |_| true).await;
        assert_eq!(
            found["metadata"]["ownerReferences"][0]["uid"],
            "outrigger-role-uid"
        );
    }
    let mut issuers = HashSet::new();
    let mut certificates_served = HashSet::new();
    for minute in 0..240 {
        for replica in &cluster.replicas {
            let served = replica.serving.served().unwrap();
            assert!(
                !served.validity.is_over((cluster.clock)()),
                "expired in minute {minute}"
            );
            for bundle in cluster.bundles() {
                assert!(has(&bundle, &served.issuer), "not trusted in minute {minute}");
            }
            assert!(*replica.ready().borrow(), "not ready in minute {minute}");
            issuers.insert(served.issuer.clone());
            certificates_served.insert(served.validity.not_after);
        }
        tokio::time::sleep(MINUTE).await;
    }
    assert!(issuers.len() >= 4, "{} authorities in 240 minutes", issuers.len());
    assert!(
        certificates_served.len() >= 20,
        "{} certificates in 240 minutes",
        certificates_served.len()
    );
    cluster.end();
}

#[tokio::test(start_paused = true)]
async fn what_others_change_is_repaired() {
    let cluster = start();
    cluster.ready().await;
    let server = &cluster.server;
    let bundle = cluster.replicas[0]
        .knowledge
        .keyring
        .borrow()
        .as_ref()
        .unwrap()
        .bundle();
    let has_bundle = |found: &Value| found["data"]["ca.pem"] == *bundle;

    server.wait_for(&root("b"), has_bundle).await;
    server.delete(&root("b"));
    server.wait_for(&root("b"), has_bundle).await;
    server.put(root("b"), json!({"metadata": {}, "data": {"ca.pem": "mine"}}));
    server.wait_for(&root("b"), has_bundle).await;

    let mut changed = server.get(&configuration()).unwrap();
    changed["webhooks"] = json!([webhook("object.outrigger.dev"), webhook("third.outrigger.dev")]);
    server.put(configuration(), changed);
    let all_have = |found: &Value| {
        let mut webhooks = found["webhooks"].as_array().unwrap().iter();
        webhooks.all(|webhook| webhook["clientConfig"]["caBundle"].is_string())
    };
    let repaired = server.wait_for(&configuration(), all_have).await;
    assert_eq!(text(&repaired["webhooks"][1]["clientConfig"]["caBundle"]), bundle);
    // Readiness does not wait for this one, which may come later.
    server.put(validator(), json!({"webhooks": [webhook("rules.outrigger.dev")]}));
    let written = server.wait_for(&validator(), all_have).await;
    assert_eq!(text(&written["webhooks"][0]["clientConfig"]["caBundle"]), bundle);

    let kept = server.get(&secret()).unwrap()["data"].clone();
    server.delete(&secret());
    let restored = server.wait_for(&secret(), |_| true).await;
    assert_eq!(restored["data"], kept, "the same authority");

    for replica in &cluster.replicas {
        replica
            .knowledge
            .namespaces
            .send_if_modified(|names| names.insert("new".to_owned()));
    }
    server.wait_for(&root("new"), has_bundle).await;
    cluster.ready().await;
    cluster.end();
}

#[tokio::test(start_paused = true)]
async fn a_malformed_secret_is_left_to_its_author() {
    let cluster = start();
    cluster.ready().await;
    let before = cluster.replicas[0].serving.served().unwrap().issuer.clone();
    let mut broken = cluster.server.get(&secret()).unwrap();
    broken["data"]["ca-key.pem"] = json!("bm8ga2V5");
    cluster.server.put(secret(), broken.clone());

    tokio::time::sleep(15 * MINUTE).await;
    assert_eq!(
        cluster.server.get(&secret()).unwrap()["data"],
        broken["data"],
        "nothing is written over it"
    );
    let served = cluster.replicas[0].serving.served().unwrap();
    assert!(
        served.issuer == before && !served.validity.is_over((cluster.clock)()),
        "the last good keyring issues on"
    );
    cluster.end();
}

fn owners(found: &Value) -> Vec<&str> {
    let owners = found["metadata"]["ownerReferences"]
        .as_array()
        .into_iter()
        .flatten();
    owners.filter_map(|owner| owner["uid"].as_str()).collect()
}

#[tokio::test(start_paused = true)]
async fn revisions_share_the_ca_and_the_trust_anchors() {
    let cluster = start_with(["outrigger", "canary"]);
    cluster.ready().await;
    let server = &cluster.server;
    let [first, second] = cluster.replicas.each_ref();
    let issuer = |replica: &Trust| replica.serving.served().unwrap().issuer.clone();
    assert_eq!(issuer(first), issuer(second), "one CA");
    let bundle = first.knowledge.keyring.borrow().as_ref().unwrap().bundle();
    for replica in &cluster.replicas {
        let configuration = server.get(&configuration_of(&replica.settings.names)).unwrap();
        assert_eq!(
            text(&configuration["webhooks"][0]["clientConfig"]["caBundle"]),
            bundle
        );
    }
    let both = |found: &Value| {
        owners(found).iter().copied().collect::<BTreeSet<_>>()
            == BTreeSet::from(["outrigger-canary-role-uid", "outrigger-role-uid"])
    };
    server.wait_for(&root("a"), both).await;
    server.wait_for(&root("b"), both).await;

    // Nobody writes what the other has written already.
    let version = server.get(&root("a")).unwrap()["metadata"]["resourceVersion"].clone();
    tokio::time::sleep(5 * MINUTE).await;
    assert_eq!(
        server.get(&root("a")).unwrap()["metadata"]["resourceVersion"],
        version
    );

    // One is installed anew; the garbage collector takes out the reference to what was there before.
    install(server, &Names::of("canary"), "new-uid");
    let mut found = server.get(&root("a")).unwrap();
    let left = found["metadata"]["ownerReferences"].as_array_mut().unwrap();
    left.retain(|owner| owner["uid"] != "outrigger-canary-role-uid");
    server.put(root("a"), found);
    let found = server
        .wait_for(&root("a"), |found| owners(found).contains(&"new-uid"))
        .await;
    assert!(owners(&found).contains(&"outrigger-role-uid"), "{found}");
    cluster.end();
}

#[tokio::test(start_paused = true)]
async fn metrics_say_when_certificates_expire() {
    let cluster = start();
    let mut registry = prometheus_client::registry::Registry::default();
    registry.register_collector(Box::new(cluster.replicas[0].clone()));
    let shown = || {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        samples.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(shown(), Vec::<String>::new());
    cluster.ready().await;
    let issued = (cluster.clock)().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let (ca, serving) = (
        (issued + 100 * MINUTE).as_secs(),
        (issued + 20 * MINUTE).as_secs(),
    );
    assert_eq!(
        shown(),
        [
            format!("outrigger_certificate_expiry_timestamp_seconds{{certificate=\"ca\"}} {ca}"),
            format!("outrigger_certificate_expiry_timestamp_seconds{{certificate=\"serving\"}} {serving}"),
            format!("citadel_server_root_cert_expiry_timestamp {ca}"),
        ]
    );
    cluster.end();
}
