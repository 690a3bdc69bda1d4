//! The pod's application: an HTTP client on one connection that it keeps, in either version.

use std::net::SocketAddr;

use bytes::Bytes;
use futures::StreamExt;
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use http_body::Frame;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

pub(crate) type Body = BoxBody<Bytes, std::convert::Infallible>;

pub(crate) struct Client {
    sender: http1::SendRequest<Body>,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
    pub(crate) trailers: Option<HeaderMap>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection.with_upgrades());
        Self { sender }
    }

    /// The response as soon as its head is here.
    pub(crate) async fn send(&mut self, request: Request<Body>) -> Response<Incoming> {
        self.sender.ready().await.unwrap();
        self.sender.send_request(request).await.unwrap()
    }

    /// The whole answer.
    pub(crate) async fn ask(&mut self, request: Request<Body>) -> Answer {
        answer(self.send(request).await).await
    }

    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.ask(request(Method::GET, path).body(empty()).unwrap()).await
    }

    /// The bodies of the answers to so many requests, one after another.
    pub(crate) async fn bodies(&mut self, count: usize) -> Vec<String> {
        let mut bodies = Vec::with_capacity(count);
        for _ in 0..count {
            let answer = self.get("/").await;
            assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
            bodies.push(answer.body);
        }
        bodies
    }

    /// Ends once the other side has closed the connection.
    pub(crate) async fn closed(mut self) {
        while self.sender.ready().await.is_ok() {
            tokio::task::yield_now().await;
        }
    }
}

/// An HTTP/2 connection with prior knowledge; clones share it.
pub(crate) async fn http2(address: SocketAddr) -> http2::SendRequest<Body> {
    let stream = TcpStream::connect(address).await.unwrap();
    let handshake = http2::Builder::new(TokioExecutor::new())
        .max_header_list_size(64 << 10)
        .handshake(TokioIo::new(stream));
    let (sender, connection) = handshake.await.unwrap();
    tokio::spawn(connection);
    sender
}

/// A request in HTTP/1.1 with a Host.
pub(crate) fn request(method: Method, path: &str) -> http::request::Builder {
    Request::builder()
        .method(method)
        .uri(path)
        .header("host", "helloworld:5000")
}

/// A request in HTTP/2.
pub(crate) fn request2(method: Method, path: &str) -> http::request::Builder {
    Request::builder()
        .version(Version::HTTP_2)
        .method(method)
        .uri(format!("http://helloworld:5000{path}"))
}

pub(crate) async fn answer(response: Response<Incoming>) -> Answer {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap();
    let trailers = body.trailers().cloned();
    Answer {
        status: parts.status,
        headers: parts.headers,
        body: String::from_utf8(body.to_bytes().into()).unwrap(),
        trailers,
    }
}

pub(crate) fn empty() -> Body {
    Empty::new().boxed()
}

pub(crate) fn full(text: impl Into<Bytes>) -> Body {
    Full::new(text.into()).boxed()
}

/// A body that is fed through a channel of no more than one frame, so that feeding stalls when sending does.
pub(crate) fn fed() -> (mpsc::Sender<Frame<Bytes>>, Body) {
    let (sender, receiver) = mpsc::channel(1);
    let frames = ReceiverStream::new(receiver).map(Ok);
    (sender, BodyExt::boxed(StreamBody::new(frames)))
}
