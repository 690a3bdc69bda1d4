//! Which of a service's endpoints gets the next request: the endpoints of one cluster and the pure `pick`.
//! Before it on the path: `route`; after it: `pool`, and then the other pod.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::{HeaderMap, Uri};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::protocol::mesh::{self, LoadBalancer};

mod endpoint;
mod endpoints;
mod hash;
mod limits;
mod shared;

pub use endpoint::{Described, Endpoint, InFlight};
pub use endpoints::Endpoints;
pub use hash::Hashed;
pub use limits::{Limit, Limits, Overflow, Permit};

use hash::HashBy;
use shared::Shared;

/// How long a request or a new connection is held for the control plane to say where it may go.
pub(crate) const ANSWER: Duration = Duration::from_secs(5);

/// Endpoints and the policy by which they are used: limits, ejections and turns are counted by it.
#[derive(Debug)]
pub struct Cluster {
    /// As published, without what is the route's: while it stays the same, so does this cluster.
    published: mesh::Backend,
    source: Source,
    hash: Option<HashBy>,
    shared: Arc<Shared>,
    /// `None` until the control plane has answered.
    endpoints: watch::Sender<Option<Arc<[Arc<Endpoint>]>>>,
    turn: AtomicUsize,
}

/// Where its endpoints are from.
#[derive(Debug)]
enum Source {
    Told(Arc<Endpoints>),
    /// Wherever clients dial: those that were, while they are in use.
    Original(Mutex<Vec<Arc<Endpoint>>>),
}

/// What a request, or a connection of opaque bytes, asks of a cluster.
#[derive(Debug, Default, Clone, Copy)]
pub struct Ask<'a> {
    /// Where it has been already: it goes there no more.
    pub tried: &'a [SocketAddr],
    /// See [`Cluster::hash`].
    pub key: Option<u64>,
    /// Where the client dialled, for clusters that go there.
    pub original: Option<SocketAddr>,
}

impl Cluster {
    /// What a backend leads to; `endpoints` are those of the name it gives.
    pub fn new(backend: &mesh::Backend, endpoints: Arc<Endpoints>) -> Arc<Self> {
        let policy = backend.policy.clone().unwrap_or_default();
        let source = match backend.original_destination {
            true => Source::Original(Mutex::default()),
            false => Source::Told(endpoints),
        };
        let cluster = Arc::new(Self {
            published: Self::identity(backend),
            hash: policy.consistent_hash.as_ref().and_then(HashBy::new),
            shared: Arc::new(Shared::new(&policy)),
            source,
            endpoints: watch::Sender::new(None),
            turn: AtomicUsize::new(0),
        });
        if let Source::Told(endpoints) = &cluster.source {
            endpoints.follow(&cluster);
        }
        cluster
    }

    /// Istio's name of it, for instance `outbound|5000|v1|helloworld.default.svc.cluster.local`.
    pub fn name(&self) -> &str {
        match self.published.cluster.as_str() {
            "" => &self.published.endpoints,
            name => name,
        }
    }

    /// The resource name of its endpoints; empty for those that clients dial.
    pub fn endpoints_name(&self) -> &str {
        &self.published.endpoints
    }

    /// Whether requests one after another go to one endpoint after another.
    pub fn goes_round(&self) -> bool {
        self.hash.is_none() && self.published.load_balancer() != LoadBalancer::Random
    }

    /// Whether this is what the backend leads to, with all that it says of it.
    pub fn is(&self, backend: &mesh::Backend) -> bool {
        self.published == Self::identity(backend)
    }

    /// A backend without its part in a route.
    fn identity(backend: &mesh::Backend) -> mesh::Backend {
        mesh::Backend {
            weight: 0,
            headers: None,
            ..backend.clone()
        }
    }

    /// Replaces the endpoints. Those that stay keep their connections and counts.
    fn update(&self, told: &[Described]) {
        self.endpoints.send_modify(|endpoints| {
            let known = endpoints.as_deref().unwrap_or_default();
            let keep = |one: &Described| {
                let same = known.iter().find(|endpoint| endpoint.address == one.address);
                same.cloned()
                    .unwrap_or_else(|| Endpoint::within(one.address, self.shared.clone()))
            };
            *endpoints = Some(told.iter().map(keep).collect());
        });
    }

