//! Which of a service's endpoints gets the next request: the endpoints of one cluster and the pure `pick`.
//! Before it on the path: `route`; after it: `pool`, and then the other pod.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::{HeaderMap, Uri};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::pool::Pool;
use crate::protocol::mesh::LoadBalancer;

/// How long a request or a new connection is held for the control plane to say where it may go.
pub(crate) const ANSWER: Duration = Duration::from_secs(5);

/// The endpoints behind one name, as last told, and whose turn it is.
#[derive(Debug)]
pub struct Cluster {
    name: String,
    /// `None` until the control plane has answered.
    endpoints: watch::Sender<Option<Arc<[Arc<Endpoint>]>>>,
    turn: AtomicUsize,
}

/// One pod's port.
#[derive(Debug)]
pub struct Endpoint {
    /// Where it listens.
    pub address: SocketAddr,
    /// Connections to it that can be used again.
    pub pool: Pool,
    in_flight: AtomicUsize,
}

/// Counts a request or connection on its endpoint for as long as it lives.
#[derive(Debug)]
pub struct InFlight(Arc<Endpoint>);

/// For what an endpoint is asked.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ask<'a> {
    /// Endpoints that are not wanted again.
    pub tried: &'a [SocketAddr],
    /// The target and the headers of a request; an opaque connection has none.
    pub request: Option<(&'a Uri, &'a HeaderMap)>,
    /// Where the client is.
    pub source: Option<IpAddr>,
}

impl Cluster {
    /// A cluster whose endpoints are not known yet.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            endpoints: watch::Sender::new(None),
            turn: AtomicUsize::new(0),
        }
    }

    /// The resource name of its endpoints.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Replaces the endpoints. Those that stay keep their connections and counts.
    pub fn update(&self, addresses: &[SocketAddr]) {
        self.endpoints.send_modify(|endpoints| {
            let known = endpoints.as_deref().unwrap_or_default();
            let keep = |address: &SocketAddr| {
                let same = known.iter().find(|endpoint| endpoint.address == *address);
                same.cloned().unwrap_or_else(|| Endpoint::new(*address))
            };
            *endpoints = Some(addresses.iter().map(keep).collect());
        });
    }

    /// The endpoints as last told, or `None` if they never were.
    pub fn endpoints(&self) -> Option<Arc<[Arc<Endpoint>]>> {
        self.endpoints.borrow().clone()
    }

    /// Waits until the endpoints have been told once.
    async fn known(&self) -> Arc<[Arc<Endpoint>]> {
        if let Some(endpoints) = self.endpoints() {
            return endpoints;
        }
        let mut changes = self.endpoints.subscribe();
        // The sender is part of self, so the channel cannot close while it is borrowed.
        let known = changes.wait_for(Option::is_some).await;
        known.ok().and_then(|known| known.clone()).unwrap_or_default()
    }

    /// The endpoint for the next request, none of those that were tried, or `None` if there is no other, or nobody
    /// said within [`ANSWER`].
    pub async fn pick(&self, balancer: LoadBalancer, ask: Ask<'_>) -> Option<Arc<Endpoint>> {
        let tried = ask.tried;
        let endpoints = timeout(ANSWER, self.known()).await.unwrap_or_default();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        if tried.is_empty() {
            let at = pick(endpoints.len(), balancer, turn, random(), |at| {
                endpoints[at].load()
            })?;
            return Some(endpoints[at].clone());
        }
        let left: Vec<&Arc<Endpoint>> = endpoints
            .iter()
            .filter(|endpoint| !tried.contains(&endpoint.address))
            .collect();
        let at = pick(left.len(), balancer, turn, random(), |at| left[at].load())?;
        Some(left[at].clone())
    }
}

impl Endpoint {
    /// An endpoint without connections.
    pub fn new(address: SocketAddr) -> Arc<Self> {
        Arc::new(Self {
            address,
            pool: Pool::default(),
            in_flight: AtomicUsize::new(0),
        })
    }

    /// Counts a request or connection until the returned value is dropped.
    pub fn begin(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(self.clone())
    }

