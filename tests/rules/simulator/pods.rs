//! What stands behind the services: pods on loopback that answer as the request asks, say who they are, and note what
//! reached them. Before: a table starts them. After: `town` puts them into slices.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::client::{head, values};
use super::expected::Destination;
use crate::rules::outcome::short;

/// Each service has one pod of each.
const VERSIONS: [&str; 4] = ["v1", "v2", "v3", "v2-mysql"];
/// A request says with these what it is to be answered with: `x-answer: STATUS`, `x-answer: reset` or `x-answer: never`, and
/// for each `x-answer-NAME: VALUE` a header.
pub(super) const ANSWER: &str = "x-answer";
/// Names a request, so that what reached which pod can be found again.
pub(super) const MARK: &str = "x-mark";
/// The pod that answers.
pub(super) const POD: &str = "x-pod";
/// Far longer than a copy of a request takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// One port of a pod, listened at.
#[derive(Clone)]
pub(super) struct Pod {
    /// As the tables write it.
    pub(super) host: String,
    /// The service's.
    pub(super) port: u16,
    pub(super) port_name: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) address: SocketAddr,
}

impl Pod {
    /// By which it is known in slices and in what it says.
    pub(super) fn name(&self) -> String {
        let labels = self.labels.iter().map(|(name, value)| format!(" {name}={value}"));
        format!("{}:{}{}", self.host, self.port, labels.collect::<String>())
    }
}

/// A request that reached a pod.
#[derive(Clone)]
pub(super) struct Arrived {
    pub(super) pod: String,
    pub(super) method: String,
    pub(super) target: String,
    pub(super) headers: Vec<(String, String)>,
}

impl Arrived {
    pub(super) fn values(&self, name: &str) -> Vec<&str> {
        values(&self.headers, name)
    }

    /// A copy for a mirror.
    pub(super) fn is_copy(&self) -> bool {
        let host = self.values("host").concat();
        host.split(':').next().unwrap_or_default().ends_with("-shadow")
    }
}

/// By the marks of requests.
type Notes = BTreeMap<String, Vec<Arrived>>;

pub(super) struct Pods {
    pub(super) of_services: Vec<Pod>,
    notes: watch::Sender<Notes>,
}

impl Pods {
    /// Those of the services of a cluster.
    pub(super) async fn start(cluster: &str) -> Self {
        let (notes, _) = watch::channel(Notes::new());
        let mut pods = Self {
            of_services: Vec::new(),
            notes,
        };
        let mut own = JoinSet::new();
        let documents = cluster
            .split("\n---\n")
            .map(|text| serde_saphyr::from_str::<Value>(text).expect("YAML"));
        for service in documents.filter(|document| document["kind"] == "Service") {
            let name = service["metadata"]["name"].as_str().expect("a name");
            let namespace = service["metadata"]["namespace"].as_str().unwrap_or("default");
            let host = short(&format!("{name}.{namespace}.svc.cluster.local"));
            for port in service["spec"]["ports"].as_array().expect("ports") {
                for version in VERSIONS {
                    let labels = [("app", name), ("version", version)];
                    let port_name = port["name"].as_str().expect("a name");
                    let number = port["port"].as_u64().and_then(|port| u16::try_from(port).ok());
                    let port = (number.expect("a port"), port_name);
                    let index = u8::try_from(pods.of_services.len()).expect("a few");
                    let pod = pods.listen(&mut own, index, &host, port, &labels).await;
                    pods.of_services.push(pod);
                }
            }
        }
        // They end with the runtime.
        own.detach_all();
        pods
    }

