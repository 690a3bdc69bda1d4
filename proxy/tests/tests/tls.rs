//! TLS from the proxy to an endpoint, as a DestinationRule's `tls` of mode SIMPLE says: whom it trusts, and what it says.

use std::io::Write;
use std::net::SocketAddr;

use http::{Method, Response, StatusCode};
use outrigger_proxy::protocol::mesh::client_tls::Mode;
use outrigger_proxy::protocol::mesh::{ClientTls, TrafficPolicy};
use tempfile::NamedTempFile;

use super::client::{Answer, answer, empty, full, http2, request2};
use super::published::{default_http, under};
use super::rig::Rig;
use super::server;

fn simple() -> ClientTls {
    ClientTls {
        mode: Mode::Simple.into(),
        sni: "somebody.else".into(),
        ..Default::default()
    }
}

/// A server with a certificate for these names, and the file with which it is trusted.
async fn server(names: &[&str]) -> (SocketAddr, NamedTempFile) {
    let mut parameters = rcgen::CertificateParams::default();
    for name in names {
        parameters.subject_alt_names.push(match name.contains("://") {
            true => rcgen::SanType::URI((*name).try_into().unwrap()),
            false => rcgen::SanType::DnsName((*name).try_into().unwrap()),
        });
    }
    let signing_key = rcgen::KeyPair::generate().unwrap();
    let cert = parameters.self_signed(&signing_key).unwrap();
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(cert.pem().as_bytes()).unwrap();
    let key = rcgen::CertifiedKey { cert, signing_key };
    let answer = |request: http::Request<hyper::body::Incoming>| async move {
        let scheme = request.uri().scheme_str().unwrap_or("none");
        Response::new(full(format!("{:?} {scheme}", request.version())))
    };
    let address = server::https_as(key, &["h2", "http/1.1"], answer).await;
    (address, file)
}

async fn rig(tls: ClientTls, address: SocketAddr) -> Rig {
    let rig = Rig::start().await;
    let policy = TrafficPolicy {
        tls: Some(tls),
        ..Default::default()
    };
    rig.service(&under(default_http("all"), policy)).await;
    rig.endpoints("all", &[address]).await;
    rig
}

async fn ask(tls: ClientTls, address: SocketAddr) -> Answer {
    rig(tls, address).await.client().await.get("/").await
}

#[tokio::test]
async fn who_is_trusted() {
    let id = "spiffe://cluster.local/ns/default/sa/reviews";
    let (address, file) = server(&["somebody.else", "*.wild.example", id]).await;
    let ca_file = file.path().to_str().unwrap().to_owned();
    let names = |names: &[&str]| names.iter().map(ToString::to_string).collect();
    let trusting = |subject_alt_names| ClientTls {
        ca_file: ca_file.clone(),
        subject_alt_names,
        ..simple()
    };
    for (why, tls, trusted) in [
        ("signed, and for the name", trusting(vec![]), true),
        (
            "for another name",
            ClientTls {
                sni: "another.example".into(),
                ..trusting(vec![])
            },
            false,
        ),
        (
            "a name of the list",
            trusting(names(&["x.example", "a.wild.example"])),
            true,
        ),
        ("an identity of the list", trusting(names(&[id])), true),
        (
            "another identity",
            trusting(names(&["spiffe://cluster.local/ns/default/sa/other"])),
            false,
        ),
        ("no public authority has signed it", simple(), false),
        (
            "nobody looks",
            ClientTls {
                insecure_skip_verify: true,
                ..simple()
            },
            true,
        ),
    ] {
        let answer = ask(tls, address).await;
        assert_eq!(answer.status == StatusCode::OK, trusted, "{why}: {answer:?}");
    }
}

#[tokio::test]
async fn the_version_of_http_stays() {
    let (address, file) = server(&["somebody.else"]).await;
    let tls = ClientTls {
        ca_file: file.path().to_str().unwrap().to_owned(),
        ..simple()
    };
    let rig = rig(tls, address).await;
    assert_eq!(rig.client().await.get("/").await.body, "HTTP/1.1 none");
    let request = request2(Method::GET, "/").body(empty()).unwrap();
    let response = http2(rig.proxy.outbound)
        .await
        .send_request(request)
        .await
        .unwrap();
    assert_eq!(answer(response).await.body, "HTTP/2.0 https");
}

#[tokio::test]
async fn what_is_wrong_with_the_settings_is_said() {
    let (address, _file) = server(&["somebody.else"]).await;
    for (tls, expected) in [
        (
            ClientTls {
                ca_file: "/nowhere/ca.pem".into(),
                ..simple()
            },
            "tls.caCertificates /nowhere/ca.pem: ",
        ),
        (
            ClientTls {
                sni: "not a name".into(),
                ..simple()
            },
            "tls.sni \"not a name\": ",
        ),
    ] {
        let answer = ask(tls, address).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(answer.body.contains(expected), "{answer:?}");
    }
}

#[tokio::test]
async fn authorities_that_are_exchanged_are_read_again() {
    let (old, file) = server(&["somebody.else"]).await;
    let (new, other) = server(&["somebody.else"]).await;
    let tls = ClientTls {
        ca_file: file.path().to_str().unwrap().to_owned(),
        ..simple()
    };
    let rig = rig(tls, old).await;
    assert_eq!(rig.client().await.get("/").await.status, StatusCode::OK);
    std::fs::copy(other.path(), file.path()).unwrap();
    // The time of a change has a resolution.
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(60);
    file.as_file().set_modified(later).unwrap();
    rig.endpoints("all", &[new]).await;
    assert_eq!(rig.client().await.get("/").await.status, StatusCode::OK);
}
