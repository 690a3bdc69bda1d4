//! Interim responses (1xx) of applications.

use http::{Method, Request, Response};
use hyper::body::Incoming;
use outrigger_proxy::protocol::mesh::{Mirror, Retries};
use outrigger_proxy::protocol::{ENDPOINTS, SERVICE};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use super::client::{Client, answer, empty, full, http2, request2};
use super::control_plane::ControlPlane;
use super::published::{default_http, endpoints, http, route, to};
use super::rig::{Proxy, Rig, VIP};
use super::server::{self, asked, read_until, says};

const HINTS: &str = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";
const PROCESSING: &str = "HTTP/1.1 102 Processing\r\n\r\n";
const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// The status of each response up to and with the one that ends so.
async fn statuses(client: &mut TcpStream, end: &str) -> Vec<String> {
    let read = read_until(client, end).await;
    let statuses = read.split("HTTP/1.").skip(1);
    statuses.map(|response| response[2..5].to_owned()).collect()
}

async fn dropped(rig: &Rig) -> String {
    let metrics = Client::connect(rig.proxy.metrics)
        .await
        .get("/metrics")
        .await
        .body;
    let name = "outrigger_interim_responses_dropped_total ";
    let line = metrics.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap().to_owned()
}

#[tokio::test]
async fn it_comes_before_the_final_response() {
    let (listener, address) = server::port().await;
    let rig = Rig::with(&[address]).await;
    let (mut client, mut server) = asked(rig.proxy.outbound, &listener, GET).await;
    // One after another, each when the client has the one before; and the next request on the same connections.
    for _ in 0..2 {
        says(&mut server, PROCESSING).await;
        assert_eq!(read_until(&mut client, "\r\n\r\n").await, PROCESSING);
        // What is of one connection ends with it, and so does a length.
        says(
            &mut server,
            "HTTP/1.1 103 Hints\r\nLink: </a>\r\nLink: </b>\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nContent-Length: 3\r\n\r\n",
        )
        .await;
        assert_eq!(
            read_until(&mut client, "\r\n\r\n").await,
            "HTTP/1.1 103 Hints\r\nLink: </a>\r\nLink: </b>\r\n\r\n"
        );
        says(&mut server, "HTTP/1.1 199 \r\n\r\n").await;
        assert_eq!(read_until(&mut client, "\r\n\r\n").await, "HTTP/1.1 199 \r\n\r\n");
        // The proxy itself asks clients to continue.
        says(&mut server, "HTTP/1.1 100 Continue\r\n\r\n").await;
        says(&mut server, &ok("hi")).await;
        assert_eq!(statuses(&mut client, "hi").await, ["200"]);
        says(&mut client, GET).await;
        read_until(&mut server, "\r\n\r\n").await;
    }
    assert_eq!(dropped(&rig).await, "0");
}

#[tokio::test]
async fn what_comes_with_the_final_response_goes_before_it() {
    let (listener, address) = server::port().await;
    let rig = Rig::with(&[address]).await;
    let (mut client, mut server) = asked(rig.proxy.outbound, &listener, GET).await;
    says(&mut server, &format!("{HINTS}{HINTS}{}", ok("hi"))).await;
    assert_eq!(statuses(&mut client, "hi").await, ["103", "103", "200"]);
}

#[tokio::test]
async fn two_proxies_pass_it_on() {
    let control_plane = ControlPlane::start().await;
    let (listener, application) = server::port().await;
    let rig = Rig::towards(VIP.parse().unwrap(), Some(application)).await;
    let sidecar = rig.proxy.inbound.unwrap();
    let client = Proxy::start(&control_plane, VIP.parse().unwrap(), None);
    control_plane.publish(SERVICE, VIP, &default_http("all")).await;
    control_plane
        .publish(ENDPOINTS, "all", &endpoints(&[sidecar]))
        .await;
    let (mut client, mut server) = asked(client.outbound, &listener, GET).await;
    says(&mut server, HINTS).await;
    assert_eq!(read_until(&mut client, "\r\n\r\n").await, HINTS);
    says(&mut server, &ok("hi")).await;
    assert_eq!(statuses(&mut client, "hi").await, ["200"]);
}