    /// The endpoints as last told, or `None` if they never were.
    pub fn endpoints(&self) -> Option<Arc<[Arc<Endpoint>]>> {
        match &self.source {
            Source::Told(_) => self.endpoints.borrow().clone(),
            Source::Original(dialled) => Some(lock(dialled).as_slice().into()),
        }
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

    /// The key by which a request keeps its endpoint, once for all of its tries; none without consistent hashing.
    pub fn hash(&self, uri: &Uri, headers: &HeaderMap, source: IpAddr) -> Hashed {
        self.hash
            .as_ref()
            .map_or_else(Hashed::default, |by| by.of(uri, headers, source, random))
    }

    /// The same for a connection of opaque bytes.
    pub fn hash_connection(&self, source: IpAddr) -> Hashed {
        self.hash
            .as_ref()
            .map_or_else(Hashed::default, |by| by.of_connection(source))
    }

    /// The endpoint for the next try, none of those that were tried, or `None` if there is no other, or nobody said
    /// within [`ANSWER`].
    pub async fn pick(&self, ask: Ask<'_>) -> Option<Arc<Endpoint>> {
        if let Source::Original(dialled) = &self.source {
            let address = ask.original.filter(|address| !ask.tried.contains(address))?;
            return Some(self.dialled(dialled, address));
        }
        let endpoints = timeout(ANSWER, self.known()).await.unwrap_or_default();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let balancer = self.published.load_balancer();
        if ask.tried.is_empty() {
            let at = pick(endpoints.len(), balancer, turn, random(), |at| {
                endpoints[at].load()
            })?;
            return Some(endpoints[at].clone());
        }
        let left: Vec<&Arc<Endpoint>> = endpoints
            .iter()
            .filter(|endpoint| !ask.tried.contains(&endpoint.address))
            .collect();
        let at = pick(left.len(), balancer, turn, random(), |at| left[at].load())?;
        Some(left[at].clone())
    }

    /// Counts a try beyond the first, for as long as the permit lives.
    ///
    /// # Errors
    /// There are as many under way as the DestinationRule's `maxRetries`.
    pub fn retry(&self) -> Result<Permit, Overflow> {
        self.shared.limits.take(Limit::Retries)
    }

    fn dialled(&self, dialled: &Mutex<Vec<Arc<Endpoint>>>, address: SocketAddr) -> Arc<Endpoint> {
        let mut all = lock(dialled);
        if let Some(known) = all.iter().find(|endpoint| endpoint.address == address) {
            return known.clone();
        }
        let endpoint = Endpoint::within(address, self.shared.clone());
        all.push(endpoint.clone());
        endpoint
    }

    /// Closes connections that have been idle for too long, and forgets what was dialled and is not any more.
    pub fn sweep(&self) {
        for endpoint in self.endpoints().iter().flat_map(|all| all.iter()) {
            endpoint.pool.sweep();
        }
        if let Source::Original(dialled) = &self.source {
            lock(dialled).retain(|endpoint| Arc::strong_count(endpoint) > 1 || !endpoint.pool.is_empty());
        }
    }
}

/// Nothing panics while it is held; a poisoned list is a list all the same.
fn lock<T>(list: &Mutex<T>) -> MutexGuard<'_, T> {
    list.lock().unwrap_or_else(PoisonError::into_inner)
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

    fn cluster(balancer: LoadBalancer, ports: &[u16]) -> (Arc<Endpoints>, Arc<Cluster>) {
        let endpoints = Endpoints::new("a");
        let backend = mesh::Backend {
            endpoints: "a".into(),
            load_balancer: balancer.into(),
            ..Default::default()
        };
        let cluster = Cluster::new(&backend, endpoints.clone());
        endpoints.update_addresses(&addresses(ports));
        (endpoints, cluster)
    }

    async fn port(cluster: &Cluster, ask: Ask<'_>) -> Option<u16> {
        cluster.pick(ask).await.map(|endpoint| endpoint.address.port())
    }

    #[tokio::test]
    async fn requests_one_after_another_go_round() {
        let (_endpoints, cluster) = cluster(LoadBalancer::LeastRequest, &[1, 2]);
        let mut seen = vec![];
        for _ in 0..6 {
            let endpoint = cluster.pick(Ask::default()).await.unwrap();
            let _in_flight = endpoint.begin();
            seen.push(endpoint.address.port());
        }
        assert_eq!(seen, [1, 2, 1, 2, 1, 2]);
    }

    #[tokio::test]
    async fn what_was_tried_is_not_picked_again() {
        let (_endpoints, cluster) = cluster(LoadBalancer::RoundRobin, &[1, 2]);
        for (tried, expected) in [(&[1][..], Some(2)), (&[1, 2], None)] {
            let tried = addresses(tried);
            let ask = Ask {
                tried: &tried,
                ..Default::default()
            };
            assert_eq!(port(&cluster, ask).await, expected);
        }
    }

    #[tokio::test]
    async fn an_endpoint_that_stays_keeps_its_count() {
        let (endpoints, cluster) = cluster(LoadBalancer::LeastRequest, &[1]);
        let in_flight = cluster.pick(Ask::default()).await.unwrap().begin();
        endpoints.update_addresses(&addresses(&[1, 2]));
        let loads = || {
            let all = cluster.endpoints().unwrap();
            all.iter().map(|endpoint| endpoint.load()).collect::<Vec<_>>()
        };
        assert_eq!(loads(), [1, 0]);
        drop(in_flight);
        assert_eq!(loads(), [0, 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_request_waits_for_the_endpoints() {
        let endpoints = Endpoints::new("a");
        let cluster = Cluster::new(&mesh::Backend::default(), endpoints.clone());
        let waiting = tokio::spawn({
            let cluster = cluster.clone();
            async move { port(&cluster, Ask::default()).await }
        });
        tokio::task::yield_now().await;
        endpoints.update_addresses(&addresses(&[7]));
        assert_eq!(waiting.await.unwrap(), Some(7));
    }

    #[tokio::test]
    async fn where_the_client_dialled() {
        let backend = mesh::Backend {
            original_destination: true,
            ..Default::default()
        };
        let cluster = Cluster::new(&backend, Endpoints::new(""));
        let original = addresses(&[9])[0];
        let ask = Ask {
            original: Some(original),
            ..Default::default()
        };
        let first = cluster.pick(ask).await.unwrap();
        assert!(Arc::ptr_eq(&first, &cluster.pick(ask).await.unwrap()));
        let tried = Ask {
            tried: &[original],
            ..ask
        };
        assert_eq!(port(&cluster, tried).await, None);
        drop(first);
        cluster.sweep();
        assert_eq!(cluster.endpoints().unwrap().len(), 0);
    }
}
