//! Rules in any mix of their fields, with what means something and what does not, and requests to which they may apply. After
//! it: `properties`.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use crate::pods::strategy::object::{
    Field, flag, object, often, one_of, optional, rarely, required, sometimes,
};

/// Names of services of `cluster.yaml` as rules write them, and of none.
const HOSTS: [&str; 10] = [
    "reviews",
    "reviews",
    "ratings",
    "web",
    "any",
    "db",
    "Reviews.Default.svc.cluster.local",
    "*.default.svc.cluster.local",
    "cart.shop.svc.cluster.local",
    "nobody",
];
const TIMES: [&str; 7] = ["1s", "0s", "1m30s", "-1s", "5", "soon", "10ms"];

/// VirtualServices and DestinationRules.
pub(super) fn rules() -> impl Strategy<Value = Vec<Value>> {
    let virtual_services = vec(of("VirtualService", virtual_service()), 1..4);
    let destination_rules = vec(of("DestinationRule", destination_rule()), 0..3);
    (virtual_services, destination_rules).prop_map(|(one, other)| [one, other].concat())
}

/// What a client asks for.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) method: &'static str,
    pub(super) authority: &'static str,
    pub(super) path: &'static str,
    pub(super) headers: Vec<&'static str>,
    /// Of the client.
    pub(super) labels: &'static str,
}

pub(super) fn requests() -> impl Strategy<Value = Request> {
    let to = (
        select(&["GET", "POST", "OPTIONS"][..]),
        select(&["reviews:9080", "ratings:9080", "web:80", "web:8080", "any:7000"][..]),
        select(&["/", "/v1", "/v2/x?user=jason", "/%76%31", "/a/../v1", "/v1?user"][..]),
    );
    let headers = vec(
        select(&["x-a:1", "x-a:12", "x-b:", "cookie:user=jason", "origin:https://a"][..]),
        0..3,
    );
    let labels = select(&["app=curl", "app=curl,version=v1", "app=web"][..]);
    (to, headers, labels).prop_map(|((method, authority, path), headers, labels)| Request {
        method,
        authority,
        path,
        headers,
        labels,
    })
}

fn of(kind: &'static str, spec: BoxedStrategy<Value>) -> impl Strategy<Value = Value> {
    let name = select(&["a", "b", "c"][..]);
    let namespace = select(&["default", "default", "shop"][..]);
    (name, namespace, 2020..2026, spec).prop_map(move |(name, namespace, year, spec)| {
        let created = format!("{year}-01-01T00:00:00Z");
        json!({
            "apiVersion": "networking.istio.io/v1",
            "kind": kind,
            "metadata": {"name": name, "namespace": namespace, "creationTimestamp": created},
            "spec": spec,
        })
    })
}

fn list(of: BoxedStrategy<Value>, most: usize) -> BoxedStrategy<Value> {
    vec(of, 0..=most).prop_map(Value::Array).boxed()
}

fn number<const N: usize>(of: [i64; N]) -> BoxedStrategy<Value> {
    select(of.to_vec()).prop_map(Value::from).boxed()
}

fn percentage() -> BoxedStrategy<Value> {
    let value = select(&[0.0, 0.01, 50.0, 100.0, 101.0, -1.0][..]);
    object(vec![often("value", value.prop_map(Value::from))])
}

fn virtual_service() -> BoxedStrategy<Value> {
    object(vec![
        often("hosts", list(one_of(HOSTS), 2)),
        often("http", list(http(), 4)),
        sometimes("tcp", list(l4(false), 2)),
        sometimes("tls", list(l4(true), 2)),
        rarely("gateways", list(one_of(["mesh", "edge"]), 2)),
        rarely("exportTo", list(one_of([".", "*", "shop", "~"]), 2)),
        rarely("aFieldOfTomorrow", flag()),
    ])
}

fn http() -> BoxedStrategy<Value> {
    object(vec![
        optional("match", list(http_match(), 3)),
        often("route", list(weighted(), 3)),
        sometimes("timeout", one_of(TIMES)),
        sometimes("retries", retries()),
        sometimes("rewrite", rewrite()),
        sometimes("headers", headers()),
        sometimes("fault", fault()),
        sometimes("mirror", destination()),
        rarely(
            "mirrors",
            list(
                object(vec![
                    often("destination", destination()),
                    sometimes("percentage", percentage()),
                ]),
                2,
            ),
        ),
        sometimes("mirrorPercentage", percentage()),
        sometimes("corsPolicy", cors()),
        rarely("redirect", redirect()),
        rarely("directResponse", direct_response()),
        rarely(
            "delegate",
            object(vec![
                often("name", one_of(["a", "b", "c"])),
                rarely("namespace", one_of(["shop"])),
            ]),
        ),
        rarely("name", one_of(["first", ""])),
        rarely("timout", one_of(TIMES)),
    ])
}

