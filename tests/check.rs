//! `outrigger check` as scripts meet it: the exit code, what is printed where, and no colour in a pipe.

use std::process::Output;

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::process::Command;

/// An API server of a cluster without Outrigger.
async fn answer(request: Request) -> Response {
    let path = request.uri().path();
    let node = json!({"metadata": {"name": "node-1"}, "status": {"nodeInfo": {"kubeletVersion": "v1.34.4"}}});
    let answer = match (request.method(), path) {
        (&Method::GET, "/version") => json!({"gitVersion": "v1.34.4"}),
        (&Method::GET, "/api/v1/nodes") => json!({"metadata": {}, "items": [node]}),
        (&Method::GET, "/api/v1/namespaces" | "/api/v1/pods" | "/api/v1/configmaps") => {
            json!({"metadata": {}, "items": []})
        }
        (&Method::GET, path) if path.ends_with("/mutatingwebhookconfigurations") => {
            json!({"metadata": {}, "items": []})
        }
        (&Method::POST, path) if path.ends_with("/selfsubjectaccessreviews") => {
            json!({"status": {"allowed": true}})
        }
        _ => {
            let status = json!({"kind": "Status", "status": "Failure", "code": 404, "message": "not found"});
            return (StatusCode::NOT_FOUND, status.to_string()).into_response();
        }
    };
    answer.to_string().into_response()
}

async fn check(arguments: &[&str]) -> Output {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let server = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async { axum::serve(listener, Router::new().fallback(answer)).await });
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    });
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), config.to_string()).expect("a kubeconfig");
    Command::new(env!("CARGO_BIN_EXE_outrigger"))
        .arg("check")
        .args(arguments)
        .env("KUBECONFIG", file.path())
        .env_remove("OUTRIGGER_LOG")
        .output()
        .await
        .expect("the program runs")
}

#[tokio::test]
async fn a_cluster_that_is_ready_for_an_install_is_0() {
    let output = check(&["--pre"]).await;
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(
        text.starts_with("ok    kubernetes_version  Kubernetes v1.34.4\n"),
        "{text}"
    );
    assert!(!text.contains('\x1b'), "{text:?}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[tokio::test]
async fn what_is_wrong_is_1_and_listed_on_stdout() {
    let output = check(&["-o", "json"]).await;
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(output.status.code(), Some(1), "{report}");
    let failed = report["checks"].as_array().expect("checks").iter();
    let failed: Vec<_> = failed
        .filter(|check| check["level"] == "fail")
        .map(|check| check["check"].as_str().expect("a code"))
        .collect();
    let expected = [
        "settings",
        "custom_resources",
        "custom_resources",
        "custom_resources",
        "custom_resources",
        "custom_resources",
        "control_plane",
        "certificate_authority",
        "webhook_configuration",
        "webhook_answers",
    ];
    assert_eq!(failed, expected, "{report}");
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "error: 10 checks failed\n"
    );
}

#[tokio::test]
async fn a_wrong_command_line_is_2() {
    assert_eq!(check(&["--colour"]).await.status.code(), Some(2));
}
