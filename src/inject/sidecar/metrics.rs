//! Prometheus' annotations, led to the proxy, so that one scrape has the application's metrics and the proxy's. Istio does
//! the same under `prometheus.istio.io/merge-metrics`. A part of `sidecar`.

use serde_json::{Value, json};

use super::{METRICS_PORT, Replacement, Sidecar};
use crate::inject::options::Options;
use crate::inject::pod::Pod;

const SCRAPE: &str = "prometheus.io/scrape";
const PORT: &str = "prometheus.io/port";
const PATH: &str = "prometheus.io/path";
const SCHEME: &str = "prometheus.io/scheme";

/// Adds what changes in the annotations, and gives what the proxy is to scrape, if the application has metrics.
pub(super) fn merge(pod: &Pod, options: &Options, sidecar: &mut Sidecar) -> Option<Value> {
    let scrape = pod.annotation(SCRAPE);
    if !options.merge_metrics || scrape == Some("false") {
        return None;
    }
    let metrics = match scrape {
        Some("true") => match application(pod) {
            Ok(metrics) => metrics,
            Err(warning) => {
                sidecar.warnings.push(warning);
                return None;
            }
        },
        _ => None,
    };
    let scheme = pod.annotation(SCHEME).map(|_| (SCHEME, "http".to_owned()));
    let wanted = [
        (SCRAPE, "true".to_owned()),
        (PORT, METRICS_PORT.to_string()),
        (PATH, "/stats/prometheus".to_owned()),
    ];
    for (key, value) in wanted.into_iter().chain(scheme) {
        match pod.annotation(key) {
            None => sidecar.annotations.push((key.into(), value)),
            Some(was) if was == value => {}
            Some(was) => sidecar.replaced.push(Replacement {
                at: format!("metadata.annotations[{key}]"),
                was: was.into(),
                now: value.into(),
            }),
        }
    }
    metrics
}

/// Where the application's metrics are, as the annotations say: by convention port 80 and /metrics. None if they say what
/// was written here for another pod.
fn application(pod: &Pod) -> Result<Option<Value>, String> {
    let port = pod.annotation(PORT).unwrap_or("80");
    let path = pod
        .annotation(PATH)
        .filter(|path| !path.is_empty())
        .unwrap_or("/metrics");
    let scheme = pod
        .annotation(SCHEME)
        .filter(|scheme| !scheme.is_empty())
        .unwrap_or("http");
    let said = |key: &str, value: &str, right: &str| {
        format!(
            "the annotation {key} is {value:?}, which is not {right}: metrics are not merged, and what scrapes the pod \
             does it as it did"
        )
    };
    let number: u16 = match port.parse() {
        Ok(number) if number > 0 => number,
        _ => return Err(said(PORT, port, "a port")),
    };
    if !["http", "https"].contains(&scheme) {
        return Err(said(SCHEME, scheme, "http or https"));
    }
    let path = match path.starts_with('/') {
        true => path.to_owned(),
        false => format!("/{path}"),
    };
    let metrics = json!({"port": number, "path": path, "scheme": scheme});
    Ok(Some(metrics).filter(|_| number != METRICS_PORT))
}