fn text(values: &'static [&'static str]) -> BoxedStrategy<Value> {
    let kind = select(&["exact", "prefix", "regex", "suffix"][..]);
    let one = (kind, select(values)).prop_map(|(kind, value)| json!({kind: value}));
    prop_oneof![20 => one, 1 => Just(json!({}))].boxed()
}

fn http_match() -> BoxedStrategy<Value> {
    const PATHS: [&str; 8] = ["/", "/v1", "/v2", "", "/v[0-9]+", "(", "/%76", "/V1"];
    const VALUES: [&str; 6] = ["1", "", "1.*", "[", "jason", "user=jason"];
    let named = |names: [&'static str; 4]| {
        let fields: Vec<Field> = names.iter().map(|name| sometimes(name, text(&VALUES))).collect();
        object(fields)
    };
    let names = ["x-a", "X-B", "cookie", "a b"];
    object(vec![
        often("uri", text(&PATHS)),
        sometimes("method", text(&["GET", "POST", "P.*"])),
        rarely("scheme", text(&["http", "https"])),
        rarely("authority", text(&["reviews", "reviews:9080", "web.*"])),
        sometimes("headers", named(names)),
        rarely("withoutHeaders", named(names)),
        sometimes("queryParams", named(["user", "User", "", "b"])),
        rarely("ignoreUriCase", flag()),
        rarely("port", number([9080, 80, 0, 70_000])),
        sometimes(
            "sourceLabels",
            object(vec![
                sometimes("app", one_of(["curl", "web"])),
                rarely("version", one_of(["v1"])),
            ]),
        ),
        rarely("sourceNamespace", one_of(["default", "shop", ""])),
        rarely("gateways", list(one_of(["mesh", "edge"]), 2)),
        rarely("aFieldOfTomorrow", flag()),
    ])
}

fn destination() -> BoxedStrategy<Value> {
    object(vec![
        required("host", one_of(HOSTS)),
        optional("subset", one_of(["v1", "v2", "v9", ""])),
        sometimes(
            "port",
            object(vec![often("number", number([9080, 80, 8080, 5432, 0, 65_536]))]),
        ),
    ])
}

fn weighted() -> BoxedStrategy<Value> {
    object(vec![
        required("destination", destination()),
        optional("weight", number([0, 1, 50, 100, -1])),
        rarely("headers", headers()),
    ])
}

fn retries() -> BoxedStrategy<Value> {
    let on = ["5xx", "reset,503", "sometimes", "", "unavailable, cancelled"];
    object(vec![
        often("attempts", number([0, 1, 3, -1])),
        sometimes("retryOn", one_of(on)),
        sometimes("perTryTimeout", one_of(TIMES)),
        rarely("backoff", one_of(TIMES)),
        rarely("retryIgnorePreviousHosts", flag()),
    ])
}

fn rewrite() -> BoxedStrategy<Value> {
    let regex = object(vec![
        often("match", one_of(["^/v1(.*)$", "(", "/"])),
        often("rewrite", one_of(["/x\\1", "\\9", "", "/\\"])),
    ]);
    object(vec![
        optional("uri", one_of(["/", "/x", "", "a b", "/?q"])),
        optional("authority", one_of(["ratings", "a b", "", "a:1"])),
        sometimes("uriRegexRewrite", regex),
    ])
}

fn headers() -> BoxedStrategy<Value> {
    let values = || {
        let value = one_of(["1", "%", "100%%", "a\nb", "%REQ(x-a)%", ""]);
        let names = ["x-a", "Host", ":authority", ":path", "a b"];
        let fields: Vec<Field> = names
            .into_iter()
            .map(|name| rarely(name, value.clone()))
            .collect();
        object(fields)
    };
    let operations = || {
        object(vec![
            sometimes("set", values()),
            sometimes("add", values()),
            sometimes("remove", list(one_of(["x-a", "host", "c d"]), 2)),
        ])
    };
    object(vec![
        often("request", operations()),
        sometimes("response", operations()),
    ])
}

fn fault() -> BoxedStrategy<Value> {
    object(vec![
        optional(
            "delay",
            object(vec![
                often("fixedDelay", one_of(TIMES)),
                optional("percentage", percentage()),
            ]),
        ),
        optional(
            "abort",
            object(vec![
                often("httpStatus", number([500, 503, 42, 999])),
                rarely("grpcStatus", one_of(["UNAVAILABLE", "NEVER", "14"])),
                optional("percentage", percentage()),
            ]),
        ),
    ])
}

