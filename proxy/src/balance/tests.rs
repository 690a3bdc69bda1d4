//! Clusters with endpoints and policies, asked as requests ask.

use std::collections::{BTreeMap, BTreeSet};

use http::HeaderName;

use super::*;

fn addresses(ports: &[u16]) -> Vec<SocketAddr> {
    ports
        .iter()
        .map(|port| SocketAddr::from(([10, 0, 0, 1], *port)))
        .collect()
}

fn cluster(balancer: LoadBalancer, ports: &[u16]) -> (Arc<Endpoints>, Arc<Cluster>) {
    let endpoints = Endpoints::new("a");
    let backend = mesh::Backend {
        endpoints: "a".into(),
        load_balancer: balancer.into(),
        ..Default::default()
    };
    let cluster = Cluster::new(&backend, endpoints.clone());
    endpoints.update_addresses(&addresses(ports));
    (endpoints, cluster)
}

async fn port(cluster: &Cluster, ask: Ask<'_>) -> Option<u16> {
    cluster.pick(ask).await.map(|endpoint| endpoint.address.port())
}

#[tokio::test]
async fn requests_one_after_another_go_round() {
    let (_endpoints, cluster) = cluster(LoadBalancer::LeastRequest, &[1, 2]);
    let mut seen = vec![];
    for _ in 0..6 {
        let endpoint = cluster.pick(Ask::default()).await.unwrap();
        let _in_flight = endpoint.begin();
        seen.push(endpoint.address.port());
    }
    assert_eq!(seen, [1, 2, 1, 2, 1, 2]);
}

#[tokio::test]
async fn what_was_tried_is_not_picked_again() {
    let (_endpoints, cluster) = cluster(LoadBalancer::RoundRobin, &[1, 2]);
    for (tried, expected) in [(&[1][..], Some(2)), (&[1, 2], None)] {
        let tried = addresses(tried);
        let ask = Ask {
            tried: &tried,
            ..Default::default()
        };
        assert_eq!(port(&cluster, ask).await, expected);
    }
}

#[tokio::test]
async fn an_endpoint_that_stays_keeps_its_count() {
    let (endpoints, cluster) = cluster(LoadBalancer::LeastRequest, &[1]);
    let in_flight = cluster.pick(Ask::default()).await.unwrap().begin();
    endpoints.update_addresses(&addresses(&[1, 2]));
    let loads = || {
        let all = cluster.endpoints().unwrap();
        all.iter().map(|endpoint| endpoint.load()).collect::<Vec<_>>()
    };
    assert_eq!(loads(), [1, 0]);
    drop(in_flight);
    assert_eq!(loads(), [0, 0]);
}

#[tokio::test(start_paused = true)]
async fn the_first_request_waits_for_the_endpoints() {
    let endpoints = Endpoints::new("a");
    let cluster = Cluster::new(&mesh::Backend::default(), endpoints.clone());
    let waiting = tokio::spawn({
        let cluster = cluster.clone();
        async move { port(&cluster, Ask::default()).await }
    });
    tokio::task::yield_now().await;
    endpoints.update_addresses(&addresses(&[7]));
    assert_eq!(waiting.await.unwrap(), Some(7));
}

#[tokio::test]
async fn where_the_client_dialled() {
    let backend = mesh::Backend {
        original_destination: true,
        ..Default::default()
    };
    let cluster = Cluster::new(&backend, Endpoints::new(""));
    let original = addresses(&[9])[0];
    let ask = Ask {
        original: Some(original),
        ..Default::default()
    };
    let first = cluster.pick(ask).await.unwrap();
    assert!(Arc::ptr_eq(&first, &cluster.pick(ask).await.unwrap()));
    let tried = Ask {
        tried: &[original],
        ..ask
    };
    assert_eq!(port(&cluster, tried).await, None);
    drop(first);
    cluster.sweep();
    assert_eq!(cluster.endpoints().unwrap().len(), 0);
}

fn with_policy(policy: mesh::TrafficPolicy, told: Vec<Described>) -> (Arc<Endpoints>, Arc<Cluster>) {
    let endpoints = Endpoints::new("a");
    let backend = mesh::Backend {
        endpoints: "a".into(),
        policy: Some(policy),
        ..Default::default()
    };
    let cluster = Cluster::new(&backend, endpoints.clone());
    endpoints.update(told);
    (endpoints, cluster)
}

