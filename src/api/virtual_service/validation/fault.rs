//! Faults, and percentages of any kind. Before: `actions`.

use super::actions;
use crate::api::{Abort, Delay, Findings, HttpFaultInjection, Percent, parse_duration};

/// In percent: what a millionth is.
const SMALLEST_PERCENTAGE: f64 = 0.0001;

pub(super) fn validate(field: &str, fault: &HttpFaultInjection, found: &mut Findings) {
    if fault.delay.is_none() && fault.abort.is_none() {
        found.error(field, "needs a delay or an abort");
    }
    if let Some(given) = &fault.delay {
        delay(&format!("{field}.delay"), given, found);
    }
    if let Some(given) = &fault.abort {
        abort(&format!("{field}.abort"), given, found);
    }
}

fn delay(field: &str, delay: &Delay, found: &mut Findings) {
    match &delay.fixed_delay {
        Some(duration) => {
            found.check(format!("{field}.fixedDelay"), parse_duration(duration));
        }
        None => found.error(field, "needs fixedDelay"),
    }
    if delay.exponential_delay.is_some() {
        found.error(
            format!("{field}.exponentialDelay"),
            "is not supported; use fixedDelay",
        );
    }
    if let Some(percent) = delay.percent {
        let field = format!("{field}.percent");
        if (0..=100).contains(&percent) {
            found.warning(field, "is deprecated; use percentage");
        } else {
            found.error(field, format!("{percent} is not between 0 and 100"));
        }
    }
    percentage(&format!("{field}.percentage"), delay.percentage, found);
    if delay.percentage.is_none() && delay.percent.is_none() {
        found.warning(field, "delays no request without percentage");
    }
}

fn abort(field: &str, abort: &Abort, found: &mut Findings) {
    match (abort.http_status, &abort.grpc_status) {
        (Some(http), None) => actions::status(&format!("{field}.httpStatus"), http, found),
        (None, Some(grpc)) => {
            if abort.grpc_code().is_none() {
                found.error(
                    format!("{field}.grpcStatus"),
                    format!("{grpc:?} is not the name of a gRPC status such as UNAVAILABLE"),
                );
            }
        }
        _ => found.error(field, "needs exactly one of httpStatus and grpcStatus"),
    }
    if abort.http2_error.is_some() {
        found.error(format!("{field}.http2Error"), "is not supported; use httpStatus");
    }
    percentage(&format!("{field}.percentage"), abort.percentage, found);
    if abort.percentage.is_none() {
        found.warning(field, "aborts no request without percentage");
    }
}

pub(super) fn percentage(field: &str, percentage: Option<Percent>, found: &mut Findings) {
    let Some(Percent { value }) = percentage else {
        return;
    };
    if !(0.0..=100.0).contains(&value) {
        found.error(
            format!("{field}.value"),
            format!("{value} is not between 0 and 100"),
        );
    } else if value > 0.0 && value < SMALLEST_PERCENTAGE {
        found.error(
            format!("{field}.value"),
            format!("{value} is less than {SMALLEST_PERCENTAGE}"),
        );
    }
}
