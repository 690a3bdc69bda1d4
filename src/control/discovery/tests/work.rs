//! What an event makes discovery do depends on who listens, and not on the size of the cluster.

use super::*;

/// The address of a service, and the name of its endpoints.
fn names(number: usize) -> (String, String) {
    let address = format!("10.0.{}.{}", number / 250, 1 + number % 250);
    (
        format!("{address}:80"),
        format!("s{number}.default.svc.cluster.local:80"),
    )
}

fn service(number: usize, port: &str) -> String {
    let (address, _) = names(number);
    let address = address.trim_end_matches(":80");
    format!(
        "{{apiVersion: v1, kind: Service, metadata: {{name: s{number}}}, spec: {{clusterIP: {address}, ports: [{{name: {port}, port: 80}}]}}}}\n---\n"
    )
}

fn pods(number: usize, last: usize) -> String {
    endpoints(&format!("s{number}"), &[format!("10.1.0.{last}")])
}

fn route(from: usize, to: usize) -> String {
    rule(&format!("s{from}"), &format!("s{to}"))
}

/// Of each event, how many resources are compiled and how many responses are sent, where two proxies use the first two of so
/// many services.
async fn work(services: usize) -> Vec<(&'static str, u64, u64)> {
    let each =
        (0..services).map(|number| service(number, "http") + &pods(number, 1) + &route(number, number));
    // No rule asks for the label in which they differ.
    let other = CURL
        .replace("name: curl", "name: other")
        .replace("app: curl", "app: curl, replica: other");
    let plane = Plane::with(&(each.collect::<String>() + CURL + &other)).await;
    let mut proxies = [
        plane.curl().await,
        plane.connect(Some("token-of-other")).await.unwrap(),
    ];
    let ((first, its_pods), (second, others)) = (names(0), names(1));
    for proxy in &mut proxies {
        proxy.subscribe(SERVICE, &[&first, &second]).await;
        proxy.told().await;
        proxy.subscribe(ENDPOINTS, &[&its_pods, &others]).await;
        proxy.told().await;
    }
    let mut done = Vec::new();
    for (why, event, told) in [
        ("endpoints that both use", pods(0, 2), true),
        ("a rule of a service that both use", route(0, 1), true),
        ("endpoints that nobody uses", pods(7, 2), false),
        ("a rule of a service that nobody uses", route(7, 8), false),
        ("a service that nobody uses", service(7, "tcp"), false),
        (
            "a pod that is nobody's",
            CURL.replace("name: curl", "name: x"),
            false,
        ),
        ("what both are routed to", pods(1, 2), true),
    ] {
        let count = || {
            ["outrigger_discovery_compiled_total", "pilot_xds_pushes_total"].map(|metric| plane.count(metric))
        };
        let before = count();
        plane.apply(&event).await;
        for proxy in proxies.iter_mut().filter(|_| told) {
            proxy.told().await;
        }
        let after = count();
        done.push((why, after[0] - before[0], after[1] - before[1]));
    }
    done
}

#[tokio::test]
async fn work_follows_what_changed_and_who_listens() {
    let small = work(50).await;
    assert_eq!(
        small,
        [
            ("endpoints that both use", 1, 2),
            ("a rule of a service that both use", 1, 2),
            ("endpoints that nobody uses", 0, 0),
            ("a rule of a service that nobody uses", 0, 0),
            ("a service that nobody uses", 0, 0),
            ("a pod that is nobody's", 0, 0),
            ("what both are routed to", 1, 2),
        ]
    );
    assert_eq!(work(500).await, small);
}
