//! What a spec is told. Each row is one policy, with every finding: `!` cannot mean anything, `~` means something else.

use serde_json::Value;

use crate::api::{DestinationRuleSpec, Findings, read_spec};

fn findings(spec: &str) -> Vec<String> {
    let spec: Value = serde_saphyr::from_str(spec).unwrap_or_else(|error| panic!("{spec}: {error}"));
    let (spec, unknown) = read_spec::<DestinationRuleSpec>(&serde_json::json!({ "spec": spec })).unwrap();
    let mut found = Findings {
        unknown,
        ..Default::default()
    };
    spec.validate(&mut found);
    let lines = [
        ('!', &found.errors),
        ('?', &found.unknown),
        ('~', &found.warnings),
    ];
    let line = |(mark, found)| {
        let found: &std::collections::BTreeMap<String, String> = found;
        found
            .iter()
            .map(move |(field, why)| format!("{mark} {field}: {why}"))
            .collect::<Vec<_>>()
    };
    lines.into_iter().flat_map(line).collect()
}

#[test]
fn a_rule_with_everything_has_no_findings() {
    let all = "
host: reviews.prod.svc.cluster.local
exportTo: ['.', test]
trafficPolicy:
  loadBalancer:
    simple: LEAST_REQUEST
    localityLbSetting: {enabled: true, failover: [{from: us-east, to: eu-west}]}
    warmup: {duration: 30s, minimumPercent: 5, aggression: 1.5}
  connectionPool:
    tcp: {maxConnections: 100, connectTimeout: 30ms, tcpKeepalive: {probes: 3, time: 7200s, interval: 75s}, maxConnectionDuration: 1h, idleTimeout: 30m}
    http: {http1MaxPendingRequests: 1, http2MaxRequests: 100, maxRequestsPerConnection: 10, maxRetries: 3, idleTimeout: 1m, h2UpgradePolicy: DO_NOT_UPGRADE, useClientProtocol: true, maxConcurrentStreams: 7}
  outlierDetection: {splitExternalLocalOriginErrors: true, consecutiveLocalOriginFailures: 3, consecutiveGatewayErrors: 2, consecutive5xxErrors: 7, interval: 5m, baseEjectionTime: 15m, maxEjectionPercent: 50, minHealthPercent: 10}
  tls: {mode: SIMPLE, sni: reviews.example, caCertificates: /etc/ca.pem, subjectAltNames: [reviews.example, 'spiffe://a/b']}
  portLevelSettings:
  - {port: {number: 9080}, loadBalancer: {consistentHash: {httpCookie: {name: user, path: /, ttl: 0s}, maglev: {tableSize: 65537}}}}
  retryBudget: {percent: 25, minRetryConcurrency: 5}
subsets:
- {name: v1, labels: {version: v1}, trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}}
- {name: v2, labels: {version: v2}}
";
    assert_eq!(findings(all), Vec::<String>::new());
}

#[test]
fn a_rule_is_told_what_is_wrong() {
    for (spec, expected) in [
        (
            "{host: 'a b', exportTo: ['*', x]}",
            vec![
                "! spec.exportTo[0]: * stands for all namespaces, so that nothing can be beside it",
                "! spec.host: \"a b\" is not a host: DNS labels with dots between them, of which the first may begin with a star",
            ],
        ),
        (
            "{host: a, exportTo: [x], workloadSelector: {matchLabels: {'a b': c}}}",
            vec![
                "! spec.workloadSelector.matchLabels.a b: \"a b\" is not the name of a label",
                "~ spec.exportTo: with a workloadSelector the rule is for pods of its own namespace alone",
            ],
        ),
        (
            "{host: a, subsets: [{name: v_1, labels: {a: 'b c'}}, {name: v1}, {name: v1, trafficPolicy: {}}]}",
            vec![
                "! spec.subsets[0].labels.a: \"b c\" is not the value of a label",
                "! spec.subsets[0].name: \"v_1\" is not a DNS label: letters, digits and dashes, 63 at most, with a letter or a digit at both ends",
                "! spec.subsets[2].trafficPolicy: needs at least one field",
                "~ spec.subsets[2].name: v1 is there already; the first one is used",
            ],
        ),
        (
            "{host: a, trafficPolcy: {}, trafficPolicy: {loadBalancr: {}, tunnel: {protocol: CONNECT, targetHost: b, targetPort: 443}}}",
            vec![
                "! spec.trafficPolicy.tunnel: is not supported",
                "? spec.trafficPolcy: is not a field that is known here",
                "? spec.trafficPolicy.loadBalancr: is not a field that is known here",
            ],
        ),
    ] {
        assert_eq!(findings(spec), expected, "{spec}");
    }
}

