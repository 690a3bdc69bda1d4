//! DestinationRules and Services in, what a client is told of one destination out.

use std::collections::BTreeMap;

use outrigger_proxy::protocol::mesh;
use outrigger_proxy::protocol::mesh::client_tls::Mode;
use outrigger_proxy::protocol::mesh::consistent_hash::{By, Table};
use outrigger_proxy::protocol::mesh::locality_policy::Prefer;

use crate::control::compile::{Client, endpoints, problems, service, workload};
use crate::control::directory::{documents, events};
use crate::control::world::{Key, Pod, World};

const CLUSTER: &str = "
{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {clusterIP: 10.0.0.1, ports: [{name: http, port: 80}, {name: http-admin, port: 81}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: b}, spec: {clusterIP: 10.0.0.2, ports: [{name: http, port: 80}], sessionAffinity: ClientIP, trafficDistribution: PreferClose}}
---
{apiVersion: v1, kind: Service, metadata: {name: c}, spec: {clusterIP: 10.0.0.3, ports: [{name: http, port: 80}], internalTrafficPolicy: Local, trafficDistribution: PreferSameNode}}
---
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: a}, spec: {hosts: [a], http: [{match: [{uri: {prefix: /v1}}], route: [{destination: {host: a, subset: v1}}]}, {route: [{destination: {host: a}}]}]}}
---
";

fn world(objects: &str) -> World {
    let text = format!("{CLUSTER}{objects}");
    let documents = documents(&[("test.yaml".to_owned(), text)]).unwrap();
    let mut world = World::new("cluster.local".to_owned(), Vec::new());
    for event in events(&documents).unwrap() {
        world.apply(event);
    }
    world
}

fn dr(namespace: &str, name: &str, spec: &str) -> String {
    format!(
        "{{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {{name: {name}, namespace: {namespace}}}, spec: {spec}}}\n---\n"
    )
}

fn client(namespace: &str, labels: &[(&str, &str)]) -> Client {
    let labels = labels
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Client {
        namespace: namespace.to_owned(),
        labels: labels.collect(),
    }
}

/// What is told of the default route of an address.
fn told(world: &World, client: &Client, address: &str) -> mesh::Backend {
    let service = service(world, client, address.parse().unwrap()).unwrap();
    service.http_routes.last().unwrap().backends[0].clone()
}

fn render(backend: &mesh::Backend) -> String {
    if !backend.unavailable.is_empty() {
        return format!("503 {}", backend.unavailable);
    }
    let mut words = vec![match backend.load_balancer() {
        mesh::LoadBalancer::LeastRequest => "least".to_owned(),
        mesh::LoadBalancer::RoundRobin => "turn".to_owned(),
        mesh::LoadBalancer::Random => "random".to_owned(),
    }];
    if backend.original_destination {
        words = vec!["dialled".to_owned()];
    }
    let policy = backend.policy.clone().unwrap_or_default();
    words.extend(policy.consistent_hash.iter().map(hash));
    if policy.warmup_seconds > 0 {
        words.push(format!(
            "warm {}s {}% {}",
            policy.warmup_seconds, policy.warmup_minimum_percent, policy.warmup_aggression
        ));
    }
    words.extend(policy.locality.iter().map(near));
    if let Some(eject) = policy.outlier_detection {
        words.push(format!(
            "eject {}/{}/{}{} {}ms {}ms {}% {}%",
            eject.consecutive_5xx,
            eject.consecutive_gateway_errors,
            eject.consecutive_local_origin_failures,
            if eject.split_local_origin_errors {
                " split"
            } else {
                ""
            },
            eject.interval_ms,
            eject.base_ejection_ms,
            eject.max_ejection_percent,
            eject.min_health_percent
        ));
    }
    words.extend(policy.connection_pool.iter().map(limits));
    if let Some(tls) = policy.tls {
        assert_eq!(tls.mode(), Mode::Simple);
        let skip = if tls.insecure_skip_verify {
            " unverified"
        } else {
            ""
        };
        words.push(format!(
            "tls {} {:?} {:?}{skip}",
            tls.sni, tls.subject_alt_names, tls.ca_file
        ));
    }
    if policy.own_node_only {
        words.push("own node".to_owned());
    }
    words.join(", ")
}

