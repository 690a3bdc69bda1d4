//! Endpoints and policies in, levels and groups out.

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
