//! What of a DestinationRule's policy is published.

use super::*;

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