/// Policies, and findings by the path below `spec.trafficPolicy`.
#[test]
fn a_policy_is_told_what_is_wrong() {
    let rows: &[(&str, &[&str])] = &[
        ("proxyProtocol: {version: V2}", &["!proxyProtocol"]),
        ("retryBudget: {percent: 101}", &["!retryBudget.percent"]),
        (
            "portLevelSettings: [{tls: {mode: DISABLE}}, {port: {number: 0}}]",
            &["!portLevelSettings[0].port", "!portLevelSettings[1].port.number"],
        ),
        (
            "portLevelSettings: [{port: {number: 80}, tls: {mode: MUTUAL}}]",
            &["!portLevelSettings[0].tls.mode"],
        ),
        (
            "tls: {mode: MUTUAL, clientCertificate: /a, privateKey: /b}",
            &["!tls.mode"],
        ),
        ("tls: {mode: ISTIO_MUTUAL}", &["~tls.mode"]),
        ("tls: {mode: SIMPLE, credentialName: x}", &["!tls.credentialName"]),
        ("tls: {mode: SIMPLE, caCrl: /x}", &["!tls.caCrl"]),
        ("tls: {mode: SIMPLE, insecureSkipVerify: true}", &[]),
        (
            "tls: {mode: SIMPLE, insecureSkipVerify: true, caCertificates: /a, subjectAltNames: [b]}",
            &["!tls.caCertificates", "!tls.subjectAltNames"],
        ),
        (
            "tls: {mode: SIMPLE, sni: 'a b', subjectAltNames: ['']}",
            &["!tls.sni", "!tls.subjectAltNames[0]"],
        ),
        ("connectionPool: {}", &["!connectionPool"]),
        (
            "connectionPool: {tcp: {connectTimeout: '1', idleTimeout: soon, maxConnectionDuration: 0s}}",
            &[
                "!connectionPool.tcp.connectTimeout",
                "!connectionPool.tcp.idleTimeout",
                "!connectionPool.tcp.maxConnectionDuration",
            ],
        ),
        (
            "connectionPool: {tcp: {tcpKeepalive: {time: soon, interval: later}}}",
            &[
                "!connectionPool.tcp.tcpKeepalive.interval",
                "!connectionPool.tcp.tcpKeepalive.time",
            ],
        ),
        (
            "connectionPool: {http: {h2UpgradePolicy: UPGRADE}}",
            &["~connectionPool.http.h2UpgradePolicy"],
        ),
        (
            "connectionPool: {http: {h2UpgradePolicy: UPGRADE, useClientProtocol: true}}",
            &["!connectionPool.http.h2UpgradePolicy"],
        ),
        (
            "connectionPool: {http: {idleTimeout: -1s}}",
            &["!connectionPool.http.idleTimeout"],
        ),
        (
            "outlierDetection: {interval: soon, baseEjectionTime: later}",
            &["!outlierDetection.baseEjectionTime", "!outlierDetection.interval"],
        ),
        (
            "outlierDetection: {maxEjectionPercent: 101, minHealthPercent: 200}",
            &[
                "!outlierDetection.maxEjectionPercent",
                "!outlierDetection.minHealthPercent",
            ],
        ),
        (
            "outlierDetection: {consecutiveErrors: 5}",
            &["~outlierDetection.consecutiveErrors"],
        ),
        (
            "outlierDetection: {consecutiveLocalOriginFailures: 5}",
            &["!outlierDetection.consecutiveLocalOriginFailures"],
        ),
        (
            "loadBalancer: {simple: RANDOM, consistentHash: {useSourceIp: true}}",
            &["!loadBalancer"],
        ),
        (
            "loadBalancer: {consistentHash: {}}",
            &["!loadBalancer.consistentHash"],
        ),
        (
            "loadBalancer: {consistentHash: {useSourceIp: true, httpHeaderName: x}}",
            &["!loadBalancer.consistentHash"],
        ),
        (
            "loadBalancer: {consistentHash: {httpHeaderName: 'a b'}}",
            &["!loadBalancer.consistentHash.httpHeaderName"],
        ),
        (
            "loadBalancer: {consistentHash: {httpCookie: {ttl: x}}}",
            &[
                "!loadBalancer.consistentHash.httpCookie.name",
                "!loadBalancer.consistentHash.httpCookie.ttl",
            ],
        ),
        (
            "loadBalancer: {consistentHash: {useSourceIp: true, maglev: {tableSize: 1000}}}",
            &["!loadBalancer.consistentHash.maglev.tableSize"],
        ),
        (
            "loadBalancer: {consistentHash: {useSourceIp: true, maglev: {tableSize: 5000011}}}",
            &["!loadBalancer.consistentHash.maglev.tableSize"],
        ),
        (
            "loadBalancer: {consistentHash: {useSourceIp: true, maglev: {}, ringHash: {}}}",
            &["!loadBalancer.consistentHash"],
        ),
        (
            "loadBalancer: {consistentHash: {useSourceIp: true, minimumRingSize: 64}}",
            &["~loadBalancer.consistentHash.minimumRingSize"],
        ),
        (
            "loadBalancer: {warmupDurationSecs: 30s}",
            &["~loadBalancer.warmupDurationSecs"],
        ),
        (
            "loadBalancer: {warmup: {minimumPercent: 101, aggression: 0.5}}",
            &[
                "!loadBalancer.warmup.aggression",
                "!loadBalancer.warmup.duration",
                "!loadBalancer.warmup.minimumPercent",
            ],
        ),
        (
            "loadBalancer: {simple: RANDOM, warmup: {duration: 1m}}",
            &["~loadBalancer"],
        ),
        (
            "loadBalancer: {localityLbSetting: {distribute: [{from: 'a/*/c', to: {'a/b/c/d': 100}}]}}",
            &[
                "!loadBalancer.localityLbSetting.distribute[0].from",
                "!loadBalancer.localityLbSetting.distribute[0].to.a/b/c/d",
            ],
        ),
        (
            "loadBalancer: {localityLbSetting: {distribute: [{from: 'a/*', to: {a: 70, b: 20}}]}}",
            &["!loadBalancer.localityLbSetting.distribute[0].to"],
        ),
        (
            "loadBalancer: {localityLbSetting: {distribute: [{from: a, to: {a: 100, b: 0}}]}}",
            &["!loadBalancer.localityLbSetting.distribute[0].to.b"],
        ),
        (
            "loadBalancer: {localityLbSetting: {failover: [{from: a, to: a}, {from: 'a/b', to: ''}]}}",
            &[
                "!loadBalancer.localityLbSetting.failover[0]",
                "!loadBalancer.localityLbSetting.failover[1].from",
                "!loadBalancer.localityLbSetting.failover[1].to",
                "~loadBalancer.localityLbSetting",
            ],
        ),
        (
            "outlierDetection: {interval: 1s}, loadBalancer: {localityLbSetting: {failoverPriority: ['a b', 'c=d']}}",
            &["!loadBalancer.localityLbSetting.failoverPriority[0]"],
        ),
    ];
    for (policy, expected) in rows {
        let seen: Vec<_> = findings(&format!("{{host: a, trafficPolicy: {{{policy}}}}}"))
            .into_iter()
            .map(|finding| {
                let (mark, rest) = finding.split_at(1);
                let field = rest.trim_start().split(": ").next().unwrap_or_default();
                format!(
                    "{mark}{}",
                    field
                        .trim_start_matches("spec.trafficPolicy.")
                        .trim_start_matches("spec.trafficPolicy")
                )
            })
            .collect();
        assert_eq!(seen, *expected, "{policy}");
    }
}
