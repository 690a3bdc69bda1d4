//! The HTTP rules of a VirtualService as they are in force: where one delegates, those of the other, merged as Istio does.
//! Before: `routes` has chosen the VirtualService. After: `matches` and `actions` publish each piece.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use crate::api::{Delegate, HttpMatchRequest, HttpRoute, StringMatch, VirtualServiceSpec};
use crate::control::world::{Rule, World};

/// One HTTP rule.
pub(in crate::control::compile) struct Piece<'a> {
    /// Where it is from: `VirtualService default/helloworld http[0]`.
    pub(in crate::control::compile) name: String,
    /// The object that says what is done, and the field of it.
    pub(super) rule: &'a Rule<VirtualServiceSpec>,
    pub(super) field: String,
    pub(super) http: Cow<'a, HttpRoute>,
    /// The matches that cannot be honoured, by index.
    pub(super) broken: BTreeSet<usize>,
}

impl Piece<'_> {
    /// Whether a part of what is done cannot be meant.
    pub(super) fn has_error(&self, part: &str) -> bool {
        self.rule.findings.has_error(&format!("{}.{part}", self.field))
    }
}

/// In their order. A rule whose delegate cannot be asked is left out, as in Istio.
pub(in crate::control::compile) fn pieces<'a>(
    world: &'a World,
    rule: &'a Rule<VirtualServiceSpec>,
) -> Vec<Piece<'a>> {
    let mut pieces = Vec::new();
    for (index, http) in rule.spec.http.iter().enumerate() {
        let root = own(rule, index, http);
        let Some(to) = &http.delegate else {
            pieces.push(root);
            continue;
        };
        let Ok(delegate) = delegate(world, rule, to) else {
            continue;
        };
        for (index, http) in delegate.spec.http.iter().enumerate() {
            let below = own(delegate, index, http);
            if http.delegate.is_none() {
                pieces.extend(merged(&root, below));
            }
        }
    }
    pieces
}

/// The VirtualService that a rule delegates to.
///
/// # Errors
/// Why it cannot be asked, in words for whoever wrote the rule.
pub(in crate::control::compile) fn delegate<'a>(
    world: &'a World,
    rule: &Rule<VirtualServiceSpec>,
    to: &Delegate,
) -> Result<&'a Rule<VirtualServiceSpec>, String> {
    let key = rule.delegate(to);
    let found = world.virtual_service(&key);
    let found = found.ok_or_else(|| format!("there is no VirtualService {key}"))?;
    if !found.spec.hosts.is_empty() {
        return Err(format!(
            "VirtualService {key} has hosts of its own, so that nothing can delegate to it"
        ));
    }
    if !found.is_exported_to(&rule.meta.key.namespace) {
        let own = &rule.meta.key.namespace;
        return Err(format!("VirtualService {key} is not exported to namespace {own}"));
    }
    Ok(found)
}

fn own<'a>(rule: &'a Rule<VirtualServiceSpec>, index: usize, http: &'a HttpRoute) -> Piece<'a> {
    let field = format!("spec.http[{index}]");
    let broken = (0..http.matches.len())
        .filter(|number| rule.has_mistake(&format!("{field}.match[{number}]")))
        .collect();
    Piece {
        name: format!("{} http[{index}]", rule.title()),
        rule,
        field,
        http: Cow::Borrowed(http),
        broken,
    }
}

/// A rule of the delegate with what the root says besides; `None` if the two never hold together.
fn merged<'a>(root: &Piece<'a>, below: Piece<'a>) -> Option<Piece<'a>> {
    let (matches, broken) = merged_matches(root, &below)?;
    let mut http = below.http.into_owned();
    http.matches = matches;
    let above = &root.http;
    http.name = joined(&above.name, &http.name);
    inherit(&mut http.rewrite, &above.rewrite);
    inherit(&mut http.timeout, &above.timeout);
    inherit(&mut http.retries, &above.retries);
    inherit(&mut http.fault, &above.fault);
    inherit(&mut http.mirror, &above.mirror);
    inherit(&mut http.mirror_percent, &above.mirror_percent);
    inherit(
        &mut http.mirror_percent_deprecated,
        &above.mirror_percent_deprecated,
    );
    inherit(&mut http.mirror_percentage, &above.mirror_percentage);
    inherit(&mut http.cors_policy, &above.cors_policy);
    inherit(&mut http.headers, &above.headers);
    if http.mirrors.is_empty() {
        http.mirrors.clone_from(&above.mirrors);
    }
    Some(Piece {
        name: format!("{} -> {}", root.name, below.name),
        http: Cow::Owned(http),
        broken,
        ..below
    })
}

