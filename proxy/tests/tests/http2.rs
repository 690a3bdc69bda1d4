//! HTTP/2 with prior knowledge, as gRPC speaks it.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use http_body::Frame;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http2 as h2_server;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};

use super::client::{Body, answer, empty, fed, full, http2, request2};
use super::rig::Rig;
use super::server;

/// Sends every frame back as it comes, and a gRPC status at the end.
async fn echo(request: Request<Incoming>) -> Response<Body> {
    let (frames, body) = fed();
    tokio::spawn(async move {
        let mut incoming = request.into_body();
        while let Some(Ok(frame)) = incoming.frame().await {
            // The other side may go away in the middle.
            if frames.send(frame).await.is_err() {
                return;
            }
        }
        let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]);
        let _ = frames.send(Frame::trailers(trailers)).await;
    });
    Response::builder()
        .header("content-type", "application/grpc")
        .body(body)
        .unwrap()
}

#[tokio::test]
async fn streams_go_both_ways_and_end_with_trailers() {
    let rig = Rig::with(&[server::http(echo).await]).await;
    let mut client = http2(rig.proxy.outbound).await;
    let (frames, body) = fed();
    let asked = request2(Method::POST, "/hello.Greeter/Chat").header("te", "trailers");
    let mut response = client.send_request(asked.body(body).unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    for message in ["one", "two"] {
        frames.send(Frame::data(Bytes::from(message))).await.unwrap();
        let frame = response.frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), message);
    }
    drop(frames);
    let trailers = response.frame().await.unwrap().unwrap().into_trailers().unwrap();
    assert_eq!(trailers["grpc-status"], "0");
    assert!(response.frame().await.is_none());
}

#[tokio::test]
async fn requests_of_one_connection_take_turns() {
    let rig = Rig::with(&[server::named("v1").await, server::named("v2").await]).await;
    let mut client = http2(rig.proxy.outbound).await;
    let mut bodies = Vec::new();
    for _ in 0..6 {
        let asked = request2(Method::GET, "/").body(empty()).unwrap();
        bodies.push(answer(client.send_request(asked).await.unwrap()).await.body);
    }
    assert!(bodies.windows(2).all(|pair| pair[0] != pair[1]), "{bodies:?}");
}

#[tokio::test]
async fn a_refusal_speaks_grpc_to_grpc() {
    let rig = Rig::with(&[]).await;
    let mut client = http2(rig.proxy.outbound).await;
    let asked = request2(Method::POST, "/hello.Greeter/Hi").header("content-type", "application/grpc");
    let answer = answer(client.send_request(asked.body(full("x")).unwrap()).await.unwrap()).await;
    assert_eq!(
        (answer.status, &answer.headers["grpc-status"]),
        (StatusCode::OK, &"14".parse().unwrap())
    );
}

#[tokio::test]
async fn a_request_that_is_given_up_is_reset_upstream() {
    let (gone, mut goes) = mpsc::unbounded_channel();
    let waits = move |request: Request<Incoming>| {
        let gone = gone.clone();
        async move {
            gone.send("came").unwrap();
            let mut body = request.into_body();
            while let Some(Ok(_)) = body.frame().await {}
            gone.send("went").unwrap();
            std::future::pending().await
        }
    };
    let rig = Rig::with(&[server::http(waits).await]).await;
    let mut client = http2(rig.proxy.outbound).await;
    let (_frames, body) = fed();
    let asked = request2(Method::POST, "/").body(body).unwrap();
    let asking = tokio::spawn(client.send_request(asked));
    assert_eq!(goes.recv().await, Some("came"));
    asking.abort();
    assert_eq!(goes.recv().await, Some("went"));
}

