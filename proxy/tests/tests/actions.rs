//! What a route does beside forwarding: headers, rewrites, redirects, answers, faults, CORS.

use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use outrigger_proxy::protocol::mesh::http_route::Instead;
use outrigger_proxy::protocol::mesh::string_match::Kind;
use outrigger_proxy::protocol::mesh::{
    Backend, Cors, DirectResponse, Fault, HeaderOperations, HeaderValue, Headers, HttpRoute, Redirect,
    Rewrite, StringMatch,
};

use super::client::{Answer, Body, empty, full, http2, request, request2};
use super::published::{http, path, route, to};
use super::rig::Rig;
use super::{client, server};

/// Answers with the target and the headers as they came, a line each.
async fn mirror(request: Request<Incoming>) -> Response<Body> {
    let mut lines = vec![format!("{} {}", request.method(), request.uri())];
    let line = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        format!("{name}: {}", String::from_utf8_lossy(value.as_bytes()))
    };
    lines.extend(request.headers().iter().map(line));
    Response::builder()
        .header("x-app", "1")
        .body(full(lines.join("\n")))
        .unwrap()
}

/// A rig whose one route goes to such a server.
async fn rig(change: impl FnOnce(&mut HttpRoute)) -> Rig {
    let rig = Rig::start().await;
    let mut one = route("one", vec![path(Kind::Prefix("/api".into()))], vec![to("all", 1)]);
    change(&mut one);
    rig.service(&http(vec![one])).await;
    rig.endpoints("all", &[server::http(mirror).await]).await;
    rig
}

async fn ask(rig: &Rig, method: Method, target: &str, headers: &[(&str, &str)]) -> Answer {
    let mut asked = request(method, target);
    for (name, value) in headers {
        asked = asked.header(*name, *value);
    }
    rig.client().await.ask(asked.body(empty()).unwrap()).await
}

fn operations(set: &[(&str, &str)], add: &[(&str, &str)], remove: &[&str]) -> HeaderOperations {
    let value = |(name, value): &(&str, &str)| HeaderValue {
        name: (*name).into(),
        value: (*value).into(),
    };
    HeaderOperations {
        set: set.iter().map(value).collect(),
        add: add.iter().map(value).collect(),
        remove: remove.iter().map(ToString::to_string).collect(),
    }
}

#[tokio::test]
async fn headers_are_changed_by_destination_and_route_on_both_ways() {
    let rig = rig(|route| {
        route.headers = Some(Headers {
            request: Some(operations(
                &[("x-by", "route")],
                &[("x-added", "2")],
                &["x-secret"],
            )),
            response: Some(operations(&[("x-by", "route")], &[], &["x-app"])),
        });
        route.backends = vec![Backend {
            headers: Some(Headers {
                request: Some(operations(&[("x-by", "destination"), ("x-to", "1")], &[], &[])),
                response: Some(operations(&[("x-from", "1")], &[], &[])),
            }),
            ..to("all", 1)
        }];
    })
    .await;
    let answer = ask(
        &rig,
        Method::GET,
        "/api",
        &[("x-secret", "s"), ("x-added", "1"), ("x-by", "client")],
    )
    .await;
    for line in ["x-by: route", "x-to: 1", "x-added: 1\nx-added: 2"] {
        assert!(answer.body.contains(line), "{line}: {}", answer.body);
    }
    assert!(!answer.body.contains("x-secret"), "{}", answer.body);
    assert_eq!(answer.headers["x-by"], "route");
    assert_eq!(answer.headers["x-from"], "1");
    assert!(!answer.headers.contains_key("x-app"));
}

#[tokio::test]
async fn path_and_authority_are_rewritten_and_the_rest_stays() {
    let rig = rig(|route| {
        route.rewrite = Some(Rewrite {
            uri: "/v2".into(),
            authority: "other.example".into(),
            ..Default::default()
        });
    })
    .await;
    let answer = ask(&rig, Method::GET, "/api/a%2Fb?c=%20", &[]).await;
    assert!(
        answer.body.starts_with("GET /v2/a%2Fb?c=%20\n"),
        "{}",
        answer.body
    );
    for line in [
        "host: other.example",
        "x-envoy-original-path: /api/a%2Fb?c=%20",
        "x-envoy-original-host: helloworld:5000",
    ] {
        assert!(answer.body.contains(line), "{line}: {}", answer.body);
    }
    let mut client = http2(rig.proxy.outbound).await;
    let asked = request2(Method::GET, "/api/x").body(empty()).unwrap();
    let answer = client::answer(client.send_request(asked).await.unwrap()).await;
    let first = "GET http://other.example/v2/x\n";
    assert!(answer.body.starts_with(first), "{}", answer.body);
}

