//! One HTTP rule: what excludes what, its destinations, mirrors and headers. After: `matches` and `actions`.

use super::{actions, destination, fault, matches, weights};
use crate::api::{Findings, HeaderOperations, Headers, HttpRoute, names, parse_duration};

pub(super) fn validate(field: &str, route: &HttpRoute, is_delegate: bool, found: &mut Findings) {
    conflicts(field, route, is_delegate, found);
    let delegating = is_delegate || route.delegate.is_some();
    for (index, condition) in route.matches.iter().enumerate() {
        matches::validate(&format!("{field}.match[{index}]"), condition, delegating, found);
    }
    let all: Vec<_> = route.route.iter().map(|to| to.weight).collect();
    weights(&format!("{field}.route"), &all, found);
    for (index, to) in route.route.iter().enumerate() {
        let field = format!("{field}.route[{index}]");
        destination(&format!("{field}.destination"), &to.destination, found);
        headers(&format!("{field}.headers"), to.headers.as_ref(), found);
    }
    headers(&format!("{field}.headers"), route.headers.as_ref(), found);
    mirrors(field, route, found);
    if let Some(timeout) = &route.timeout {
        found.check(format!("{field}.timeout"), parse_duration(timeout));
    }
    actions::validate(field, route, found);
    authority(field, route, found);
}

fn conflicts(field: &str, route: &HttpRoute, is_delegate: bool, found: &mut Findings) {
    let (redirect, response) = (route.redirect.is_some(), route.direct_response.is_some());
    let instead = [
        ("route", !route.route.is_empty()),
        ("redirect", redirect),
        ("directResponse", response),
        ("delegate", route.delegate.is_some()),
    ];
    let set: Vec<_> = instead
        .iter()
        .filter(|(_, set)| *set)
        .map(|(name, _)| *name)
        .collect();
    match &set[..] {
        [] => found.error(field, "needs a route, a redirect, a directResponse or a delegate"),
        [_] => {}
        [first, others @ ..] => {
            for other in others {
                found.error(format!("{field}.{other}"), format!("cannot be beside {first}"));
            }
        }
    }
    if let Some(delegate) = &route.delegate {
        let field = format!("{field}.delegate");
        if is_delegate {
            found.error(field, "cannot be in a VirtualService that is delegated to itself");
        } else {
            found.check(format!("{field}.name"), names::host(&delegate.name));
            if !delegate.namespace.is_empty() {
                found.check(
                    format!("{field}.namespace"),
                    names::dns_label(&delegate.namespace),
                );
            }
        }
    }
    if redirect || response {
        let instead = if redirect { "redirect" } else { "directResponse" };
        for (name, set) in [
            ("fault", route.fault.is_some()),
            ("rewrite", route.rewrite.is_some()),
        ] {
            if set {
                found.error(format!("{field}.{name}"), format!("cannot be beside {instead}"));
            }
        }
        for (name, set) in [
            ("timeout", route.timeout.is_some()),
            ("retries", route.retries.is_some()),
            ("mirror", route.mirror.is_some()),
            ("mirrors", !route.mirrors.is_empty()),
        ] {
            if set {
                found.warning(
                    format!("{field}.{name}"),
                    format!("has no effect beside {instead}, which forwards nothing"),
                );
            }
        }
    }
}

fn mirrors(field: &str, route: &HttpRoute, found: &mut Findings) {
    if let Some(mirror) = &route.mirror {
        destination(&format!("{field}.mirror"), mirror, found);
        if !route.mirrors.is_empty() {
            found.error(format!("{field}.mirror"), "cannot be beside mirrors");
        }
    }
    for (index, mirror) in route.mirrors.iter().enumerate() {
        let field = format!("{field}.mirrors[{index}]");
        destination(&format!("{field}.destination"), &mirror.destination, found);
        fault::percentage(&format!("{field}.percentage"), mirror.percentage, found);
    }
    for (name, percent) in [
        ("mirrorPercent", route.mirror_percent),
        ("mirror_percent", route.mirror_percent_deprecated),
    ] {
        let Some(percent) = percent else { continue };
        let field = format!("{field}.{name}");
        if percent > 100 {
            found.error(field, format!("{percent} is more than 100"));
        } else {
            found.warning(field, "is deprecated; use mirrorPercentage");
        }
    }
    fault::percentage(
        &format!("{field}.mirrorPercentage"),
        route.mirror_percentage,
        found,
    );
    let percent = route.whole_mirror_percent().is_some() || route.mirror_percentage.is_some();
    if percent && route.mirror.is_none() {
        found.warning(
            format!("{field}.mirrorPercentage"),
            "has no effect without mirror; each of mirrors has a percentage of its own",
        );
    }
}

fn headers(field: &str, headers: Option<&Headers>, found: &mut Findings) {
    let Some(headers) = headers else { return };
    for (name, operations, is_request) in [
        ("request", &headers.request, true),
        ("response", &headers.response, false),
    ] {
        if let Some(operations) = operations {
            header_operations(&format!("{field}.{name}"), operations, is_request, found);
        }
    }
}

fn header_operations(field: &str, operations: &HeaderOperations, is_request: bool, found: &mut Findings) {
    for (verb, values) in [("set", &operations.set), ("add", &operations.add)] {
        for (name, value) in values {
            let field = format!("{field}.{verb}.{name}");
            if !(is_request && names::is_authority(name)) {
                found.check(field.clone(), changeable(name));
            }
            if found.check(field.clone(), names::header_value(value)).is_some() {
                for variable in outrigger_proxy::route::unknown_variables(value) {
                    found.warning(
                        field.clone(),
                        format!("%{variable}% is no variable here; it is sent as written"),
                    );
                }
            }
        }
    }
    for name in &operations.remove {
        found.check(format!("{field}.remove.{name}"), changeable(name));
    }
}

fn changeable(name: &str) -> Result<(), String> {
    if names::is_authority(name) {
        return Err(format!(
            "{name} can only be set, in a request; or use rewrite.authority"
        ));
    }
    names::header_name(name)
}

/// The authority is changed in one place at most.
fn authority(field: &str, route: &HttpRoute, found: &mut Findings) {
    let set = route
        .headers
        .iter()
        .filter_map(|headers| headers.request.as_ref());
    let set = set.flat_map(|request| request.set.keys().chain(request.add.keys()));
    let rewritten = route
        .rewrite
        .as_ref()
        .is_some_and(|rewrite| rewrite.authority.is_some());
    if set.filter(|name| names::is_authority(name)).count() + usize::from(rewritten) > 1 {
        found.error(
            format!("{field}.headers.request"),
            "the authority is changed in several places",
        );
    }
}
