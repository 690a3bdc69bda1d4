//! `outrigger explain request -f` as a user types it: what becomes of a request, by which rule, and why by no other.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// The exit code, and what is printed to stdout and stderr.
fn explain(files: &str, args: &str) -> (Option<i32>, String, String) {
    let files = Path::new(env!("CARGO_MANIFEST_DIR")).join(files);
    let output = Command::new(env!("CARGO_BIN_EXE_outrigger"))
        .args(["explain", "request", "-f"])
        .arg(files)
        .args(args.split(' '))
        .output()
        .expect("outrigger runs");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn check(files: &str, rows: &[(&str, i32, &[&str])]) {
    for (args, code, lines) in rows {
        let (seen, text, error) = explain(files, args);
        assert_eq!(seen, Some(*code), "{args}\n{text}{error}");
        for line in *lines {
            let is = |seen: &str| seen.split_whitespace().eq(line.split_whitespace());
            assert!(
                text.lines().any(is),
                "{args}: {line:?} is missing in\n{text}{error}"
            );
        }
        if *code == 1 {
            let why = text.lines().nth(1).expect("a second line").trim();
            assert_eq!(error, format!("error: the request {why}\n"), "{args}");
        }
    }
}

#[test]
fn the_walk_through() {
    check(
        "docs/walkthrough",
        &[
            (
                "--from curl-deploy --to http://helloworld:5000/hello",
                0,
                &[
                    "GET http://helloworld:5000/hello from Pod default/curl-deploy (app=curl)",
                    "is delivered by VirtualService default/helloworld http[0]",
                    "service: helloworld.default.svc.cluster.local:5000, HTTP",
                    "timeout: none",
                    "retries: 2, of what cannot have reached an application (the default)",
                    "127.9.0.3:5000 default/helloworld-v1-1",
                ],
            ),
            (
                "--from app=curl1 --to helloworld.default.svc.cluster.local:5000/hello",
                0,
                &[
                    "is delivered by no rule, to every endpoint",
                    "rule: default",
                    "100% helloworld.default.svc.cluster.local:5000, LEAST_REQUEST",
                    "127.9.0.3:5000 default/helloworld-v1-1",
                    "127.9.0.4:5000 default/helloworld-v2-1",
                    "VirtualService default/helloworld http[0] match[0]: sourceLabels app=curl: the client has app=curl1",
                ],
            ),
        ],
    );
}

#[test]
fn what_a_rule_does() {
    check(
        "tests/testdata/explain",
        &[
            (
                "--from web-1 --to http://reviews:9080/v2/x",
                0,
                &[
                    "is delivered by VirtualService default/reviews http[0]",
                    "match: uri prefix \"/v2\"",
                    "rewrites the path to /",
                    "timeout: 3s",
                    "retries: 4 on 5xx; each try has 1s",
                ],
            ),
            (
                "--from web-1 --to http://reviews:9080/ -H end-user:jason",
                0,
                &["match: header end-user exact \"jason\""],
            ),
            (
                "--from web-1 --to http://reviews:9080/old",
                0,
                &[
                    "is answered with 308 by VirtualService default/reviews http[1]",
                    "redirects with 308, path /new",
                ],
            ),
            (
                "--from web-1 --to http://reviews:9080/teapot -X POST",
                0,
                &[
                    "POST http://reviews:9080/teapot from Pod default/web-1 (app=web)",
                    "is answered with 418 by VirtualService default/reviews http[2]",
                    "answers itself: 418 with 15 bytes",
                ],
            ),
            (
                "--from web-1 --to http://reviews:9080/b",
                0,
                &[
                    "delays 10 % by 2s",
                    "copies:",
                    "127.9.0.3:9080 default/reviews-v2-1",
                ],
            ),
            (
                "--from web-1 --to tcp://db.data:5432",
                0,
                &[
                    "service: db.data.svc.cluster.local:5432, TCP",
                    "is delivered by no rule, to every endpoint",
                ],
            ),
        ],
    );
}

#[test]
fn why_no_other_rule_has_it() {
    check(
        "tests/testdata/explain",
        &[(
            "--from app=web --to http://reviews:9080/b",
            0,
            &[
                "is delivered by VirtualService default/reviews http[6]",
                "VirtualService default/at-the-edge: gateways edge: it is not for the mesh",
                "VirtualService data/elsewhere: the host belongs to namespace default: it speaks only for clients of its own namespace",
                "VirtualService default/younger: VirtualService default/reviews comes before it, being older or for a more \
                 specific host, and has routes for this client",
                "VirtualService default/reviews http[5] match[0]: sourceLabels app=admin: the client has app=web",
                "VirtualService default/reviews http[0]: uri prefix \"/v2\": the path is \"/b\"",
                "VirtualService default/reviews http[0]: header end-user exact \"jason\": the request has none",
                "VirtualService default/reviews http[3]: uri exact \"/missing\": the path is \"/b\"",
            ],
        )],
    );
}

#[test]
fn what_would_be_refused_fails() {
    check(
        "tests/testdata/explain",
        &[
            (
                "--from web-1 --to http://reviews:9080/missing",
                1,
                &[
                    "is answered with 503: subset v3 of reviews.default.svc.cluster.local is in no DestinationRule",
                ],
            ),
            (
                "--from web-1 --to http://reviews:9080/half",
                1,
                &[
                    "is answered with 503 in 25 % of all cases: ratings.default.svc.cluster.local:9080 has no ready endpoint",
                ],
            ),
            (
                "--from web-1 --to http://reviews:9080/nothing",
                1,
                &["is answered with 404: no rule for reviews.default.svc.cluster.local holds for it"],
            ),
            (
                "--from web-1 --to http://reviewz:9080/",
                1,
                &["cannot be sent: there is no service reviewz for namespace default"],
            ),
            (
                "--from web-1 --to http://reviews:80/",
                1,
                &["is not delivered: service reviews.default.svc.cluster.local has no port 80, only 9080"],
            ),
            (
                "--from web-1 --to http://example.com/",
                0,
                &["passes through as it is: it is for nothing in the mesh"],
            ),
            (
                "--from app=closed --to http://example.com/",
                1,
                &[
                    "is answered with 502: it is for nothing in the mesh, and the outboundTrafficPolicy of this client is REGISTRY_ONLY",
                ],
            ),
            (
                "--from app=closed --to tcp://192.0.2.1:22",
                1,
                &[
                    "is closed: it is for nothing in the mesh, and the outboundTrafficPolicy of this client is REGISTRY_ONLY",
                ],
            ),
            (
                "--from web-1 --to https://secure:443/",
                0,
                &[
                    "is delivered by VirtualService default/secure tls[1]",
                    "100% secure.default.svc.cluster.local:443, LEAST_REQUEST",
                    "VirtualService default/secure tls[0]: sniHosts one.example.com, *.two.example.com: the server name is \"secure\"",
                ],
            ),
            (
                "--from web-1 --to tcp://secure:443",
                0,
                &[
                    "is delivered by no rule, to every endpoint",
                    "VirtualService default/secure tls[0]: sniHosts one.example.com, *.two.example.com: there is no server name",
                    "VirtualService default/secure tls[1]: sniHosts secure: there is no server name",
                ],
            ),
            (
                "--from web-1 --to https://reviews:9080/",
                1,
                &["is not understood: port 9080 is declared as HTTP"],
            ),
        ],
    );
}

#[test]
fn for_scripts() {
    let (code, text, error) = explain(
        "tests/testdata/explain",
        "--from web-1 --to http://reviews:9080/half -o json",
    );
    assert_eq!(code, Some(1), "{error}");
    let seen: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(seen["delivered"], false);
    assert_eq!(seen["rule"], "VirtualService default/reviews http[4]");
    assert_eq!(seen["destinations"][0]["percent"], 75.0);
    assert_eq!(seen["destinations"][0]["loadBalancer"], "ROUND_ROBIN");
    assert_eq!(
        seen["destinations"][0]["endpoints"][0]["pod"],
        "default/reviews-v1-1"
    );
    assert!(
        seen["passedOver"]
            .as_array()
            .is_some_and(|passed| passed.len() > 4),
        "{text}"
    );
    let problems = seen["problems"].as_array().expect("problems").iter();
    let fields: Vec<_> = problems
        .filter(|one| one["object"] == "VirtualService default/reviews")
        .map(|one| one["field"].as_str().expect("a field"))
        .collect();
    assert_eq!(fields, ["spec.http[3].route[0].destination"]);
}

#[test]
fn mistakes_of_the_user() {
    for (args, code, expected) in [
        (
            "--from web-1 --to ftp://a",
            2,
            "the scheme must be http, https or tcp",
        ),
        (
            "--from web-1 --to http://reviews:9080/ -H x",
            2,
            "give 'NAME: VALUE'",
        ),
        (
            "--from app=web,b --to http://reviews:9080/",
            2,
            "\"b\" is not a label",
        ),
        (
            "--from wep --to http://reviews:9080/",
            1,
            "there is no pod default/wep",
        ),
    ] {
        let (seen, text, error) = explain("tests/testdata/explain", args);
        assert_eq!(seen, Some(code), "{args}: {error}");
        assert!(error.contains(expected) && text.is_empty(), "{args}: {error}");
    }
}