fn hash(hash: &mesh::ConsistentHash) -> String {
    let by = match hash.by.as_ref().unwrap() {
        By::Header(name) => format!("header {name}"),
        By::Cookie(cookie) => format!("cookie {} {} {:?}", cookie.name, cookie.path, cookie.ttl_seconds),
        By::SourceIp(on) => format!("source {on}"),
        By::QueryParam(name) => format!("query {name}"),
    };
    match hash.table {
        None => format!("hash {by}"),
        Some(Table::RingSize(size)) => format!("hash {by} ring {size}"),
        Some(Table::MaglevSize(size)) => format!("hash {by} maglev {size}"),
    }
}

fn near(policy: &mesh::LocalityPolicy) -> String {
    let mut words = vec!["near".to_owned()];
    words.extend(match policy.prefer() {
        Prefer::NoPreference => None,
        Prefer::SameZone => Some("zone".to_owned()),
        Prefer::SameNode => Some("node".to_owned()),
    });
    words.extend(policy.distribute.iter().map(|rule| {
        let to: BTreeMap<_, _> = rule.to.iter().collect();
        format!("{}={to:?}", rule.from)
    }));
    words.extend(
        policy
            .failover
            .iter()
            .map(|rule| format!("{}>{}", rule.from, rule.to)),
    );
    words.extend(policy.failover_priority.iter().cloned());
    words.join(" ")
}

fn limits(pool: &mesh::ConnectionPool) -> String {
    let numbers = [
        ("connections", pool.max_connections),
        ("connect", pool.connect_timeout_ms),
        ("probes", pool.keepalive_probes),
        ("time", pool.keepalive_time_seconds),
        ("every", pool.keepalive_interval_seconds),
        ("age", pool.max_connection_duration_ms),
        ("silent", pool.tcp_idle_timeout_ms),
        ("pending", pool.max_pending_requests),
        ("requests", pool.max_requests),
        ("each", pool.max_requests_per_connection),
        ("retries", pool.max_retries),
        ("streams", pool.max_concurrent_streams),
        ("idle", pool.http_idle_timeout_ms),
        ("least", pool.retry_budget_least),
    ];
    let mut words: Vec<_> = numbers
        .iter()
        .filter(|(_, number)| *number > 0)
        .map(|(name, number)| format!("{name} {number}"))
        .collect();
    words.extend(
        pool.retry_budget_percent
            .map(|percent| format!("budget {percent}%")),
    );
    words.join(" ")
}

