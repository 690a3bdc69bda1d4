//! Settings of a cluster. A part of `strategy`.

use outrigger::settings::Settings;
use proptest::prelude::*;
use proptest::sample::select;

/// What an operator may set for the proxies of a cluster.
pub(crate) fn settings() -> impl Strategy<Value = Settings> {
    let flags = proptest::array::uniform4(any::<bool>());
    let capture = select(vec!["init", "external"]);
    let ports = select(vec!["", "22", "5432,3306"]);
    let uid = select(vec![1337u32, 1000, 65534]);
    (flags, capture, ports, uid).prop_map(|([native, hold, probes, metrics], capture, ports, uid)| {
        let text = format!(
            "proxy: {{nativeSidecar: {native}, holdApplicationUntilProxyStarts: {hold}, rewriteAppProbes: {probes}, \
             mergeMetrics: {metrics}, capture: {capture}, excludeOutboundPorts: '{ports}', uid: {uid}}}"
        );
        Settings::parse(&text).expect("settings")
    })
}
