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
mod tests {
    use super::*;
    use mesh::locality_policy::Distribute;

    fn locality(text: &str) -> mesh::Locality {
        let mut parts = text.split('/').map(str::to_owned);
        let mut next = || parts.next().unwrap_or_default();
        mesh::Locality {
            region: next(),
            zone: next(),
            subzone: next(),
        }
    }

    /// "region/zone/subzone node label=value", with "-" before it for one that terminates.
    fn described(text: &str) -> Described {
        let terminating = text.starts_with('-');
        let mut words = text.trim_start_matches('-').split(' ');
        let mut one = Described::at(([10, 0, 0, 1], 80).into());
        one.locality = locality(words.next().unwrap());
        one.node = words.next().unwrap_or_default().to_owned();
        one.labels = words
            .filter_map(|label| label.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        one.terminating = terminating;
        one
    }

    fn place() -> Place {
        Place {
            locality: locality("eu/a/1"),
            labels: [("app".to_owned(), "x".to_owned())].into(),
            node: "n1".to_owned(),
        }
    }

    /// "0 2 | 1": the levels; "70:0 2 + 30:1": groups by weight.
    fn render(levels: &[Level]) -> String {
        let group = |group: &Group, only: bool| {
            let members: Vec<_> = group.members.iter().map(ToString::to_string).collect();
            match only {
                true => members.join(" "),
                false => format!("{}:{}", group.weight, members.join(" ")),
            }
        };
        let level = |level: &Level| {
            let groups: Vec<_> = level.iter().map(|one| group(one, level.len() == 1)).collect();
            groups.join(" + ")
        };
        levels.iter().map(level).collect::<Vec<_>>().join(" | ")
    }

    #[test]
    fn levels_and_groups() {
        let plain = mesh::TrafficPolicy::default;
        let outlier = |locality: mesh::LocalityPolicy| mesh::TrafficPolicy {
            locality: Some(locality),
            outlier_detection: Some(mesh::OutlierDetection::default()),
            ..Default::default()
        };
        let prefer = |prefer: Prefer| mesh::TrafficPolicy {
            locality: Some(mesh::LocalityPolicy {
                prefer: prefer.into(),
                ..Default::default()
            }),
            ..Default::default()
        };
        let failover = |from: &str, to: &str| {
            outlier(mesh::LocalityPolicy {
                failover: vec![Failover {
                    from: from.into(),
                    to: to.into(),
                }],
                ..Default::default()
            })
        };
        let priority = |labels: &[&str]| {
            outlier(mesh::LocalityPolicy {
                failover_priority: labels.iter().map(ToString::to_string).collect(),
                ..Default::default()
            })
        };
        let distribute = |from: &str, to: &[(&str, u32)]| mesh::TrafficPolicy {
            locality: Some(mesh::LocalityPolicy {
                distribute: vec![Distribute {
                    from: from.into(),
                    to: to.iter().map(|(to, share)| ((*to).to_owned(), *share)).collect(),
                }],
                ..Default::default()
            }),
            ..Default::default()
        };
        let own_node = mesh::TrafficPolicy {
            own_node_only: true,
            ..Default::default()
        };
        let four = &["eu/a/1", "eu/a/2", "eu/b/1", "us/c/1", "as/d/1"][..];
        let rows = [
            ("all are alike", plain(), four, "0 1 2 3 4"),
            ("no endpoints", plain(), &[], ""),
            ("those that end are left out", plain(), &["eu", "-eu"], "0"),
            ("unless all of them end", plain(), &["-eu", "-eu"], "0 1"),
            (
                "without outlier detection nothing fails over",
                mesh::TrafficPolicy {
                    locality: Some(mesh::LocalityPolicy::default()),
                    ..Default::default()
                },
                four,
                "0 1 2 3 4",
            ),
            (
                "subzone, zone, region, others",
                outlier(mesh::LocalityPolicy::default()),
                four,
                "0 | 1 | 2 | 3 4",
            ),
            (
                "a failover's region before others",
                failover("eu", "as"),
                four,
                "0 | 1 | 2 | 4 | 3",
            ),
            (
                "a failover for another region",
                failover("us", "as"),
                four,
                "0 | 1 | 2 | 3 4",
            ),
            (
                "labels in their order",
                priority(&["topology.kubernetes.io/region", "app"]),
                &["us/c n app=x", "eu/a n app=y", "eu/b n app=x", "eu/a"],
                "2 | 1 3 | 0",
            ),
            (
                "labels with a value of their own",
                priority(&["version=v1", "kubernetes.io/hostname"]),
                &["eu n1 version=v1", "eu n2 version=v1", "eu n1 version=v2"],
                "0 | 1 | 2",
            ),
            (
                "shares of localities",
                distribute("eu/a/*", &[("eu/a/*", 70), ("eu/b/*", 20), ("us/*", 10)]),
                four,
                "70:0 1 + 20:2 + 10:3",
            ),
            (
                "the most specific share",
                distribute("eu", &[("eu/*", 50), ("eu/a/2", 50)]),
                four,
                "50:1 + 50:0 2",
            ),
            (
                "shares for elsewhere",
                distribute("us", &[("us", 100)]),
                four,
                "0 1 2 3 4",
            ),
            ("shares of nothing", distribute("eu", &[("af", 100)]), four, ""),
            (
                "the same zone first",
                prefer(Prefer::SameZone),
                four,
                "0 1 | 2 3 4",
            ),
            (
                "the same node, then the same zone",
                prefer(Prefer::SameNode),
                &["eu/a n2", "eu/a n1", "eu/b n3", "eu/b"],
                "1 | 0 | 2 3",
            ),
            (
                "the own node alone",
                own_node.clone(),
                &["eu n1", "eu n2", "eu"],
                "0",
            ),
            ("nothing on the own node", own_node.clone(), &["eu n2"], ""),
            ("ending on the own node", own_node, &["-eu n1", "eu n2"], "0"),
        ];
        for (why, policy, endpoints, expected) in rows {
            let all: Vec<_> = endpoints.iter().map(|one| described(one)).collect();
            assert_eq!(render(&arrange(&policy, &place(), &all)), expected, "{why}");
        }
    }
}