fn cors() -> BoxedStrategy<Value> {
    object(vec![
        often(
            "allowOrigins",
            list(text(&["https://a", "*", "(", "https://.*"]), 2),
        ),
        sometimes("allowMethods", list(one_of(["GET", "a b"]), 2)),
        rarely("maxAge", one_of(TIMES)),
        rarely("unmatchedPreflights", one_of(["IGNORE", "FORWARD"])),
        rarely("allowCredentials", flag()),
    ])
}

fn redirect() -> BoxedStrategy<Value> {
    object(vec![
        often("uri", one_of(["/new", "", "%PREFIX()%/x"])),
        sometimes("authority", one_of(["a:1", "a b"])),
        sometimes("redirectCode", number([301, 200, 308])),
        rarely("derivePort", one_of(["FROM_REQUEST_PORT"])),
        rarely("port", number([8443, 0, 70_000])),
    ])
}

fn direct_response() -> BoxedStrategy<Value> {
    let body = object(vec![
        optional("string", one_of(["a", ""])),
        rarely("bytes", one_of(["YQ==", "?"])),
    ]);
    object(vec![
        required("status", number([200, 418, 42])),
        optional("body", body),
    ])
}

fn l4(tls: bool) -> BoxedStrategy<Value> {
    let condition = move || {
        let mut fields = vec![
            rarely("port", number([5432, 7000, 70_000])),
            sometimes(
                "sourceLabels",
                object(vec![optional("app", one_of(["curl", "web"]))]),
            ),
            rarely(
                "destinationSubnets",
                list(one_of(["10.96.0.0/16", "10.96", "::/0"]), 2),
            ),
        ];
        if tls {
            let names = one_of(["reviews", "*.default.svc.cluster.local", "*", "a.b"]);
            fields.push(often("sniHosts", list(names, 2)));
        }
        object(fields)
    };
    object(vec![
        optional("match", list(condition(), 2)),
        often("route", list(weighted(), 2)),
    ])
}

fn destination_rule() -> BoxedStrategy<Value> {
    let subset = object(vec![
        required("name", one_of(["v1", "v2", ""])),
        often(
            "labels",
            object(vec![often("version", one_of(["v1", "v2", "a b"]))]),
        ),
        sometimes("trafficPolicy", policy(false)),
    ]);
    object(vec![
        required("host", one_of(HOSTS)),
        often("subsets", list(subset, 3)),
        optional("trafficPolicy", policy(true)),
        rarely("exportTo", list(one_of([".", "*", "shop"]), 2)),
    ])
}

fn policy(ports: bool) -> BoxedStrategy<Value> {
    let hash = object(vec![
        optional("httpHeaderName", one_of(["x-a", "a b"])),
        rarely("useSourceIp", flag()),
        rarely(
            "maglev",
            object(vec![often("tableSize", number([7, 65_537, -1]))]),
        ),
        rarely("minimumRingSize", number([0, 1024, -1])),
    ]);
    let balancer = object(vec![
        optional(
            "simple",
            one_of(["ROUND_ROBIN", "RANDOM", "PASSTHROUGH", "SOMETIMES"]),
        ),
        sometimes("consistentHash", hash),
        rarely("warmup", object(vec![often("duration", one_of(TIMES))])),
    ]);
    let pool = object(vec![
        optional(
            "tcp",
            object(vec![
                often("maxConnections", number([0, 1, -1])),
                rarely("connectTimeout", one_of(TIMES)),
            ]),
        ),
        optional(
            "http",
            object(vec![
                often("maxRetries", number([0, 1, -1])),
                rarely("idleTimeout", one_of(TIMES)),
            ]),
        ),
    ]);
    let mut fields = vec![
        optional("loadBalancer", balancer),
        sometimes("connectionPool", pool),
        sometimes(
            "outlierDetection",
            object(vec![
                often("consecutive5xxErrors", number([0, 5, -1])),
                sometimes("interval", one_of(TIMES)),
            ]),
        ),
        sometimes(
            "tls",
            object(vec![often(
                "mode",
                one_of(["DISABLE", "SIMPLE", "MUTUAL", "ISTIO_MUTUAL"]),
            )]),
        ),
    ];
    if ports {
        let port = object(vec![often("number", number([9080, 0]))]);
        let own = policy(false).prop_flat_map(move |policy| {
            port.clone().prop_map(move |port| {
                let mut policy = policy.clone();
                policy["port"] = port;
                policy
            })
        });
        fields.push(rarely("portLevelSettings", list(own.boxed(), 2)));
    }
    object(fields)
}