/// RFC 9113, section 8.3.1: a request made from one in HTTP/1 may have a Host and no authority.
#[tokio::test]
async fn a_host_header_stands_in_for_the_authority() {
    let host = |request: Request<Incoming>| async move {
        Response::new(full(
            request
                .uri()
                .authority()
                .map(ToString::to_string)
                .unwrap_or_default(),
        ))
    };
    let rig = Rig::with(&[server::http(host).await]).await;
    let mut client = http2(rig.proxy.outbound).await;
    let asked = Request::get("/")
        .header("host", "helloworld:5000")
        .body(empty())
        .unwrap();
    let answer = answer(client.send_request(asked).await.unwrap()).await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (StatusCode::OK, "helloworld:5000")
    );
}

/// More at once than servers allow on one connection (100 is what RFC 9113, section 6.5.2, recommends at least).
#[tokio::test]
async fn many_open_streams_hold_no_other_up() {
    let (came, mut comes) = mpsc::unbounded_channel();
    let waits = move |_| {
        let came = came.clone();
        async move {
            came.send(()).unwrap();
            std::future::pending().await
        }
    };
    let rig = Rig::with(&[server::http(waits).await]).await;
    let client = http2(rig.proxy.outbound).await;
    let asked = || {
        client
            .clone()
            .send_request(request2(Method::GET, "/").body(empty()).unwrap())
    };
    let _asking: Vec<_> = (0..450).map(|_| tokio::spawn(asked())).collect();
    for _ in 0..450 {
        comes.recv().await.unwrap();
    }
}

/// A server that resets its connection when the next request is on its way.
async fn resets_after_one(listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        let (answered, count) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
        let second = answered.clone();
        let service = service_fn(move |_: Request<Incoming>| {
            let (second, first) = (second.clone(), count.fetch_add(1, Ordering::SeqCst) == 0);
            async move {
                if !first {
                    second.notify_one();
                    std::future::pending::<()>().await;
                }
                Ok::<Response<Body>, Infallible>(Response::new(full("ok")))
            }
        });
        tokio::spawn(async move {
            let serving =
                h2_server::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service);
            tokio::select! {
                _ = serving => {}
                () = answered.notified() => {}
            }
        });
    }
}

#[tokio::test]
async fn a_kept_connection_that_the_server_closes_is_not_noticed() {
    let (listener, address) = server::port().await;
    tokio::spawn(resets_after_one(listener));
    let rig = Rig::with(&[address]).await;
    let mut client = http2(rig.proxy.outbound).await;
    for _ in 0..10 {
        let asked = request2(Method::GET, "/").body(empty()).unwrap();
        assert_eq!(answer(client.send_request(asked).await.unwrap()).await.body, "ok");
    }
}

#[tokio::test]
async fn large_headers_pass_both_ways() {
    let value = "x".repeat(40 << 10);
    let large = |request: Request<Incoming>| async move {
        let value = request.headers()["x-large"].clone();
        Response::builder()
            .header("x-large", value)
            .body(empty())
            .unwrap()
    };
    let rig = Rig::with(&[server::http2(large, 64 << 10).await]).await;
    let mut client = http2(rig.proxy.outbound).await;
    let asked = request2(Method::GET, "/").header("x-large", &value);
    let answer = answer(client.send_request(asked.body(empty()).unwrap()).await.unwrap()).await;
    assert_eq!(
        (answer.status, answer.headers["x-large"].len()),
        (StatusCode::OK, value.len())
    );
}

#[tokio::test]
async fn a_tunnel_is_one_stream() {
    let tunnel = |mut request: Request<Incoming>| async move {
        assert_eq!(request.uri().to_string(), "a.example:443");
        let client = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let mut client = TokioIo::new(client.await.unwrap());
            let mut said = [0; 4];
            client.read_exact(&mut said).await.unwrap();
            client.write_all(&said).await.unwrap();
            client.shutdown().await.unwrap();
        });
        Response::new(empty())
    };
    let rig = Rig::with(&[server::http(tunnel).await]).await;
    let mut client = http2(rig.proxy.outbound).await;
    let asked = Request::builder()
        .method(Method::CONNECT)
        .version(Version::HTTP_2)
        .uri("a.example:443");
    let response = client.send_request(asked.body(empty()).unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let mut server = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
    server.write_all(b"ping").await.unwrap();
    let mut heard = Vec::new();
    server.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"ping");
}