    /// Requests and connections on it now.
    pub fn load(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Which of `count` endpoints: pure, `turn` counts up by one a request and `draw` is any random number.
///
/// Least request compares the one whose turn it is with another drawn at random, and takes the other only if it
/// has less to do: so requests one after another go round, as users of round robin expect, and under load the
/// power of two choices holds.
fn pick(
    count: usize,
    balancer: LoadBalancer,
    turn: usize,
    draw: u64,
    load: impl Fn(usize) -> usize,
) -> Option<usize> {
    if count == 0 {
        return None;
    }
    let next = turn % count;
    let drawn = |among: usize| usize::try_from(draw % among as u64).unwrap_or_default();
    Some(match balancer {
        LoadBalancer::RoundRobin => next,
        LoadBalancer::Random => drawn(count),
        LoadBalancer::LeastRequest if count == 1 => 0,
        LoadBalancer::LeastRequest => {
            let other = (next + 1 + drawn(count - 1)) % count;
            if load(other) < load(next) { other } else { next }
        }
    })
}

/// A random number from the hasher's per-process keys and a count: spreads load, decides nothing secret.
pub(crate) fn random() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    use std::sync::LazyLock;
    static STATE: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    STATE.hash_one(COUNT.fetch_add(1, Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(ports: &[u16]) -> Vec<SocketAddr> {
        ports
            .iter()
            .map(|port| SocketAddr::from(([10, 0, 0, 1], *port)))
            .collect()
    }

    fn tried(tried: &[SocketAddr]) -> Ask<'_> {
        Ask {
            tried,
            ..Ask::default()
        }
    }

    #[test]
    fn picks() {
        use LoadBalancer::{LeastRequest, Random, RoundRobin};
        for (balancer, loads, turn, draw, expected) in [
            (LeastRequest, vec![], 0, 0, None),
            (LeastRequest, vec![0], 7, 7, Some(0)),
            (LeastRequest, vec![0, 0], 4, 9, Some(0)),
            (LeastRequest, vec![0, 0], 5, 9, Some(1)),
            (LeastRequest, vec![1, 0], 4, 9, Some(1)),
            (LeastRequest, vec![5, 9, 1], 0, 1, Some(2)),
            (LeastRequest, vec![5, 9, 1], 0, 0, Some(0)),
            (RoundRobin, vec![9, 0], 2, 1, Some(0)),
            (Random, vec![9, 0, 0], 2, 4, Some(1)),
        ] {
            assert_eq!(
                pick(loads.len(), balancer, turn, draw, |at| loads[at]),
                expected,
                "{balancer:?} {loads:?} {turn}"
            );
        }
    }

    #[tokio::test]
    async fn requests_one_after_another_go_round() {
        let cluster = Cluster::new("a");
        cluster.update(&addresses(&[1, 2]));
        let mut seen = vec![];
        for _ in 0..6 {
            let endpoint = cluster
                .pick(LoadBalancer::LeastRequest, Ask::default())
                .await
                .unwrap();
            let _in_flight = endpoint.begin();
            seen.push(endpoint.address.port());
        }
        assert_eq!(seen, [1, 2, 1, 2, 1, 2]);
    }

    #[tokio::test]
    async fn what_was_tried_is_not_picked_again() {
        let cluster = Cluster::new("a");
        cluster.update(&addresses(&[1, 2]));
        let picked = cluster
            .pick(LoadBalancer::RoundRobin, tried(&addresses(&[1])))
            .await
            .unwrap();
        assert_eq!(picked.address.port(), 2);
        assert!(
            cluster
                .pick(LoadBalancer::RoundRobin, tried(&addresses(&[1, 2])))
                .await
                .is_none()
        );
    }

    #[tokio::test]
    async fn an_endpoint_that_stays_keeps_its_count() {
        let cluster = Cluster::new("a");
        cluster.update(&addresses(&[1]));
        let in_flight = cluster
            .pick(LoadBalancer::LeastRequest, Ask::default())
            .await
            .unwrap()
            .begin();
        cluster.update(&addresses(&[1, 2]));
        let loads = || {
            cluster
                .endpoints()
                .unwrap()
                .iter()
                .map(|endpoint| endpoint.load())
                .collect::<Vec<_>>()
        };
        assert_eq!(loads(), [1, 0]);
        drop(in_flight);
        assert_eq!(loads(), [0, 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_request_waits_for_the_endpoints() {
        let cluster = Arc::new(Cluster::new("a"));
        let waiting = tokio::spawn({
            let cluster = cluster.clone();
            async move {
                cluster
                    .pick(LoadBalancer::LeastRequest, Ask::default())
                    .await
                    .map(|endpoint| endpoint.address.port())
            }
        });
        tokio::task::yield_now().await;
        cluster.update(&addresses(&[7]));
        assert_eq!(waiting.await.unwrap(), Some(7));
    }
}