#[test]
fn a_policy_is_published() {
    let own = client("default", &[]);
    for (policy, expected) in [
        ("loadBalancer: {simple: ROUND_ROBIN}", "turn"),
        ("loadBalancer: {simple: RANDOM}", "random"),
        ("loadBalancer: {simple: LEAST_CONN}", "least"),
        ("loadBalancer: {simple: UNSPECIFIED}", "least"),
        ("loadBalancer: {simple: PASSTHROUGH}", "dialled"),
        (
            "loadBalancer: {consistentHash: {httpHeaderName: X-User}}",
            "least, hash header x-user",
        ),
        (
            "loadBalancer: {consistentHash: {httpCookie: {name: user, path: /p, ttl: 1.5s}, maglev: {tableSize: 101}}}",
            "least, hash cookie user /p Some(2) maglev 101",
        ),
        (
            "loadBalancer: {consistentHash: {httpCookie: {name: user, ttl: 0s}}}",
            "least, hash cookie user  Some(0)",
        ),
        (
            "loadBalancer: {consistentHash: {httpCookie: {name: user}}}",
            "least, hash cookie user  None",
        ),
        (
            "loadBalancer: {consistentHash: {useSourceIp: true, ringHash: {minimumRingSize: 64}}}",
            "least, hash source true ring 64",
        ),
        (
            "loadBalancer: {consistentHash: {useSourceIp: true, minimumRingSize: 32}}",
            "least, hash source true ring 32",
        ),
        (
            "loadBalancer: {consistentHash: {httpQueryParameterName: q}}",
            "least, hash query q",
        ),
        ("loadBalancer: {consistentHash: {httpHeaderName: 'a b'}}", "least"),
        (
            "loadBalancer: {consistentHash: {httpHeaderName: a, useSourceIp: true}}",
            "least",
        ),
        (
            "loadBalancer: {consistentHash: {httpHeaderName: a, ringHash: {}, maglev: {}}}",
            "least",
        ),
        (
            "loadBalancer: {consistentHash: {httpHeaderName: a, maglev: {tableSize: 100}}}",
            "least, hash header a maglev 0",
        ),
        (
            "loadBalancer: {simple: RANDOM, consistentHash: {httpHeaderName: a}}",
            "least",
        ),
        ("loadBalancer: {warmupDurationSecs: 30s}", "least, warm 30s 10% 1"),
        (
            "loadBalancer: {simple: ROUND_ROBIN, warmup: {duration: 1m, minimumPercent: 5, aggression: 2}}",
            "turn, warm 60s 5% 2",
        ),
        ("loadBalancer: {simple: RANDOM, warmup: {duration: 1m}}", "random"),
        (
            "loadBalancer: {localityLbSetting: {enabled: false}}, outlierDetection: {interval: 1s}",
            "least, eject 5/0/0 1000ms 30000ms 10% 0%",
        ),
        (
            "loadBalancer: {localityLbSetting: {distribute: [{from: eu/*, to: {eu/a: 80, us: 20}}]}}",
            "least, near eu/*={\"eu/a\": 80, \"us\": 20}",
        ),
        (
            "loadBalancer: {localityLbSetting: {failover: [{from: eu, to: us}]}}, outlierDetection: {consecutive5xxErrors: 1}",
            "least, near eu>us, eject 1/0/0 10000ms 30000ms 10% 0%",
        ),
        (
            "loadBalancer: {localityLbSetting: {failoverPriority: [app, version=v1]}}, outlierDetection: {splitExternalLocalOriginErrors: true, consecutive5xxErrors: 0, consecutiveGatewayErrors: 2, baseEjectionTime: 1m, maxEjectionPercent: 100, minHealthPercent: 30}",
            "least, near app version=v1, eject 0/2/5 split 10000ms 60000ms 100% 30%",
        ),
        (
            "outlierDetection: {maxEjectionPercent: 0}",
            "least, near, eject 5/0/0 10000ms 30000ms 10% 0%",
        ),
        (
            "connectionPool: {tcp: {maxConnections: 1, connectTimeout: 30ms, tcpKeepalive: {time: 1h, interval: 75s}, maxConnectionDuration: 2s, idleTimeout: 3s}}",
            "least, connections 1 connect 30 probes 9 time 3600 every 75 age 2000 silent 3000",
        ),
        (
            "connectionPool: {http: {http1MaxPendingRequests: 1, http2MaxRequests: 2, maxRequestsPerConnection: 3, maxRetries: 4, maxConcurrentStreams: 5, idleTimeout: 6s, useClientProtocol: true}}",
            "least, pending 1 requests 2 each 3 retries 4 streams 5 idle 6000",
        ),
        (
            "connectionPool: {tcp: {connectTimeout: soon, maxConnections: 7}}",
            "least, connections 7",
        ),
        ("retryBudget: {}", "least, least 3 budget 20%"),
        ("tls: {mode: DISABLE}", "least"),
        ("tls: {mode: ISTIO_MUTUAL}", "least"),
        (
            "tls: {mode: SIMPLE}",
            "least, tls a.default.svc.cluster.local [] \"\"",
        ),
        (
            "tls: {mode: SIMPLE, caCertificates: system, insecureSkipVerify: false}",
            "least, tls a.default.svc.cluster.local [] \"\"",
        ),
        (
            "tls: {mode: SIMPLE, sni: x.example, subjectAltNames: [y], caCertificates: /ca.pem}",
            "least, tls x.example [\"y\"] \"/ca.pem\"",
        ),
        (
            "tls: {mode: SIMPLE, insecureSkipVerify: true}",
            "least, tls a.default.svc.cluster.local [] \"\" unverified",
        ),
        (
            "tls: {mode: MUTUAL}",
            "503 DestinationRule default/a asks for tls.mode MUTUAL, which is not supported",
        ),
        (
            "tls: {mode: SIMPLE, credentialName: x}",
            "503 DestinationRule default/a asks for tls.credentialName, which is not supported",
        ),
        (
            "tls: {mode: SIMPLE, caCrl: /x}",
            "503 DestinationRule default/a asks for tls.caCrl, which is not supported",
        ),
        (
            "proxyProtocol: {version: V2}",
            "503 DestinationRule default/a asks for proxyProtocol, which is not supported",
        ),
        (
            "tunnel: {targetHost: b, targetPort: 1}",
            "503 DestinationRule default/a asks for tunnel, which is not supported",
        ),
        (
            "loadBalancer: {simple: RANDOM}, tls: {mode: SIMPLE}, portLevelSettings: [{port: {number: 80}, connectionPool: {tcp: {maxConnections: 9}}}]",
            "least, connections 9",
        ),
        (
            "loadBalancer: {simple: RANDOM}, portLevelSettings: [{port: {number: 81}, loadBalancer: {simple: ROUND_ROBIN}}]",
            "random",
        ),
    ] {
        let world = world(&dr(
            "default",
            "a",
            &format!("{{host: a, trafficPolicy: {{{policy}}}, subsets: [{{name: v1}}]}}"),
        ));
        assert_eq!(render(&told(&world, &own, "10.0.0.1:80")), expected, "{policy}");
    }
}