#[tokio::test]
async fn a_path_is_matched_in_one_form_and_forwarded_as_it_came() {
    let rig = rig(|_| ()).await;
    for target in ["/api/../api/x", "/%61pi//x", "/x/%2e%2e/api"] {
        let answer = ask(&rig, Method::GET, target, &[]).await;
        let first = format!("GET {target}\n");
        assert!(answer.body.starts_with(&first), "{}", answer.body);
    }
    let answer = ask(&rig, Method::GET, "/api/../admin", &[]).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_redirect_is_answered_here() {
    let rig = rig(|route| {
        route.instead = Some(Instead::Redirect(Redirect {
            code: 308,
            uri: "/new".into(),
            authority: "b.example".into(),
            ..Default::default()
        }));
    })
    .await;
    let answer = ask(&rig, Method::GET, "/api?q=1", &[]).await;
    assert_eq!(answer.status, StatusCode::PERMANENT_REDIRECT);
    assert_eq!(answer.headers["location"], "http://b.example/new?q=1");
}

#[tokio::test]
async fn a_rule_may_have_the_answer() {
    let rig = rig(|route| {
        route.instead = Some(Instead::DirectResponse(DirectResponse {
            status: 418,
            body: b"teapot".into(),
        }));
        route.headers = Some(Headers {
            request: None,
            response: Some(operations(&[("content-type", "text/tea")], &[], &[])),
        });
        route.backends.clear();
    })
    .await;
    let answer = ask(&rig, Method::POST, "/api", &[]).await;
    assert_eq!(answer.status, StatusCode::IM_A_TEAPOT);
    assert_eq!(
        (answer.body.as_str(), &answer.headers["content-type"]),
        ("teapot", &"text/tea".parse().unwrap())
    );
}

#[tokio::test]
async fn faults_end_requests_in_the_clients_terms() {
    let aborting = |abort_status, abort_grpc_status_plus_one| Fault {
        abort_millionths: 1_000_000,
        abort_status,
        abort_grpc_status_plus_one,
        ..Default::default()
    };
    for (fault, grpc, status, grpc_status) in [
        (aborting(503, 0), false, 503, None),
        (aborting(404, 0), true, 200, Some("12")),
        (aborting(0, 15), true, 200, Some("14")),
        (aborting(0, 15), false, 503, None),
    ] {
        let rig = rig(|route| route.fault = Some(fault)).await;
        let kind: &[_] = if grpc {
            &[("content-type", "application/grpc")]
        } else {
            &[]
        };
        let answer = ask(&rig, Method::POST, "/api", kind).await;
        assert_eq!(answer.status.as_u16(), status, "{answer:?}");
        let code = answer
            .headers
            .get("grpc-status")
            .map(|code| code.to_str().unwrap());
        assert_eq!(code, grpc_status, "{answer:?}");
        if !grpc {
            assert_eq!(answer.body, "fault filter abort");
        }
    }
}

#[tokio::test]
async fn a_share_of_the_requests_is_delayed_and_all_are_served() {
    let rig = rig(|route| {
        route.fault = Some(Fault {
            delay_millionths: 500_000,
            delay_ms: 20,
            ..Default::default()
        });
    })
    .await;
    let mut client = rig.client().await;
    let (mut slow, begun) = (0, std::time::Instant::now());
    for _ in 0..40 {
        let one = std::time::Instant::now();
        assert_eq!(client.get("/api").await.status, StatusCode::OK);
        slow += usize::from(one.elapsed().as_millis() >= 20);
    }
    // Of 40 halves, fewer than 4 are delayed once in 10^8; a busy machine only makes more of them slow.
    assert!(slow >= 4 && begun.elapsed().as_millis() >= 80, "{slow} were slow");
}

#[tokio::test]
async fn browsers_are_answered_for_the_application() {
    let rig = rig(|route| {
        let kind = Some(Kind::Exact("https://a.example".into()));
        route.cors = Some(Cors {
            allow_origins: vec![StringMatch { kind }],
            allow_methods: vec!["GET".into(), "PUT".into()],
            max_age_seconds: Some(60),
            forward_unmatched_preflights: true,
            ..Default::default()
        });
    })
    .await;
    let asks = ("access-control-request-method", "PUT");
    let (ours, other) = (("origin", "https://a.example"), ("origin", "https://b.example"));
    let preflight = ask(&rig, Method::OPTIONS, "/api", &[ours, asks]).await;
    assert_eq!((preflight.status, preflight.body.as_str()), (StatusCode::OK, ""));
    assert_eq!(preflight.headers["access-control-allow-methods"], "GET,PUT");
    assert_eq!(preflight.headers["access-control-max-age"], "60");
    assert!(!preflight.headers.contains_key("x-app"));
    let answer = ask(&rig, Method::GET, "/api", &[ours]).await;
    assert_eq!(answer.headers["x-app"], "1");
    assert_eq!(answer.headers["access-control-allow-origin"], "https://a.example");
    for (method, headers) in [
        (Method::OPTIONS, [other, asks]),
        (Method::GET, [other, ("accept", "*")]),
    ] {
        let answer = ask(&rig, method, "/api", &headers).await;
        assert_eq!(answer.headers["x-app"], "1", "it goes on to the application");
        assert!(!answer.headers.contains_key("access-control-allow-origin"));
    }
}

#[tokio::test]
async fn requests_are_named_and_say_how_they_came() {
    let rig = rig(|_| ()).await;
    let answer = ask(&rig, Method::GET, "/api", &[]).await;
    for line in [
        "x-request-id: ",
        "x-forwarded-proto: http",
        "x-envoy-attempt-count: 1",
    ] {
        assert!(answer.body.contains(line), "{line}: {}", answer.body);
    }
    assert!(answer.headers.contains_key("x-envoy-upstream-service-time"));
    let passed = [
        ("x-request-id", "mine"),
        ("x-forwarded-proto", "https"),
        (
            "traceparent",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ),
        ("b3", "80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1"),
        ("x-b3-traceid", "463ac35c9f6413ad48485a3953bb6124"),
    ];
    let answer = ask(&rig, Method::GET, "/api", &passed).await;
    for (name, value) in passed {
        let line = format!("{name}: {value}");
        assert_eq!(answer.body.matches(&line).count(), 1, "{line}: {}", answer.body);
    }
}