#[tokio::test]
async fn http_1_0_has_none() {
    let (listener, address) = server::port().await;
    let rig = Rig::with(&[address]).await;
    let (mut client, mut server) = asked(rig.proxy.outbound, &listener, "GET / HTTP/1.0\r\n\r\n").await;
    says(&mut server, &format!("{HINTS}{}", ok("hi"))).await;
    assert_eq!(statuses(&mut client, "hi").await, ["200"]);
}

/// hyper does not tell of them in HTTP/2. What matters is that the final response arrives.
#[tokio::test]
async fn http_2_has_none() {
    let (listener, address) = server::port().await;
    let rig = Rig::with(&[address]).await;
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut connection = h2::server::handshake(stream).await.unwrap();
        while let Some(request) = connection.accept().await {
            let (_, mut respond) = request.unwrap();
            let hints = Response::builder().status(103).header("link", "</a>");
            respond.send_informational(hints.body(()).unwrap()).unwrap();
            respond.send_response(Response::new(()), true).unwrap();
        }
    });
    let mut client = http2(rig.proxy.outbound).await;
    let asked = request2(Method::GET, "/").body(empty()).unwrap();
    let answer = answer(client.send_request(asked).await.unwrap()).await;
    assert_eq!(answer.status.as_u16(), 200);
    assert!(!answer.headers.contains_key("link"));
}

#[tokio::test]
async fn those_of_pipelined_requests_stay_with_them() {
    let (listener, address) = server::port().await;
    let rig = Rig::with(&[address]).await;
    let (mut client, mut server) = asked(rig.proxy.outbound, &listener, &GET.repeat(3)).await;
    for body in ["one", "two", "three"] {
        says(&mut server, HINTS).await;
        assert_eq!(read_until(&mut client, "\r\n\r\n").await, HINTS);
        says(&mut server, &format!("{HINTS}{}", ok(body))).await;
        assert_eq!(statuses(&mut client, body).await, ["103", "200"]);
        if body != "three" {
            read_until(&mut server, "\r\n\r\n").await;
        }
    }
}