/// The host's policy, the subset's, and what is told of each port of the subset.
#[test]
fn a_subsets_policy_goes_over_the_hosts() {
    for (host, subset, expected, admin) in [
        ("loadBalancer: {simple: RANDOM}", "", "random", "random"),
        (
            "loadBalancer: {simple: RANDOM}",
            "loadBalancer: {simple: ROUND_ROBIN}",
            "turn",
            "turn",
        ),
        (
            "loadBalancer: {simple: RANDOM}, connectionPool: {tcp: {maxConnections: 1}}",
            "connectionPool: {http: {maxRetries: 2}}",
            "random, retries 2",
            "random, retries 2",
        ),
        (
            "portLevelSettings: [{port: {number: 81}, loadBalancer: {simple: RANDOM}}]",
            "connectionPool: {tcp: {maxConnections: 1}}",
            "least, connections 1",
            "random, connections 1",
        ),
        (
            "loadBalancer: {simple: RANDOM}",
            "portLevelSettings: [{port: {number: 80}, tls: {mode: DISABLE}}]",
            "least",
            "random",
        ),
    ] {
        let policy = match subset {
            "" => String::new(),
            subset => format!(", trafficPolicy: {{{subset}}}"),
        };
        let rule = dr(
            "default",
            "a",
            &format!("{{host: a, trafficPolicy: {{{host}}}, subsets: [{{name: v1{policy}}}]}}"),
        );
        let world = world(&rule);
        let own = client("default", &[]);
        for (address, expected) in [("10.0.0.1:80", expected), ("10.0.0.1:81", admin)] {
            let service = service(&world, &own, address.parse().unwrap()).unwrap();
            let backend = &service.http_routes[0].backends[0];
            let port = address.rsplit(':').next().unwrap();
            assert_eq!(
                backend.cluster,
                format!("outbound|{port}|v1|a.default.svc.cluster.local")
            );
            assert_eq!(render(backend), expected, "{host} / {subset} at {address}");
        }
    }
}

