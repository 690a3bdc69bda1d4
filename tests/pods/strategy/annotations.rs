//! Annotations: those of Istio and Prometheus with values that are right and, now and then, wrong, and those of others.
//! A part of `strategy`.

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::Value;

use super::object::{one_of, optional, rarely, strings};

/// Values that no injector can honour, by annotation: a pod with one of them is refused, with key and value named.
pub(crate) const BAD: [(&str, &[&str]); 18] = [
    ("traffic.sidecar.istio.io/includeInboundPorts", BAD_PORTS),
    ("traffic.sidecar.istio.io/excludeInboundPorts", BAD_PORTS),
    ("traffic.sidecar.istio.io/includeOutboundPorts", BAD_PORTS),
    ("traffic.sidecar.istio.io/excludeOutboundPorts", BAD_PORTS),
    ("traffic.sidecar.istio.io/includeOutboundIPRanges", BAD_RANGES),
    ("traffic.sidecar.istio.io/excludeOutboundIPRanges", BAD_RANGES),
    (
        "traffic.sidecar.istio.io/excludeInterfaces",
        &["eth0; reboot", "../eth0", "an-interface-name-too-long"],
    ),
    ("sidecar.istio.io/proxyCPU", BAD_QUANTITY),
    ("sidecar.istio.io/proxyMemory", BAD_QUANTITY),
    ("sidecar.istio.io/proxyCPULimit", BAD_QUANTITY),
    ("sidecar.istio.io/proxyMemoryLimit", BAD_QUANTITY),
    ("sidecar.istio.io/rewriteAppHTTPProbers", BAD_BOOLEAN),
    ("sidecar.istio.io/nativeSidecar", BAD_BOOLEAN),
    ("sidecar.istio.io/interceptionMode", &["redirect?", "SOMETIMES"]),
    ("sidecar.istio.io/logLevel", &["shout loud", "a=b=c"]),
    ("sidecar.istio.io/proxyImage", &["two words", "$(reboot)"]),
    ("sidecar.istio.io/userVolume", &["not JSON", "{\"a\":", "7"]),
    ("sidecar.istio.io/userVolumeMount", &["not JSON", "{\"a\":", "7"]),
];

const BAD_PORTS: &[&str] = &[
    "http",
    "70000",
    "80;443",
    "-1",
    "80 -j ACCEPT",
    "0",
    "*,*",
    "$(reboot)",
    "80\n443",
];
const BAD_RANGES: &[&str] = &[
    "ten",
    "10.0.0.0/40",
    "10.0.0.0/8;fd00::/8",
    "*,10.0.0.0/8",
    "10.0.0.0/8 -j ACCEPT",
];
const BAD_QUANTITY: &[&str] = &["lots", "-1", "1 Gi", "1GiB", "\u{661}"];
const BAD_BOOLEAN: &[&str] = &["maybe", "yes please", "2"];

/// Annotations of a pod.
pub(super) fn annotations() -> BoxedStrategy<Value> {
    let settings = vec![
        rarely(
            "traffic.sidecar.istio.io/includeInboundPorts",
            one_of(["*", "", "8080,9000"]),
        ),
        rarely(
            "traffic.sidecar.istio.io/excludeInboundPorts",
            one_of(["", "22", "22, 2222"]),
        ),
        rarely(
            "traffic.sidecar.istio.io/includeOutboundPorts",
            one_of(["", "443"]),
        ),
        rarely(
            "traffic.sidecar.istio.io/excludeOutboundPorts",
            one_of(["", "5432,3306"]),
        ),
        rarely(
            "traffic.sidecar.istio.io/includeOutboundIPRanges",
            one_of(["*", "", "10.0.0.0/8,fd00::/8"]),
        ),
        rarely(
            "traffic.sidecar.istio.io/excludeOutboundIPRanges",
            one_of(["", "169.254.169.254/32"]),
        ),
        rarely(
            "traffic.sidecar.istio.io/excludeInterfaces",
            one_of(["", "net1", "net1,br-lan"]),
        ),
        rarely("sidecar.istio.io/proxyCPU", one_of(["100m", "0.1"])),
        rarely("sidecar.istio.io/proxyMemory", one_of(["64Mi", "1e8"])),
        rarely("sidecar.istio.io/proxyCPULimit", one_of(["2"])),
        rarely("sidecar.istio.io/proxyMemoryLimit", one_of(["1Gi"])),
        rarely(
            "sidecar.istio.io/rewriteAppHTTPProbers",
            one_of(["true", "false"]),
        ),
        rarely("sidecar.istio.io/nativeSidecar", one_of(["true", "false"])),
        rarely("sidecar.istio.io/interceptionMode", one_of(["REDIRECT"])),
        rarely("sidecar.istio.io/logLevel", one_of(["debug", "warning"])),
        rarely("sidecar.istio.io/proxyImage", one_of(["example.org/proxy:2"])),
        rarely(
            "sidecar.istio.io/userVolume",
            one_of(["{\"extra\":{\"emptyDir\":{}}}", "{}"]),
        ),
        rarely("sidecar.istio.io/inject", one_of(["true", "false", ""])),
    ];
    let others = vec![
        optional("prometheus.io/scrape", one_of(["true", "false", "TRUE"])),
        optional("prometheus.io/port", one_of(["8080", "9090", "http", "15020"])),
        rarely("prometheus.io/path", one_of(["/metrics", "/stats?a=\u{2713}"])),
        rarely("prometheus.io/scheme", one_of(["http", "https"])),
        rarely("kubectl.kubernetes.io/default-container", one_of(["app"])),
        rarely("kubernetes.io/config.mirror", one_of(["0123"])),
        rarely("outrigger.dev/status", one_of(["", "{}", "not JSON", "null"])),
        optional(
            "example.org/note",
            one_of(["caf\u{e9} \u{1f6f6} \"quoted\" \\ \n line", ""]),
        ),
    ];
    let right = strings(settings.into_iter().chain(others).collect());
    let bad: Vec<_> = BAD
        .iter()
        .flat_map(|(key, values)| values.iter().map(move |value| (*key, *value)))
        .collect();
    let bad = prop_oneof![20 => Just(None), 1 => select(bad).prop_map(Some)];
    (right, bad)
        .prop_map(|(mut annotations, bad)| {
            if let Some((key, value)) = bad {
                annotations[key] = value.into();
            }
            annotations
        })
        .boxed()
}
