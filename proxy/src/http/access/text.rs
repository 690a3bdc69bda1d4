//! One line of the access log. Belongs to `access`. Whatever a client sends, it stays one line, and a field stays a
//! field.

use std::fmt::Write;
use std::net::SocketAddr;
use std::time::SystemTime;

use serde_json::{Value, json};

use super::{Entry, Flag, Format};

pub(super) fn line(entry: &Entry, format: Format) -> String {
    let mut line = match format {
        Format::Text => text(entry),
        Format::Json => json(entry),
    };
    line.push('\n');
    line
}

/// The fields and their order are those of Istio's default format
/// (<https://istio.io/latest/docs/tasks/observability/logs/access-log/#default-access-log-format>); what this proxy does
/// not know is `-`, as there.
fn text(entry: &Entry) -> String {
    let mut line = String::with_capacity(512);
    let status = entry.status.map_or(0, |status| status.as_u16());
    // Writing to a string does not fail.
    let _ = write!(
        line,
        "[{}] \"{} {} {}\" {status} {} {} - {} {} {} {} {} {} {} {} {} {} {} - {} {} {} {}",
        start(entry.start),
        bare(&entry.method),
        bare(&entry.path),
        bare(&entry.protocol),
        flags(&entry.flags),
        bare(entry.details),
        quoted(&entry.failure),
        entry.bytes_received(),
        entry.bytes_sent(),
        entry.begun.elapsed().as_millis(),
        entry
            .service_time
            .map_or_else(|| "-".to_owned(), |took| took.as_millis().to_string()),
        quoted(&entry.forwarded_for),
        quoted(&entry.user_agent),
        quoted(&entry.request_id),
        quoted(&entry.authority),
        quoted(&address(entry.upstream)),
        bare(&entry.cluster),
        entry.destination,
        entry.downstream,
        bare(&entry.server_name),
        bare(&entry.route),
    );
    line
}

fn json(entry: &Entry) -> String {
    let text = |text: &str| match text {
        "" => Value::Null,
        text => text.into(),
    };
    let flags = flags(&entry.flags);
    json!({
        "start_time": start(entry.start),
        "method": text(&entry.method),
        "path": text(&entry.path),
        "protocol": text(&entry.protocol),
        "response_code": entry.status.map_or(0, |status| status.as_u16()),
        "response_flags": flags,
        "response_code_details": text(entry.details),
        "connection_termination_details": Value::Null,
        "upstream_transport_failure_reason": text(&entry.failure),
        "bytes_received": entry.bytes_received(),
        "bytes_sent": entry.bytes_sent(),
        "duration": u64::try_from(entry.begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        "upstream_service_time": entry.service_time.map(|took| took.as_millis().to_string()),
        "x_forwarded_for": text(&entry.forwarded_for),
        "user_agent": text(&entry.user_agent),
        "request_id": text(&entry.request_id),
        "authority": text(&entry.authority),
        "upstream_host": text(&address(entry.upstream)),
        "upstream_cluster": text(&entry.cluster),
        "upstream_local_address": Value::Null,
        "downstream_local_address": entry.destination.to_string(),
        "downstream_remote_address": entry.downstream.to_string(),
        "requested_server_name": text(&entry.server_name),
        "route_name": text(&entry.route),
    })
    .to_string()
}

/// In milliseconds, UTC.
fn start(time: SystemTime) -> String {
    let mut time = prost_types::Timestamp::from(time);
    time.nanos -= time.nanos % 1_000_000;
    time.to_string()
}

fn address(address: Option<SocketAddr>) -> String {
    address.map(|address| address.to_string()).unwrap_or_default()
}

fn flags(flags: &[Flag]) -> String {
    let short = |flag: &Flag| match flag {
        Flag::NoHealthyUpstream => "UH",
        Flag::UpstreamConnectionFailure => "UF",
        Flag::UpstreamOverflow => "UO",
        Flag::NoRouteFound => "NR",
        Flag::NoClusterFound => "NC",
        Flag::UpstreamRetryLimitExceeded => "URX",
        Flag::UpstreamTimeout => "UT",
        Flag::DownstreamConnectionTermination => "DC",
        Flag::DownstreamProtocolError => "DPE",
        Flag::DelayInjected => "DI",
        Flag::FaultInjected => "FI",
        Flag::UpstreamConnectionTermination => "UC",
        Flag::UpstreamRemoteReset => "UR",
        Flag::UpstreamProtocolError => "UPE",
    };
    match flags {
        [] => "-".into(),
        flags => flags.iter().map(short).collect::<Vec<_>>().join(","),
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", bare(text))
}

/// Without anything that could end the field or the line.
fn bare(text: &str) -> String {
    if text.is_empty() {
        return "-".into();
    }
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '"' | '\\' => safe.extend(['\\', character]),
            control if control.is_control() => safe.extend(control.escape_unicode()),
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_breaks_no_line() {
        for (text, expected) in [
            ("", "-"),
            ("curl/8", "curl/8"),
            ("a\"b\\c", r#"a\"b\\c"#),
            ("a\nb\r\u{1b}", r"a\u{a}b\u{d}\u{1b}"),
            ("ü", "ü"),
        ] {
            assert_eq!(bare(text), expected);
        }
    }

    #[test]
    fn times_are_in_milliseconds() {
        let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_nanos(1_606_339_578_409_123_456);
        assert_eq!(start(time), "2020-11-25T21:26:18.409Z");
    }
}
