//! Rules that are never reached, because those before them have every request that they could get.

use std::collections::BTreeMap;

use crate::api::{Findings, HttpMatchRequest, L4MatchAttributes, StringMatch, VirtualServiceSpec};

pub(super) fn validate(spec: &VirtualServiceSpec, found: &mut Findings) {
    let every = HttpMatchRequest::default();
    let http = spec.http.iter().map(|route| match &route.matches[..] {
        [] => vec![&every],
        all => all.iter().collect(),
    });
    report("http", http.collect(), covers, found);
    let every = L4MatchAttributes::default();
    let tcp = spec.tcp.iter().map(|route| match &route.matches[..] {
        [] => vec![&every],
        all => all.iter().collect(),
    });
    report("tcp", tcp.collect(), l4_covers, found);
    let tls = spec.tls.iter().map(|route| route.matches.iter().collect());
    let tls_covers = |first: &crate::api::TlsMatchAttributes, later: &crate::api::TlsMatchAttributes| {
        later.sni_hosts.iter().all(|sni| first.sni_hosts.contains(sni)) && l4_covers(&first.l4(), &later.l4())
    };
    report("tls", tls.collect(), tls_covers, found);
}

fn report<M>(kind: &str, rules: Vec<Vec<&M>>, covers: impl Fn(&M, &M) -> bool, found: &mut Findings) {
    let mut before: Vec<(usize, &M)> = Vec::new();
    for (index, conditions) in rules.into_iter().enumerate() {
        let mut useless = Vec::new();
        for (number, condition) in conditions.iter().enumerate() {
            let by = before.iter().find(|(_, first)| covers(first, condition));
            useless.extend(by.map(|(first, _)| (number, *first)));
        }
        if let Some((_, first)) = useless.first()
            && useless.len() == conditions.len()
        {
            found.warning(
                format!("spec.{kind}[{index}]"),
                format!("is never reached: {kind}[{first}] has all that it would match"),
            );
        } else {
            for (number, first) in useless {
                found.warning(
                    format!("spec.{kind}[{index}].match[{number}]"),
                    format!("never holds: {kind}[{first}] has all that it would match"),
                );
            }
        }
        for (number, condition) in conditions.into_iter().enumerate() {
            // What never holds takes nothing from others.
            if !found.has_mistake(&format!("spec.{kind}[{index}].match[{number}]")) {
                before.push((index, condition));
            }
        }
    }
}

/// Whether the first holds wherever the second does.
fn covers(first: &HttpMatchRequest, later: &HttpMatchRequest) -> bool {
    let parts = [
        (&first.scheme, &later.scheme),
        (&first.method, &later.method),
        (&first.authority, &later.authority),
    ];
    let maps = [
        (&first.headers, &later.headers),
        (&first.query_params, &later.query_params),
    ];
    let takes_all = |uri: &StringMatch| uri.prefix.as_deref() == Some("/");
    let uri = first.uri.as_ref().is_none_or(takes_all)
        || first.ignore_uri_case == later.ignore_uri_case && text(&first.uri, &later.uri);
    uri && parts.into_iter().all(|(first, later)| text(first, later))
        && maps.into_iter().all(|(first, later)| all(first, later))
        && first
            .without_headers
            .iter()
            .all(|(name, text)| later.without_headers.get(name) == Some(text))
        && source(
            (
                first.port,
                &first.gateways,
                &first.source_labels,
                &first.source_namespace,
            ),
            (
                later.port,
                &later.gateways,
                &later.source_labels,
                &later.source_namespace,
            ),
        )
}

fn l4_covers(first: &L4MatchAttributes, later: &L4MatchAttributes) -> bool {
    (first.destination_subnets.is_empty() || first.destination_subnets == later.destination_subnets)
        && source(
            (
                first.port,
                &first.gateways,
                &first.source_labels,
                &first.source_namespace,
            ),
            (
                later.port,
                &later.gateways,
                &later.source_labels,
                &later.source_namespace,
            ),
        )
}

type Source<'a> = (
    Option<u16>,
    &'a Vec<String>,
    &'a BTreeMap<String, String>,
    &'a Option<String>,
);

fn source(first: Source, later: Source) -> bool {
    let (port, gateways, labels, namespace) = first;
    let unconditional = gateways.is_empty() && labels.is_empty() && namespace.is_none();
    (port.is_none() || port == later.0)
        && (unconditional
            || gateways == later.1
                && labels
                    .iter()
                    .all(|(name, value)| later.2.get(name) == Some(value))
                && (namespace.is_none() || namespace == later.3))
}

fn all(first: &BTreeMap<String, StringMatch>, later: &BTreeMap<String, StringMatch>) -> bool {
    first.iter().all(|(name, condition)| {
        let present = *condition == StringMatch::default();
        let later = later.get(name);
        later.is_some_and(|later| present || holds_wherever(condition, later))
    })
}

fn text(first: &Option<StringMatch>, later: &Option<StringMatch>) -> bool {
    match (first, later) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(first), Some(later)) => holds_wherever(first, later),
    }
}

fn holds_wherever(first: &StringMatch, later: &StringMatch) -> bool {
    first == later
        || first.prefix.as_ref().is_some_and(|prefix| {
            let begins = |text: &Option<String>| text.as_ref().is_some_and(|text| text.starts_with(prefix));
            begins(&later.prefix) || begins(&later.exact)
        })
}