fn described(ports: &[u16]) -> Vec<Described> {
    addresses(ports).into_iter().map(Described::at).collect()
}

/// How many of so many requests each port gets.
async fn shares(cluster: &Cluster, requests: usize) -> BTreeMap<u16, usize> {
    let mut seen = BTreeMap::new();
    for _ in 0..requests {
        if let Some(port) = port(cluster, Ask::default()).await {
            *seen.entry(port).or_default() += 1;
        }
    }
    seen
}

fn ejecting() -> mesh::TrafficPolicy {
    mesh::TrafficPolicy {
        outlier_detection: Some(mesh::OutlierDetection {
            consecutive_5xx: 2,
            interval_ms: 1_000,
            base_ejection_ms: 30_000,
            max_ejection_percent: 100,
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn fail(cluster: &Cluster, port: u16) {
    let all = cluster.endpoints().unwrap();
    let endpoint = all.iter().find(|one| one.address.port() == port).unwrap();
    for _ in 0..2 {
        endpoint.report(Outcome::Answered(http::StatusCode::INTERNAL_SERVER_ERROR));
    }
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_fails_is_left_out_and_comes_back() {
    let (_endpoints, cluster) = with_policy(ejecting(), described(&[1, 2]));
    assert_eq!(shares(&cluster, 4).await, [(1, 2), (2, 2)].into());
    fail(&cluster, 1);
    assert_eq!(shares(&cluster, 4).await, [(2, 4)].into());
    tokio::time::advance(Duration::from_millis(29_999)).await;
    assert_eq!(shares(&cluster, 4).await, [(2, 4)].into());
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(shares(&cluster, 4).await, [(1, 2), (2, 2)].into());
    // With all of them out there is none, as in Istio.
    fail(&cluster, 1);
    fail(&cluster, 2);
    assert_eq!(port(&cluster, Ask::default()).await, None);
}

#[tokio::test(start_paused = true)]
async fn below_the_least_health_all_are_used() {
    let mut policy = ejecting();
    policy.outlier_detection.as_mut().unwrap().min_health_percent = 50;
    let (_endpoints, cluster) = with_policy(policy, described(&[1, 2, 3]));
    fail(&cluster, 1);
    assert_eq!(shares(&cluster, 4).await.len(), 2);
    fail(&cluster, 2);
    assert_eq!(shares(&cluster, 6).await, [(1, 2), (2, 2), (3, 2)].into());
}

#[tokio::test(start_paused = true)]
async fn what_is_near_fails_over_to_what_is_far() {
    let mut policy = ejecting();
    policy.locality = Some(mesh::LocalityPolicy::default());
    let mut told = described(&[1, 2, 3]);
    for (one, region) in told.iter_mut().zip(["eu", "eu", "us"]) {
        one.locality.region = region.into();
    }
    let (_endpoints, cluster) = with_policy(policy, told);
    let place = Place {
        locality: mesh::Locality {
            region: "eu".into(),
            ..Default::default()
        },
        ..Default::default()
    };
    cluster.place(&Arc::new(place));
    assert_eq!(shares(&cluster, 10).await.keys().collect::<Vec<_>>(), [&1, &2]);
    fail(&cluster, 1);
    // One half is left, which takes 1.4 times that: the rest goes to the other region.
    let seen = shares(&cluster, 1_000).await;
    assert!(
        (620..780).contains(&seen[&2]) && seen[&2] + seen[&3] == 1_000,
        "{seen:?}"
    );
    fail(&cluster, 2);
    assert_eq!(shares(&cluster, 10).await, [(3, 10)].into());
}

#[tokio::test(start_paused = true)]
async fn a_try_may_leave_localities() {
    let mut policy = ejecting();
    policy.locality = Some(mesh::LocalityPolicy::default());
    let mut told = described(&[1, 2, 3, 4]);
    for (one, (region, zone)) in told
        .iter_mut()
        .zip([("eu", "a"), ("eu", "a"), ("eu", "b"), ("us", "a")])
    {
        (one.locality.region, one.locality.zone) = (region.into(), zone.into());
    }
    let (_endpoints, cluster) = with_policy(policy, told);
    let place = Place {
        locality: mesh::Locality {
            region: "eu".into(),
            zone: "a".into(),
            ..Default::default()
        },
        ..Default::default()
    };
    cluster.place(&Arc::new(place));
    let next = async |leaves: &[u16], tried: &[u16]| {
        let ask = Ask {
            leaves: &addresses(leaves),
            tried: &addresses(tried),
            ..Ask::default()
        };
        port(&cluster, ask).await
    };
    for (leaves, tried, expected) in [
        (&[][..], &[1][..], Some(2)),
        (&[], &[1, 2], None),
        (&[1], &[1], Some(3)),
        (&[1, 2], &[1, 2], Some(3)),
        (&[1, 3], &[1, 3], Some(4)),
        (&[1, 3], &[], Some(4)),
        // With none left, all are as good as before.
        (&[1, 3, 4], &[1, 3, 4], Some(2)),
        // One that is not there any more was nowhere.
        (&[9], &[1], Some(2)),
    ] {
        assert_eq!(next(leaves, tried).await, expected, "{leaves:?} {tried:?}");
    }
    fail(&cluster, 3);
    assert_eq!(next(&[1], &[1]).await, Some(4));
}

#[tokio::test]
async fn a_key_keeps_its_endpoint() {
    let by = mesh::consistent_hash::By::Header("x-user".into());
    let policy = mesh::TrafficPolicy {
        consistent_hash: Some(mesh::ConsistentHash {
            by: Some(by),
            table: None,
        }),
        ..Default::default()
    };
    let (endpoints, cluster) = with_policy(policy, described(&[1, 2, 3]));
    let request = |user: &str| {
        let headers = Fields::from_iter([(&HeaderName::from_static("x-user"), user)]);
        cluster
            .hash(&Uri::from_static("/"), &headers, [10, 0, 0, 9].into())
            .key
    };
    let of = async |user: &str, tried: &[SocketAddr]| {
        let ask = Ask {
            key: request(user),
            tried,
            ..Ask::default()
        };
        port(&cluster, ask).await.unwrap()
    };
    let users: Vec<String> = (0..50).map(|user| user.to_string()).collect();
    let mut before = vec![];
    for user in &users {
        before.push(of(user, &[]).await);
        assert_eq!(of(user, &[]).await, before[before.len() - 1]);
    }
    assert_eq!(before.iter().collect::<BTreeSet<_>>().len(), 3);
    assert_ne!(of("0", &addresses(&[before[0]])).await, before[0]);
    endpoints.update(described(&[3, 1]));
    for (user, before) in users.iter().zip(before) {
        let after = of(user, &[]).await;
        assert!(before == 2 || after == before, "{user}: {before} {after}");
    }
    assert!(!cluster.goes_round());
}

#[tokio::test(start_paused = true)]
async fn a_new_endpoint_warms_up() {
    let policy = mesh::TrafficPolicy {
        warmup_seconds: 100,
        warmup_minimum_percent: 10,
        ..Default::default()
    };
    let (endpoints, cluster) = with_policy(policy, described(&[1, 2]));
    // Those that were there first have their full share.
    assert_eq!(shares(&cluster, 10).await, [(1, 5), (2, 5)].into());
    endpoints.update(described(&[1, 2, 3]));
    let share = async || shares(&cluster, 3_000).await.get(&3).copied().unwrap_or_default();
    for (seconds, range) in [(0, 80..220), (50, 480..720), (50, 1_000..1_001)] {
        tokio::time::advance(Duration::from_secs(seconds)).await;
        let seen = share().await;
        assert!(range.contains(&seen), "{seen} is not in {range:?}");
    }
}

#[tokio::test]
async fn weights_are_kept() {
    let mut told = described(&[1, 2]);
    told[1].weight = 3;
    let (_endpoints, cluster) = with_policy(mesh::TrafficPolicy::default(), told);
    let seen = shares(&cluster, 400).await;
    assert!((95..=105).contains(&seen[&1]), "{seen:?}");
}

#[test]
fn a_cluster_stays_while_what_is_said_of_it_does() {
    let backend = mesh::Backend {
        endpoints: "a".into(),
        weight: 1,
        ..Default::default()
    };
    let cluster = Cluster::new(&backend, Endpoints::new("a"));
    assert!(cluster.is(&mesh::Backend {
        weight: 2,
        ..backend.clone()
    }));
    assert!(!cluster.is(&mesh::Backend {
        policy: Some(ejecting()),
        ..backend
    }));
}
