//! What VirtualServices of one namespace mean to its clients.

use super::*;

/// Rules, the client's labels, and what it is told of helloworld:5000 after the host.
#[test]
fn virtual_services_of_one_namespace() {
    let http = |rules: &str| {
        vs(
            "default",
            "a",
            &format!("{{hosts: [helloworld], http: [{rules}]}}"),
        )
    };
    let rows: Vec<(&str, String, &str, &str)> = vec![
        (
            "sourceLabels select the client",
            http(&format!("{{match: [{{sourceLabels: {{app: curl}}}}], {V1}}}")),
            "app=curl tier=x",
            "VirtualService default/a http[0] -> helloworld.default:5000/version=v1*1",
        ),
        (
            "no route left for a client: as if there were no VirtualService",
            http(&format!("{{match: [{{sourceLabels: {{app: curl}}}}], {V1}}}")),
            "app=curl1",
            "default -> helloworld.default:5000*1",
        ),
        (
            "all labels are needed",
            http(&format!(
                "{{match: [{{sourceLabels: {{app: curl, tier: y}}}}], {V1}}}"
            )),
            "app=curl tier=x",
            "default -> helloworld.default:5000*1",
        ),
        (
            "conditions are kept in order, and what comes after a catch-all is dropped",
            http(&format!(
                "{{match: [{{uri: {{exact: /a}}, headers: {{X-B: {{prefix: b}}, c: {{}}}}}}, {{uri: {{regex: '/r.*'}}}}], {V1}}}, {{{V1}}}, {{match: [{{uri: {{exact: /never}}}}], {V1}}}"
            )),
            "",
            "VirtualService default/a http[0] [uri=/a and x-b^b and cpresent or uri~/r.*] -> helloworld.default:5000/version=v1*1 | VirtualService default/a http[1] -> helloworld.default:5000/version=v1*1",
        ),
        (
            "a match for every path is a catch-all",
            http(&format!(
                "{{match: [{{uri: {{exact: /x}}}}, {{uri: {{prefix: /}}}}], {V1}}}, {{{V1}}}"
            )),
            "",
            "VirtualService default/a http[0] -> helloworld.default:5000/version=v1*1",
        ),
        (
            "weights, of which 0 is dropped",
            http(
                "{route: [{destination: {host: helloworld, subset: v1}, weight: 90}, {destination: {host: helloworld, subset: v2}, weight: 10}, {destination: {host: single}, weight: 0}]}",
            ),
            "",
            "VirtualService default/a http[0] -> helloworld.default:5000/version=v1*90 + helloworld.default:5000/version=v2*10",
        ),
        (
            "one destination has everything, whatever its weight",
            http("{route: [{destination: {host: single}, weight: 0}]}"),
            "",
            "VirtualService default/a http[0] -> single.default:80*1",
        ),
        (
            "several without weights",
            http("{route: [{destination: {host: single}}, {destination: {host: helloworld}}]}"),
            "",
            "VirtualService default/a http[0] -> 503(VirtualService default/a http[0] has several destinations and no weight above 0)*0",
        ),
        (
            "no destination",
            http("{timeout: 1s}"),
            "",
            "VirtualService default/a http[0] -> 503(VirtualService default/a http[0] has no route with a destination)*0",
        ),
        (
            "ports: the only one, the given one, the dialled one",
            http(
                "{match: [{uri: {exact: /1}}], route: [{destination: {host: single}}]}, {match: [{uri: {exact: /2}}], route: [{destination: {host: helloworld, port: {number: 7000}}}]}, {route: [{destination: {host: helloworld}}]}",
            ),
            "",
            "VirtualService default/a http[0] [uri=/1] -> single.default:80*1 | VirtualService default/a http[1] [uri=/2] -> helloworld.default:7000*1 | VirtualService default/a http[2] -> helloworld.default:5000*1",
        ),
        (
            "what is missing is said, and the other routes go on",
            http(&format!(
                "{{match: [{{uri: {{exact: /1}}}}], route: [{{destination: {{host: nobody}}}}]}}, {{match: [{{uri: {{exact: /2}}}}], route: [{{destination: {{host: helloworld, subset: v3}}}}]}}, {{match: [{{uri: {{exact: /3}}}}], route: [{{destination: {{host: single, port: {{number: 81}}}}}}]}}, {{{V1}}}"
            )),
            "",
            "VirtualService default/a http[0] [uri=/1] -> 503(there is no service nobody.default)*1 | VirtualService default/a http[1] [uri=/2] -> 503(subset v3 of helloworld.default is in no DestinationRule)*1 | VirtualService default/a http[2] [uri=/3] -> 503(service single.default has no port 81)*1 | VirtualService default/a http[3] -> helloworld.default:5000/version=v1*1",
        ),
        (
            "a condition that is not known never holds",
            http(&format!("{{match: [{{methods: {{exact: GET}}}}], {V1}}}")),
            "",
            "VirtualService default/a http[0] [urinever] -> helloworld.default:5000/version=v1*1",
        ),
        (
            "nor does a regular expression that does not compile, a header that is none, or an empty uri",
            http(&format!(
                "{{match: [{{uri: {{regex: '('}}}}, {{headers: {{'a b': {{exact: x}}}}}}, {{uri: {{}}}}, {{uri: {{exact: /ok}}}}], {V1}}}"
            )),
            "",
            "VirtualService default/a http[0] [urinever or urinever or urinever or uri=/ok] -> helloworld.default:5000/version=v1*1",
        ),
        (
            "port and sourceNamespace are settled here",
            http(&format!(
                "{{match: [{{port: 7000}}], {V1}}}, {{match: [{{sourceNamespace: other}}], {V1}}}, {{match: [{{port: 5000, sourceNamespace: default, uri: {{exact: /}}}}], {V1}}}"
            )),
            "",
            "VirtualService default/a http[2] [uri=/] -> helloworld.default:5000/version=v1*1",
        ),
        (
            "gateways of a match replace its source conditions",
            http(&format!(
                "{{match: [{{gateways: [edge]}}], {V1}}}, {{match: [{{gateways: [mesh], sourceLabels: {{app: x}}}}], {V1}}}"
            )),
            "app=y",
            "VirtualService default/a http[1] -> helloworld.default:5000/version=v1*1",
        ),
        (
            "for gateways alone",
            vs(
                "default",
                "a",
                &format!("{{hosts: [helloworld], gateways: [edge], http: [{{{V1}}}]}}"),
            ),
            "",
            "default -> helloworld.default:5000*1",
        ),
        (
            "for gateways and the mesh",
            vs(
                "default",
                "a",
                &format!("{{hosts: [helloworld], gateways: [edge, mesh], http: [{{{V1}}}]}}"),
            ),
            "",
            "VirtualService default/a http[0] -> helloworld.default:5000/version=v1*1",
        ),
        (
            "a dotted name is what it says, and this is no service",
            vs(
                "default",
                "a",
                &format!("{{hosts: [helloworld.default], http: [{{{V1}}}]}}"),
            ),
            "",
            "default -> helloworld.default:5000*1",
        ),
        (
            "case does not matter",
            vs(
                "default",
                "a",
                &format!("{{hosts: [HelloWorld.default.svc.cluster.local], http: [{{{V1}}}]}}"),
            ),
            "",
            "VirtualService default/a http[0] -> helloworld.default:5000/version=v1*1",
        ),
        (
            "no http at all",
            vs("default", "a", "{hosts: [helloworld]}"),
            "",
            "default -> helloworld.default:5000*1",
        ),
    ];
    for (why, rules, labels, expected) in rows {
        let seen = told(&world(&rules), &client("default", labels), "10.0.0.1:5000");
        assert_eq!(seen, format!("helloworld.default:5000 | {expected}"), "{why}");
    }
}
