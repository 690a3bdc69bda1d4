//! Annotations in Istio's name that mean nothing here are said to, so that nobody waits for their effect.
//! A part of `options`.

use super::reader::Reader;

/// Annotations that are read, under the prefixes that Istio keeps for its sidecars.
const KNOWN: [&str; 21] = [
    "outrigger.dev/capture",
    "outrigger.dev/status",
    "sidecar.istio.io/inject",
    "sidecar.istio.io/interceptionMode",
    "sidecar.istio.io/logLevel",
    "sidecar.istio.io/nativeSidecar",
    "sidecar.istio.io/proxyCPU",
    "sidecar.istio.io/proxyCPULimit",
    "sidecar.istio.io/proxyImage",
    "sidecar.istio.io/proxyMemory",
    "sidecar.istio.io/proxyMemoryLimit",
    "sidecar.istio.io/rewriteAppHTTPProbers",
    "sidecar.istio.io/userVolume",
    "sidecar.istio.io/userVolumeMount",
    "traffic.sidecar.istio.io/excludeInboundPorts",
    "traffic.sidecar.istio.io/excludeInterfaces",
    "traffic.sidecar.istio.io/excludeOutboundIPRanges",
    "traffic.sidecar.istio.io/excludeOutboundPorts",
    "traffic.sidecar.istio.io/includeInboundPorts",
    "traffic.sidecar.istio.io/includeOutboundIPRanges",
    "traffic.sidecar.istio.io/includeOutboundPorts",
];

const PREFIXES: [&str; 3] = ["outrigger.dev/", "sidecar.istio.io/", "traffic.sidecar.istio.io/"];

pub(super) fn warn(reader: &mut Reader) {
    let annotations = reader
        .pod
        .annotations
        .into_iter()
        .flatten()
        .map(|(key, _)| key.as_str());
    let ours = annotations.filter(|key| PREFIXES.iter().any(|prefix| key.starts_with(prefix)));
    for key in ours.filter(|key| !KNOWN.contains(key)) {
        let near = KNOWN
            .iter()
            .find(|known| known.eq_ignore_ascii_case(key) || known.strip_suffix('s') == Some(key));
        let hint = near
            .map(|known| format!("; did you mean {known}?"))
            .unwrap_or_default();
        reader
            .warnings
            .push(format!("the annotation {key} has no effect here{hint}"));
    }
}
