//! What becomes of subsets.

use super::*;

#[test]
fn destination_rules() {
    let host = "helloworld.default.svc.cluster.local";
    let to = |subset: &str| {
        vs(
            "default",
            "a",
            &format!(
                "{{hosts: [helloworld], http: [{{route: [{{destination: {{host: helloworld, subset: {subset}}}}}]}}]}}"
            ),
        )
    };
    let policy = |lb: &str| format!("trafficPolicy: {{loadBalancer: {{simple: {lb}}}}}");
    let rows = [
        (
            "subsets of several rules are put together",
            to("v9")
                + &dr(
                    "default",
                    "z",
                    "{host: helloworld, subsets: [{name: v9, labels: {a.b/c: d, x: 'y'}}]}",
                ),
            "default",
            "helloworld.default:5000/a.b/c=d,x=y*1",
        ),
        (
            "a subset without labels is everything",
            to("all") + &dr("default", "z", "{host: helloworld, subsets: [{name: all}]}"),
            "default",
            "helloworld.default:5000*1",
        ),
        (
            "the client's namespace comes first, and alone",
            to("v1")
                + &dr(
                    "other",
                    "z",
                    &format!("{{host: {host}, subsets: [{{name: v2}}]}}"),
                ),
            "other",
            "503(subset v1 of helloworld.default is in no DestinationRule)*1",
        ),
        (
            "a third namespace says nothing",
            to("v1") + &dr("third", "z", &format!("{{host: {host}, {}}}", policy("RANDOM"))),
            "other",
            "helloworld.default:5000/version=v1*1",
        ),
        (
            "the host's policy",
            dr(
                "default",
                "a",
                &format!("{{host: helloworld, {}}}", policy("ROUND_ROBIN")),
            ),
            "default",
            "helloworld.default:5000*1 in turn",
        ),
        (
            "the subset's before the host's",
            to("r")
                + &dr(
                    "default",
                    "a",
                    &format!(
                        "{{host: helloworld, {}, subsets: [{{name: r, {}}}]}}",
                        policy("ROUND_ROBIN"),
                        policy("RANDOM")
                    ),
                ),
            "default",
            "helloworld.default:5000*1 at random",
        ),
        (
            "a rule for some clients only is none",
            dr(
                "default",
                "a",
                &format!(
                    "{{host: helloworld, workloadSelector: {{matchLabels: {{a: b}}}}, {}}}",
                    policy("RANDOM")
                ),
            ),
            "default",
            "helloworld.default:5000*1",
        ),
        (
            "wildcards",
            dr(
                "other",
                "a",
                &format!("{{host: '*.svc.cluster.local', {}}}", policy("RANDOM")),
            ),
            "other",
            "helloworld.default:5000*1 at random",
        ),
    ];
    for (why, rules, namespace, expected) in rows {
        let seen = told(&world(&rules), &client(namespace, ""), "10.0.0.1:5000");
        assert_eq!(seen.split_once(" -> ").unwrap().1, expected, "{why}");
    }
}
