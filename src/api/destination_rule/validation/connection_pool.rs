//! Limits and outlier detection.

use super::{duration, percent};
use crate::api::Findings;
use crate::api::destination_rule::{
    ConnectionPoolSettings, H2UpgradePolicy, HttpSettings, OutlierDetection, TcpSettings,
};

pub(super) fn validate(field: &str, settings: &ConnectionPoolSettings, found: &mut Findings) {
    if settings.tcp.is_none() && settings.http.is_none() {
        found.error(field, "needs tcp or http");
    }
    if let Some(tcp) = &settings.tcp {
        validate_tcp(&format!("{field}.tcp"), tcp, found);
    }
    if let Some(http) = &settings.http {
        validate_http(&format!("{field}.http"), http, found);
    }
}

fn validate_tcp(field: &str, tcp: &TcpSettings, found: &mut Findings) {
    duration(field, "connectTimeout", tcp.connect_timeout.as_ref(), found);
    duration(
        field,
        "maxConnectionDuration",
        tcp.max_connection_duration.as_ref(),
        found,
    );
    duration(field, "idleTimeout", tcp.idle_timeout.as_ref(), found);
    if let Some(keepalive) = &tcp.tcp_keepalive {
        let field = format!("{field}.tcpKeepalive");
        duration(&field, "time", keepalive.time.as_ref(), found);
        duration(&field, "interval", keepalive.interval.as_ref(), found);
    }
}

fn validate_http(field: &str, http: &HttpSettings, found: &mut Findings) {
    duration(field, "idleTimeout", http.idle_timeout.as_ref(), found);
    if http.h2_upgrade_policy == Some(H2UpgradePolicy::Upgrade) {
        let field = format!("{field}.h2UpgradePolicy");
        if http.use_client_protocol == Some(true) {
            found.error(field, "cannot be UPGRADE with useClientProtocol");
        } else {
            found.warning(
                field,
                "UPGRADE has no effect: a request reaches the application in the version of HTTP in which it was sent",
            );
        }
    }
}

pub(super) fn validate_detection(field: &str, detection: &OutlierDetection, found: &mut Findings) {
    duration(field, "interval", detection.interval.as_ref(), found);
    duration(
        field,
        "baseEjectionTime",
        detection.base_ejection_time.as_ref(),
        found,
    );
    percent(field, "maxEjectionPercent", detection.max_ejection_percent, found);
    percent(field, "minHealthPercent", detection.min_health_percent, found);
    if detection.consecutive_errors.is_some() {
        found.warning(
            format!("{field}.consecutiveErrors"),
            "has no effect, as in Istio, which has removed it; use consecutive5xxErrors or consecutiveGatewayErrors",
        );
    }
    let alone = detection
        .consecutive_local_origin_failures
        .is_some_and(|most| most > 0);
    if alone && !detection.split_external_local_origin_errors {
        found.error(
            format!("{field}.consecutiveLocalOriginFailures"),
            "needs splitExternalLocalOriginErrors",
        );
    }
}
