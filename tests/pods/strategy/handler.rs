//! Probes and lifecycle hooks of every kind, with ports as numbers, as names that a port has and as names that none has.
//! Before it: `container`.

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use super::object::{json, object, one_of, optional, rarely, required};

/// A probe. Only a readiness probe may ask for several successes, and it has no grace period of its own.
pub(super) fn probe(liveness: bool) -> BoxedStrategy<Value> {
    let seconds = |range: std::ops::Range<u32>| range.prop_map(Value::from);
    let own = match liveness {
        true => rarely("terminationGracePeriodSeconds", seconds(1..60)),
        false => rarely("successThreshold", seconds(1..4)),
    };
    let grpc = object(vec![
        required("port", (1..=u16::MAX).prop_map(Value::from)),
        optional("service", one_of(["", "shop.Cart", "readiness"])),
    ]);
    let kind = prop_oneof![
        4 => http().prop_map(|action| ("httpGet", action)),
        2 => tcp().prop_map(|action| ("tcpSocket", action)),
        2 => grpc.prop_map(|action| ("grpc", action)),
        2 => exec().prop_map(|action| ("exec", action)),
    ];
    let rest = object(vec![
        optional("initialDelaySeconds", seconds(0..60)),
        optional("periodSeconds", seconds(1..60)),
        optional("timeoutSeconds", seconds(1..60)),
        optional("failureThreshold", seconds(1..60)),
        rarely("aFieldOfTomorrow", json()),
        own,
    ]);
    placed(kind.boxed(), rest)
}

/// Hooks that run after the start and before the end.
pub(super) fn lifecycle() -> BoxedStrategy<Value> {
    let sleep = Just(("sleep", json!({"seconds": 5})));
    let kind = prop_oneof![
        4 => http().prop_map(|action| ("httpGet", action)),
        2 => exec().prop_map(|action| ("exec", action)),
        1 => sleep,
    ]
    .boxed();
    let hook = || placed(kind.clone(), Just(json!({})).boxed());
    object(vec![
        optional("postStart", hook()),
        optional("preStop", hook()),
        rarely("stopSignal", one_of(["SIGUSR1"])),
    ])
}

/// The action somewhere among the other fields.
fn placed(kind: BoxedStrategy<(&'static str, Value)>, rest: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    (kind, rest, any::<bool>())
        .prop_map(|((name, action), rest, first)| {
            let mut probe = json!({});
            if first {
                probe[name] = action.clone();
            }
            for (key, value) in rest.as_object().into_iter().flatten() {
                probe[key] = value.clone();
            }
            probe[name] = action;
            probe
        })
        .boxed()
}

fn http() -> BoxedStrategy<Value> {
    let headers = select(vec![
        json!([]),
        json!([{"name": "Host", "value": "shop.example"}, {"value": "b \u{2713} \"c\"", "name": "X-A"}]),
        json!([{"name": "Accept", "value": ""}, {"name": "Accept", "value": "*/*"}]),
    ]);
    object(vec![
        optional("path", one_of(["/", "/live?a=b&c=%20#d", "healthz", ""])),
        required("port", port()),
        optional("scheme", one_of(["HTTP", "HTTPS"])),
        rarely("host", one_of(["127.0.0.1", "shop.example"])),
        optional("httpHeaders", headers),
    ])
}

fn tcp() -> BoxedStrategy<Value> {
    object(vec![
        required("port", port()),
        rarely("host", one_of(["127.0.0.1", "shop.example"])),
    ])
}

fn exec() -> BoxedStrategy<Value> {
    Just(json!({"command": ["cat", "/tmp/healthy"]})).boxed()
}

fn port() -> BoxedStrategy<Value> {
    let name = select(vec!["http", "grpc-web", "nowhere", "outrigger-prom", "dns"]);
    prop_oneof![
        2 => (1..=u16::MAX).prop_map(Value::from),
        1 => select(vec![8080, 15020, 15021]).prop_map(Value::from),
        3 => name.prop_map(Value::from),
    ]
    .boxed()
}