    /// One more, until `tasks` end.
    pub(super) async fn listen(
        &self,
        tasks: &mut JoinSet<()>,
        index: u8,
        host: &str,
        (port, port_name): (u16, &str),
        labels: &[(&str, &str)],
    ) -> Pod {
        let listener = TcpListener::bind((Ipv4Addr::new(127, 20, 0, index.max(1)), 0)).await;
        let listener = listener.expect("all of 127.0.0.0/8 is loopback");
        let labels = labels
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()));
        let pod = Pod {
            host: host.to_owned(),
            port,
            port_name: port_name.to_owned(),
            labels: labels.collect(),
            address: listener.local_addr().expect("an address"),
        };
        let (name, notes) = (pod.name(), self.notes.clone());
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, name.clone(), notes.clone()));
            }
        });
        pod
    }

    /// What reached pods of the request with this mark, as soon as `enough` has.
    pub(super) async fn wait(&self, mark: &str, enough: impl Fn(&[Arrived]) -> bool) -> Option<Vec<Arrived>> {
        let mut notes = self.notes.subscribe();
        let of = |notes: &Notes| notes.get(mark).cloned().unwrap_or_default();
        let found = timeout(PATIENCE, notes.wait_for(|notes| enough(&of(notes)))).await;
        Some(of(&*found.ok()?.ok()?))
    }

    /// What has reached pods of it until now.
    pub(super) fn arrived(&self, mark: &str) -> Vec<Arrived> {
        self.notes.borrow().get(mark).cloned().unwrap_or_default()
    }
}

/// The names of those that a destination means.
pub(super) fn meant(pods: &[Pod], to: &Destination) -> BTreeSet<String> {
    let meant = pods.iter().filter(|pod| {
        let mut labels = to.labels.iter();
        pod.host == to.host
            && pod.port == to.port
            && labels.all(|(name, value)| pod.labels.get(name) == Some(value))
    });
    meant.map(Pod::name).collect()
}

/// Requests one after the other, or all that is said back if it is none.
async fn serve(mut stream: TcpStream, pod: String, notes: watch::Sender<Notes>) {
    let mut read: Vec<u8> = Vec::new();
    loop {
        let end = read.windows(4).position(|window| window == b"\r\n\r\n");
        let Some(end) = end else {
            if read.first().is_some_and(|first| !first.is_ascii_uppercase()) {
                let _ = echo(stream, &pod, read).await;
                return;
            }
            match stream.read_buf(&mut read).await {
                Ok(0) | Err(_) => return,
                Ok(_) => continue,
            }
        };
        let text = String::from_utf8_lossy(&read[..end]).into_owned();
        read.drain(..end + 4);
        let (line, headers) = head(&text);
        let mut words = line.split(' ').map(str::to_owned);
        let arrived = Arrived {
            pod: pod.clone(),
            method: words.next().unwrap_or_default(),
            target: words.next().unwrap_or_default(),
            headers,
        };
        let response = match values(&arrived.headers, ANSWER).concat().as_str() {
            "reset" => None,
            "never" => Some(String::new()),
            status => Some(response(&pod, status, &arrived)),
        };
        let mark = arrived.values(MARK).concat();
        notes.send_modify(|notes| notes.entry(mark).or_default().push(arrived));
        let Some(response) = response else { return };
        if stream.write_all(response.as_bytes()).await.is_err() {
            return;
        }
    }
}

fn response(pod: &str, status: &str, asked: &Arrived) -> String {
    let status = if status.is_empty() { "200" } else { status };
    let mut text = format!("HTTP/1.1 {status} Said\r\n{POD}: {pod}\r\ncontent-length: 0\r\n");
    for (name, value) in &asked.headers {
        if let Some(name) = name.to_ascii_lowercase().strip_prefix("x-answer-") {
            text += &format!("{name}: {value}\r\n");
        }
    }
    text + "\r\n"
}

/// Its name in a line, and all that comes.
async fn echo(mut stream: TcpStream, pod: &str, mut read: Vec<u8>) -> std::io::Result<()> {
    stream.read_to_end(&mut read).await?;
    stream.write_all(format!("{pod}\n").as_bytes()).await?;
    stream.write_all(&read).await?;
    stream.shutdown().await
}