fn inherit<T: Clone>(own: &mut Option<T>, above: &Option<T>) {
    if own.is_none() {
        own.clone_from(above);
    }
}

fn joined(above: &Option<String>, own: &Option<String>) -> Option<String> {
    match (above, own) {
        (Some(above), Some(own)) => Some(format!("{above}-{own}")),
        (above, own) => own.clone().or_else(|| above.clone()),
    }
}

/// Every match of the delegate together with each of the root's that leaves room for it. One that finds no room makes
/// the whole rule be left out.
fn merged_matches(root: &Piece, below: &Piece) -> Option<(Vec<HttpMatchRequest>, BTreeSet<usize>)> {
    let (above, own) = (&root.http.matches, &below.http.matches);
    if above.is_empty() {
        return Some((own.clone(), below.broken.clone()));
    }
    if own.is_empty() {
        return Some((above.clone(), root.broken.clone()));
    }
    let (mut matches, mut broken) = (Vec::new(), BTreeSet::new());
    for (number, condition) in own.iter().enumerate() {
        let before = matches.len();
        for (index, outer) in above.iter().enumerate() {
            if conflict(outer, condition) {
                continue;
            }
            if root.broken.contains(&index) || below.broken.contains(&number) {
                broken.insert(matches.len());
            }
            matches.push(merged_match(outer, condition));
        }
        if matches.len() == before {
            return None;
        }
    }
    Some((matches, broken))
}

fn merged_match(root: &HttpMatchRequest, own: &HttpMatchRequest) -> HttpMatchRequest {
    fn both<V: Clone>(above: &BTreeMap<String, V>, own: &BTreeMap<String, V>) -> BTreeMap<String, V> {
        let mut all = above.clone();
        all.extend(own.clone());
        all
    }
    let mut merged = own.clone();
    merged.name = joined(&root.name, &own.name);
    inherit(&mut merged.uri, &root.uri);
    inherit(&mut merged.scheme, &root.scheme);
    inherit(&mut merged.method, &root.method);
    inherit(&mut merged.authority, &root.authority);
    inherit(&mut merged.port, &root.port);
    inherit(&mut merged.source_namespace, &root.source_namespace);
    merged.headers = both(&root.headers, &own.headers);
    merged.without_headers = both(&root.without_headers, &own.without_headers);
    merged.query_params = both(&root.query_params, &own.query_params);
    merged.source_labels = both(&root.source_labels, &own.source_labels);
    if merged.gateways.is_empty() {
        merged.gateways.clone_from(&root.gateways);
    }
    merged
}

/// Whether the delegate's match asks for something that the root's leaves no room for.
fn conflict(root: &HttpMatchRequest, own: &HttpMatchRequest) -> bool {
    let parts = [
        (&root.uri, &own.uri),
        (&root.scheme, &own.scheme),
        (&root.method, &own.method),
        (&root.authority, &own.authority),
    ];
    let maps = [
        (&root.headers, &own.headers),
        (&root.without_headers, &own.without_headers),
        (&root.query_params, &own.query_params),
    ];
    let mut pairs = parts
        .into_iter()
        .filter_map(|(root, own)| root.as_ref().zip(own.as_ref()));
    let in_maps = |(root, own): (&BTreeMap<String, StringMatch>, &BTreeMap<String, StringMatch>)| {
        own.iter()
            .any(|(name, text)| root.get(name).is_some_and(|outer| !leaves_room(outer, text)))
    };
    pairs.any(|(root, own)| !leaves_room(root, own))
        || maps.into_iter().any(in_maps)
        || root.ignore_uri_case != own.ignore_uri_case
        || differ(&root.port, &own.port)
        || differ(&root.source_namespace, &own.source_namespace)
        || own
            .source_labels
            .iter()
            .any(|(label, value)| root.source_labels.get(label).is_some_and(|outer| outer != value))
        || !root.gateways.is_empty()
            && own
                .gateways
                .iter()
                .any(|gateway| !root.gateways.contains(gateway))
}

fn differ<T: PartialEq>(root: &Option<T>, own: &Option<T>) -> bool {
    root.is_some() && own.is_some() && root != own
}

/// Whether all that the delegate's condition holds for is among what the root's holds for.
fn leaves_room(root: &StringMatch, own: &StringMatch) -> bool {
    let begins =
        |text: &Option<String>, prefix: &str| text.as_ref().is_some_and(|text| text.starts_with(prefix));
    match (&root.exact, &root.prefix) {
        _ if root.regex.is_some() || own.regex.is_some() => false,
        (Some(exact), _) => own.exact.as_ref() == Some(exact),
        (None, Some(prefix)) => begins(&own.exact, prefix) || begins(&own.prefix, prefix),
        // Presence, in which every condition on the value has room.
        (None, None) => true,
    }
}
