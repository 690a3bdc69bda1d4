//! Which endpoints come first for where the pod runs: pure. Istio's localityLbSetting, Kubernetes' trafficDistribution
//! and internalTrafficPolicy. Belongs to `choice`.

use std::collections::BTreeMap;

use super::endpoint::Described;
use crate::protocol::mesh;
use mesh::locality_policy::{Failover, Prefer};

/// Where the proxy's own pod runs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Place {
    /// Of its node.
    pub locality: mesh::Locality,
    /// Of the pod.
    pub labels: BTreeMap<String, String>,
    /// Empty if it is not known.
    pub node: String,
}

/// A level is used as far as those before it are not healthy; the groups of a level share it by weight.
pub(super) type Level = Vec<Group>;

/// Endpoints that are alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    /// Relative to the level's other groups.
    pub(super) weight: u32,
    /// Their places in the list of all.
    pub(super) members: Vec<usize>,
}

/// The levels in their order, none of them empty.
pub(super) fn arrange(policy: &mesh::TrafficPolicy, place: &Place, all: &[Described]) -> Vec<Level> {
    let near = |one: &Described| !policy.own_node_only || (one.node == place.node && !one.node.is_empty());
    let usable: Vec<usize> = (0..all.len()).filter(|at| near(&all[*at])).collect();
    // As kube-proxy does: what is about to end is better than nothing.
    let ready: Vec<usize> = usable
        .iter()
        .copied()
        .filter(|at| !all[*at].terminating)
        .collect();
    let usable = if ready.is_empty() { usable } else { ready };
    let rank: Box<dyn Fn(&Described) -> usize> = match &policy.locality {
        None => Box::new(|_| 0),
        Some(locality) => {
            if let Some(shares) = distribute(locality, place) {
                return spread(&shares, &usable, all);
            }
            match locality.prefer() {
                Prefer::SameZone => Box::new(|one| usize::from(!same_zone(place, one))),
                Prefer::SameNode => Box::new(|one| match one.node == place.node && !one.node.is_empty() {
                    true => 0,
                    false => 1 + usize::from(!same_zone(place, one)),
                }),
                // Without outlier detection nothing would ever fail over, so that Istio leaves all alike.
                Prefer::NoPreference if policy.outlier_detection.is_none() => Box::new(|_| 0),
                Prefer::NoPreference if !locality.failover_priority.is_empty() => {
                    Box::new(|one| by_labels(&locality.failover_priority, place, one))
                }
                Prefer::NoPreference => Box::new(|one| by_locality(&locality.failover, place, one)),
            }
        }
    };
    let mut levels: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for at in usable {
        levels.entry(rank(&all[at])).or_default().push(at);
    }
    let level = |members| vec![Group { weight: 1, members }];
    levels.into_values().map(level).collect()
}

fn same_zone(place: &Place, one: &Described) -> bool {
    !place.locality.zone.is_empty()
        && one.locality.zone == place.locality.zone
        && one.locality.region == place.locality.region
}

/// 0 for the same subzone, then zone, then region; then the region that a failover names, and last all others.
fn by_locality(failover: &[Failover], place: &Place, one: &Described) -> usize {
    let (own, other) = (&place.locality, &one.locality);
    if own.region == other.region {
        return match (own.zone == other.zone, own.subzone == other.subzone) {
            (true, true) => 0,
            (true, false) => 1,
            (false, _) => 2,
        };
    }
    match failover.iter().find(|failover| failover.from == own.region) {
        Some(failover) if failover.to != other.region => 4,
        _ => 3,
    }
}

/// How many of the labels are not shared, from the first that is not.
fn by_labels(labels: &[String], place: &Place, one: &Described) -> usize {
    let shared = labels.iter().take_while(|label| match label.split_once('=') {
        Some((name, value)) => text(name, &one.labels, &one.locality, &one.node) == Some(value),
        None => {
            let own = text(label, &place.labels, &place.locality, &place.node);
            own.is_some() && own == text(label, &one.labels, &one.locality, &one.node)
        }
    });
    labels.len() - shared.count()
}

/// The value of a label; those of topology are the node's.
fn text<'a>(
    label: &str,
    labels: &'a BTreeMap<String, String>,
    locality: &'a mesh::Locality,
    node: &'a str,
) -> Option<&'a str> {
    let value = match label {
        "topology.kubernetes.io/region" => &locality.region,
        "topology.kubernetes.io/zone" => &locality.zone,
        "topology.istio.io/subzone" => &locality.subzone,
        "kubernetes.io/hostname" => node,
        _ => labels.get(label).map_or("", String::as_str),
    };
    (!value.is_empty()).then_some(value)
}

/// What `distribute` says for where the pod runs: localities and shares, the most specific first.
fn distribute<'a>(policy: &'a mesh::LocalityPolicy, place: &Place) -> Option<Vec<(&'a str, u32)>> {
    let rule = policy
        .distribute
        .iter()
        .find(|rule| within(&rule.from, &place.locality))?;
    let mut shares: Vec<_> = rule.to.iter().map(|(to, share)| (to.as_str(), *share)).collect();
    let parts = |to: &str| to.split('/').filter(|part| *part != "*").count();
    shares.sort_by(|(one, _), (other, _)| parts(other).cmp(&parts(one)).then(one.cmp(other)));
    Some(shares)
}

/// Whether a locality is one of those that "region/zone/subzone" means; what is left out or "*" is any.
fn within(pattern: &str, locality: &mesh::Locality) -> bool {
    pattern
        .split('/')
        .zip([&locality.region, &locality.zone, &locality.subzone])
        .all(|(wanted, is)| wanted == "*" || wanted == is)
}

/// One level, a group for each share; what is in none of them gets nothing.
fn spread(shares: &[(&str, u32)], usable: &[usize], all: &[Described]) -> Vec<Level> {
    let mut groups: Vec<_> = shares
        .iter()
        .map(|(_, weight)| Group {
            weight: *weight,
            members: Vec::new(),
        })
        .collect();
    for at in usable {
        let group = shares.iter().position(|(to, _)| within(to, &all[*at].locality));
        if let Some(group) = group {
            groups[group].members.push(*at);
        }
    }
    groups.retain(|group| group.weight > 0 && !group.members.is_empty());
    if groups.is_empty() {
        Vec::new()
    } else {
        vec![groups]
    }
}

#[cfg(test)]
mod tests;