/// The second request is here before the client has read anything of the first response.
#[tokio::test]
async fn it_does_not_come_into_a_long_response_to_an_earlier_request() {
    const LENGTH: usize = 16 << 20;
    let (listener, address) = server::port().await;
    let rig = Rig::with(&[address]).await;
    let (mut client, mut server) = asked(rig.proxy.outbound, &listener, &GET.repeat(2)).await;
    let serving = tokio::spawn(async move {
        says(&mut server, &ok(&"x".repeat(LENGTH))).await;
        read_until(&mut server, "\r\n\r\n").await;
        says(&mut server, HINTS).await;
        says(&mut server, &format!("{HINTS}{}", ok("end"))).await;
        server
    });
    let head = read_until(&mut client, "\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
    let mut body = vec![0; LENGTH];
    client.read_exact(&mut body).await.unwrap();
    assert!(body.iter().all(|byte| *byte == b'x'));
    assert_eq!(statuses(&mut client, "end").await, ["103", "103", "200"]);
    serving.await.unwrap();
}

#[tokio::test]
async fn a_flood_is_dropped_rather_than_kept() {
    const COUNT: usize = 8192;
    // More in all than buffers of sockets hold.
    let hints = format!(
        "HTTP/1.1 103 Early Hints\r\nlink: {}\r\n\r\n",
        "x".repeat(8 << 10)
    );
    let (listener, address) = server::port().await;
    let rig = Rig::with(&[address]).await;
    let (mut client, mut server) = asked(rig.proxy.outbound, &listener, GET).await;
    for _ in 0..COUNT {
        says(&mut server, &hints).await;
    }
    says(&mut server, &ok("end")).await;
    let mut read = Vec::new();
    while !read.ends_with(b"end") {
        assert!(client.read_buf(&mut read).await.unwrap() > 0);
    }
    let read = String::from_utf8(read).unwrap();
    let came = read.matches(&hints).count();
    assert!(came > 0 && came < COUNT, "{came}");
    assert!(read[came * hints.len()..].starts_with("HTTP/1.1 200 OK"));
    assert_eq!(dropped(&rig).await, (COUNT - came).to_string());
}

#[tokio::test]
async fn a_large_one_is_dropped_alone() {
    let (listener, address) = server::port().await;
    let rig = Rig::with(&[address]).await;
    let (mut client, mut server) = asked(rig.proxy.outbound, &listener, GET).await;
    let large = format!(
        "HTTP/1.1 103 Early Hints\r\nlink: {}\r\n\r\n",
        "x".repeat(61 << 10)
    );
    says(&mut server, &format!("{large}{HINTS}{}", ok("hi"))).await;
    assert_eq!(statuses(&mut client, "hi").await, ["103", "200"]);
    assert_eq!(dropped(&rig).await, "1");
}

/// It is no answer yet: what is wrong afterwards may be tried again, and the client has been told what it may use anyway.
#[tokio::test]
async fn a_try_that_fails_has_passed_it_on() {
    let (listener, address) = server::port().await;
    let rig = Rig::start().await;
    let mut one = route("one", vec![], vec![to("all", 1)]);
    one.retries = Some(Retries {
        attempts: 1,
        on: vec!["5xx".into()],
        backoff_ms: 1,
        ..Default::default()
    });
    rig.service(&http(vec![one])).await;
    rig.endpoints("all", &[address]).await;
    let (mut client, mut server) = asked(rig.proxy.outbound, &listener, GET).await;
    says(&mut server, HINTS).await;
    assert_eq!(read_until(&mut client, "\r\n\r\n").await, HINTS);
    says(&mut server, "HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n").await;
    read_until(&mut server, "\r\n\r\n").await;
    says(&mut server, HINTS).await;
    assert_eq!(read_until(&mut client, "\r\n\r\n").await, HINTS);
    says(&mut server, &ok("hi")).await;
    assert_eq!(statuses(&mut client, "hi").await, ["200"]);
}

#[tokio::test]
async fn that_of_a_mirror_is_not_passed_on() {
    let (listener, mirror) = server::port().await;
    let (answered, answers) = oneshot::channel::<()>();
    let answers = std::sync::Arc::new(std::sync::Mutex::new(Some(answers)));
    let waits = move |_: Request<Incoming>| {
        let answers = answers.lock().unwrap().take();
        async move {
            answers.unwrap().await.unwrap();
            Response::new(full("v1"))
        }
    };
    let rig = Rig::start().await;
    let mut one = route("one", vec![], vec![to("all", 1)]);
    one.mirrors.push(Mirror {
        backend: Some(to("mirror", 1)),
        millionths: 1_000_000,
    });
    rig.service(&http(vec![one])).await;
    rig.endpoints("all", &[server::http(waits).await]).await;
    rig.endpoints("mirror", &[mirror]).await;
    let (mut client, mut server) = asked(rig.proxy.outbound, &listener, GET).await;
    says(&mut server, HINTS).await;
    says(&mut server, &ok("mirrored")).await;
    // The proxy has read all of it once it closes what is kept no longer.
    server.shutdown().await.unwrap();
    while server.read(&mut [0; 64]).await.unwrap() > 0 {}
    answered.send(()).unwrap();
    assert_eq!(statuses(&mut client, "v1").await, ["200"]);
}

/// A client that goes on to another protocol has what was said before.
#[tokio::test]
async fn it_comes_before_a_switch_of_protocols() {
    let (listener, address) = server::port().await;
    let rig = Rig::with(&[address]).await;
    let upgrade = "GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    let (mut client, mut server) = asked(rig.proxy.outbound, &listener, upgrade).await;
    says(&mut server, HINTS).await;
    assert_eq!(read_until(&mut client, "\r\n\r\n").await, HINTS);
    says(
        &mut server,
        &format!("{HINTS}HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n{HINTS}"),
    )
    .await;
    let switched = read_until(&mut client, HINTS).await;
    assert_eq!(switched, HINTS);
    let switched = read_until(&mut client, HINTS).await;
    assert!(switched.starts_with("HTTP/1.1 101 "), "{switched}");
}