#[test]
fn which_rules_speak() {
    let lb = |simple: &str| format!("trafficPolicy: {{loadBalancer: {{simple: {simple}}}}}");
    let full = "host: a.default.svc.cluster.local";
    let own = dr("other", "own", &format!("{{{full}, {}}}", lb("RANDOM")));
    let of_service = dr(
        "default",
        "of-service",
        &format!("{{host: a, {}}}", lb("ROUND_ROBIN")),
    );
    let private = dr(
        "default",
        "private",
        &format!("{{host: a, exportTo: ['.'], {}}}", lb("ROUND_ROBIN")),
    );
    let root = dr(
        "outrigger-system",
        "root",
        &format!("{{host: '*.default.svc.cluster.local', {}}}", lb("PASSTHROUGH")),
    );
    let third = dr("third", "third", &format!("{{{full}, {}}}", lb("RANDOM")));
    let selected = |label: &str, simple: &str| {
        dr(
            "other",
            "selected",
            &format!(
                "{{{full}, workloadSelector: {{matchLabels: {{app: {label}}}}}, {}}}",
                lb(simple)
            ),
        )
    };
    let curl = &[("app", "curl")][..];
    for (why, rules, namespace, labels, expected) in [
        ("none", String::new(), "other", curl, "least"),
        (
            "the client's namespace first",
            own.clone() + &of_service + &root,
            "other",
            curl,
            "random",
        ),
        (
            "then the service's",
            of_service.clone() + &root,
            "other",
            curl,
            "turn",
        ),
        (
            "unless it keeps it to itself",
            private.clone() + &root,
            "other",
            curl,
            "dialled",
        ),
        (
            "which its own clients follow",
            private.clone() + &root,
            "default",
            curl,
            "turn",
        ),
        ("then the root", root.clone() + &third, "other", curl, "dialled"),
        ("no other namespace", third, "other", curl, "least"),
        (
            "a rule for these pods before one for all",
            own.clone() + &selected("curl", "PASSTHROUGH"),
            "other",
            curl,
            "dialled",
        ),
        (
            "not for other pods",
            own.clone() + &selected("wget", "PASSTHROUGH"),
            "other",
            curl,
            "random",
        ),
        (
            "only other pods: the next namespace",
            selected("wget", "PASSTHROUGH") + &of_service,
            "other",
            curl,
            "turn",
        ),
        (
            "a selector of another namespace is for nobody here",
            dr(
                "default",
                "s",
                &format!(
                    "{{host: a, workloadSelector: {{matchLabels: {{app: curl}}}}, {}}}",
                    lb("RANDOM")
                ),
            ),
            "other",
            curl,
            "least",
        ),
        (
            "a host before a wildcard, however the rules are called",
            dr(
                "default",
                "a",
                &format!("{{host: '*.default.svc.cluster.local', {}}}", lb("RANDOM")),
            ) + &of_service,
            "default",
            curl,
            "turn",
        ),
        (
            "the first that has a policy",
            dr("default", "a", "{host: a, subsets: [{name: v1}]}")
                + &of_service
                + &dr("default", "z", &format!("{{host: a, {}}}", lb("RANDOM"))),
            "default",
            curl,
            "turn",
        ),
    ] {
        let world = world(&rules);
        assert_eq!(
            render(&told(&world, &client(namespace, labels), "10.0.0.1:80")),
            expected,
            "{why}"
        );
    }
}

#[test]
fn what_a_service_says_itself() {
    let rule = |spec: &str| dr("default", "r", spec);
    for (rules, address, expected) in [
        (String::new(), "10.0.0.2:80", "least, hash source true, near zone"),
        (String::new(), "10.0.0.3:80", "least, near node, own node"),
        (
            rule("{host: b, trafficPolicy: {loadBalancer: {simple: RANDOM}}}"),
            "10.0.0.2:80",
            "random, near zone",
        ),
        (
            rule("{host: b, trafficPolicy: {loadBalancer: {localityLbSetting: {failoverPriority: [app]}}}}"),
            "10.0.0.2:80",
            "least, hash source true, near app",
        ),
    ] {
        let world = world(&rules);
        assert_eq!(
            render(&told(&world, &client("default", &[]), address)),
            expected,
            "{rules}"
        );
    }
}

