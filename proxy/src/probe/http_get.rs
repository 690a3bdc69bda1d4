//! `httpGet`, as the kubelet sends it. Before it on the path: `prober`; after it: `fetch`.

use std::net::IpAddr;

use anyhow::{Context, bail};
use bytes::Bytes;
use http::StatusCode;
use http::header::{
    ACCEPT, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, TRAILER,
    TRANSFER_ENCODING, USER_AGENT,
};
use http_body_util::BodyExt as _;

use super::{HttpGet, HttpHeader, Scheme};
use crate::fetch::{self, Answer, Client, target};

/// How much of a body is read, in bytes, as in the kubelet. A body that breaks off before that fails the probe.
const BODY: usize = 10 << 10;

/// Asks; the status is the application's.
///
/// # Errors
/// Why there was none, or none that a response ends with.
pub(super) async fn probe(
    client: &Client,
    get: &HttpGet,
    pod: IpAddr,
    agent: &HeaderValue,
) -> anyhow::Result<(StatusCode, String)> {
    let (mut answer, line) = send(client, get, get.scheme, pod, headers(get, agent)?).await?;
    let mut read = 0;
    while read < BODY
        && let Some(frame) = answer.response.frame().await
    {
        let frame = frame.with_context(|| format!("{line}, but the body broke off"))?;
        read += frame.data_ref().map_or(0, Bytes::len);
    }
    Ok((answer.response.status(), line))
}

/// Delivers a lifecycle hook. An HTTPS hook that is answered in plain HTTP is sent once more in plain HTTP without its
/// Authorization, as in the kubelet.
///
/// # Errors
/// Why it could not be delivered.
pub(super) async fn deliver(
    client: &Client,
    get: &HttpGet,
    pod: IpAddr,
    agent: &HeaderValue,
) -> anyhow::Result<(StatusCode, String)> {
    let mut headers = headers(get, agent)?;
    let sent = match send(client, get, get.scheme, pod, headers.clone()).await {
        Err(error) if fetch::not_tls(&error) => {
            headers.remove(AUTHORIZATION);
            send(client, get, Scheme::Http, pod, headers).await
        }
        sent => sent,
    };
    let (answer, line) = sent?;
    Ok((answer.response.status(), line))
}

async fn send(
    client: &Client,
    get: &HttpGet,
    scheme: Scheme,
    pod: IpAddr,
    headers: HeaderMap,
) -> anyhow::Result<(Answer, String)> {
    let pod = pod.to_string();
    let host = if get.host.is_empty() { &pod } else { &get.host };
    let uri = target::uri(scheme.name(), host, get.port.get(), &get.path)?;
    let line = format!("GET {uri}");
    let answer = client.get(uri, headers).await?;
    let line = format!("{line}: {}", answer.response.status());
    if answer.response.status().is_informational() {
        bail!("{line} is no answer");
    }
    Ok((answer, line))
}

/// The headers that the kubelet would send: those declared, and a User-Agent and an Accept where there is none. An
/// empty one of these two, or an empty Host, stands for none. What frames a message is the sender's business.
fn headers(get: &HttpGet, agent: &HeaderValue) -> anyhow::Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    for HttpHeader { name, value } in &get.http_headers {
        let key: HeaderName = name
            .parse()
            .with_context(|| format!("header {name:?} has no valid name"))?;
        let value = HeaderValue::from_bytes(value.as_bytes())
            .with_context(|| format!("header {name:?} has no valid value"))?;
        match key {
            CONNECTION | CONTENT_LENGTH | TRAILER | TRANSFER_ENCODING => {}
            // There is one of each in a request, and the first that is declared counts.
            HOST | USER_AGENT if headers.contains_key(&key) => {}
            key => {
                headers.append(key, value);
            }
        }
    }
    for (name, default) in [
        (HOST, None),
        (USER_AGENT, Some(agent)),
        (ACCEPT, Some(&HeaderValue::from_static("*/*"))),
    ] {
        match (headers.get(&name), default) {
            (None, Some(default)) => {
                headers.insert(name, default.clone());
            }
            (Some(value), _) if value.is_empty() => {
                headers.remove(name);
            }
            _ => {}
        }
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declared_headers() {
        for (declared, sent) in [
            (vec![], vec!["accept: */*", "user-agent: kube-probe/1.34"]),
            (
                vec![("X-A", "2"), ("x-a", "1"), ("accept", "text/html")],
                vec![
                    "accept: text/html",
                    "user-agent: kube-probe/1.34",
                    "x-a: 2",
                    "x-a: 1",
                ],
            ),
            (
                vec![
                    ("Host", "a"),
                    ("host", "b"),
                    ("User-Agent", ""),
                    ("Accept", ""),
                    ("X", ""),
                ],
                vec!["host: a", "x: "],
            ),
            (
                vec![
                    ("Host", ""),
                    ("Content-Length", "3"),
                    ("Transfer-Encoding", "chunked"),
                ],
                vec!["accept: */*", "user-agent: kube-probe/1.34"],
            ),
        ] {
            let declared = declared.iter().map(|(name, value)| HttpHeader {
                name: (*name).into(),
                value: (*value).into(),
            });
            let get = HttpGet {
                path: "/".into(),
                port: std::num::NonZeroU16::MIN,
                scheme: Scheme::Http,
                host: String::new(),
                http_headers: declared.collect(),
            };
            let headers = headers(&get, &HeaderValue::from_static("kube-probe/1.34")).unwrap();
            let mut lines: Vec<String> = headers
                .iter()
                .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
                .collect();
            // Stable: the order among headers of one name stays.
            lines.sort_by_key(|line| line.split_once(':').map(|(name, _)| name.to_owned()));
            assert_eq!(lines, sent, "{:?}", get.http_headers);
        }
    }
}