const ENDPOINTS: &str = "
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: a-1, labels: {kubernetes.io/service-name: a}}
addressType: IPv4
ports: [{name: http, port: 8080}]
endpoints:
- {addresses: [10.1.0.1], zone: z1, nodeName: n1, targetRef: {kind: Pod, name: one, namespace: default}}
- {addresses: [10.1.0.2], zone: z2, conditions: {ready: false, serving: true, terminating: true}, targetRef: {kind: Pod, name: two, namespace: default}}
- {addresses: [10.1.0.3], conditions: {ready: false, serving: false, terminating: true}}
- {addresses: [10.1.0.4], conditions: {ready: false}}
---
{apiVersion: v1, kind: Pod, metadata: {name: one, labels: {app: a, version: v1}}}
---
{apiVersion: v1, kind: Node, metadata: {name: n1, labels: {topology.kubernetes.io/region: eu, kubernetes.io/hostname: n1}}}
---
{apiVersion: v1, kind: Pod, metadata: {name: two, labels: {app: a, version: v2, istio-locality: us.west.rack1}}}
---
";

#[test]
fn endpoints_say_where_they_are_and_whether_they_end() {
    let rule = dr(
        "default",
        "a",
        "{host: a, trafficPolicy: {loadBalancer: {localityLbSetting: {failoverPriority: ['version=v1', kubernetes.io/hostname]}}}}",
    );
    let world = world(&format!("{ENDPOINTS}{rule}"));
    let locality = |region: &str, zone: &str, subzone: &str| mesh::Locality {
        region: region.into(),
        zone: zone.into(),
        subzone: subzone.into(),
    };
    let endpoint = |address: &str, place: mesh::Locality, version: &str| mesh::Endpoint {
        address: address.into(),
        port: 8080,
        locality: Some(place),
        labels: [("version".to_owned(), version.to_owned())].into(),
        ..Default::default()
    };
    assert_eq!(
        endpoints(&world, "a.default.svc.cluster.local:80")
            .unwrap()
            .endpoints,
        [
            mesh::Endpoint {
                node: "n1".into(),
                ..endpoint("10.1.0.1", locality("eu", "z1", ""), "v1")
            },
            mesh::Endpoint {
                terminating: true,
                ..endpoint("10.1.0.2", locality("us", "west", "rack1"), "v2")
            },
        ]
    );
    let own = workload(&world, world.pod(&Key::new("default", "one")).unwrap(), None);
    assert_eq!(
        (own.locality, own.node.as_str()),
        (Some(locality("eu", "z1", "")), "n1")
    );
    // A pod behind no service is where its token says.
    let alone = workload(&world, &Pod::default(), Some("n1"));
    assert_eq!(
        (alone.locality, alone.node.as_str()),
        (Some(locality("eu", "", "")), "n1")
    );
}

#[test]
fn what_is_wrong_with_a_rule_and_its_surroundings_is_said() {
    let rules = ENDPOINTS.to_owned()
        + &dr(
            "default",
            "a",
            "{host: a, trafficPolicy: {tls: {mode: MUTUAL}, portLevelSettings: [{port: {number: 82}, loadBalancer: {simple: RANDOM}}]}, subsets: [{name: v1, labels: {version: v1}}, {name: v9, labels: {version: v9}}]}",
        )
        + &dr(
            "default",
            "b",
            "{host: a, trafficPolicy: {loadBalancer: {simple: RANDOM}}, subsets: [{name: v1}]}",
        )
        + &dr(
            "default",
            "typo",
            "{host: nobody, trafficPolicy: {loadBalancer: {simple: RANDOM}}}",
        );
    let mut seen: Vec<_> = problems(&world(&rules))
        .into_iter()
        .filter(|problem| problem.kind == "DestinationRule")
        .map(|problem| format!("{} {}: {}", problem.key.name, problem.field, problem.problem))
        .map(|line| line.replace(".svc.cluster.local", ""))
        .collect();
    seen.sort();
    assert_eq!(
        seen,
        [
            "a spec.subsets[1].labels: no endpoint of a.default has them; requests for it are answered with 503",
            "a spec.trafficPolicy.portLevelSettings[0].port.number: service a.default has no port 82; it has no effect",
            "a spec.trafficPolicy.tls.mode: MUTUAL is not supported: there are no client certificates; requests for it are answered with 503",
            "b spec.subsets[0].name: DestinationRule default/a defines v1 too, and is older: its subset is used",
            "b spec.trafficPolicy: DestinationRule default/a has one for a.default too, and is older: this one is not used",
            "typo spec.host: there is no service nobody.default",
        ]
    );
}
