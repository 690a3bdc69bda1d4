//! Which of a service's endpoints gets the next request: the endpoints of one cluster and the pure `pick`.
//! Before it on the path: `route`; after it: `pool`, and then the other pod.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::Uri;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::message::Fields;
use crate::protocol::mesh::{self, LoadBalancer};

mod choice;
mod counts;
mod endpoint;
mod endpoints;
mod hash;
mod limits;
mod locality;
mod outlier;
mod shared;
mod table;
mod warmup;

pub(crate) use counts::Counts;
pub use endpoint::{Described, Endpoint, InFlight};
pub use endpoints::Endpoints;
pub use hash::Hashed;
pub use limits::{Limit, Limits, Overflow, Permit};
pub use locality::Place;
pub use outlier::Outcome;
pub(crate) use shared::Shared;

use choice::{Choice, How, Lot};
use hash::HashBy;
use warmup::Warmup;

/// How long a request or a new connection is held for the control plane to say where it may go.
pub(crate) const ANSWER: Duration = Duration::from_secs(5);

/// Endpoints and the policy by which they are used: limits, ejections and turns are counted by it.
#[derive(Debug)]
pub struct Cluster {
    /// As published, without what is the route's: while it stays the same, so does this cluster.
    published: mesh::Backend,
    policy: mesh::TrafficPolicy,
    source: Source,
    hash: Option<HashBy>,
    how: How,
    shared: Arc<Shared>,
    state: Mutex<State>,
    made: Instant,
    /// `None` until the control plane has answered.
    choice: watch::Sender<Option<Arc<Choice>>>,
    turn: AtomicUsize,
}

/// What a choice is made of.
#[derive(Debug, Default)]
struct State {
    told: Arc<[Described]>,
    /// In the order of `told`.
    endpoints: Arc<[Arc<Endpoint>]>,
    place: Arc<Place>,
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
    /// Endpoints whose level of localities it leaves for another, if there is one.
    pub leaves: &'a [SocketAddr],
    /// See [`Cluster::hash`].
    pub key: Option<u64>,
    /// Where the client dialled, for clusters that go there.
    pub original: Option<SocketAddr>,
}

impl Cluster {
    /// What a backend leads to, for a pod that runs anywhere; `endpoints` are those of the name that the backend gives.
    pub fn new(backend: &mesh::Backend, endpoints: Arc<Endpoints>) -> Arc<Self> {
        Self::at(backend, endpoints, Arc::default(), Counts::default())
    }

    /// The same for a pod that runs at this place.
    pub(crate) fn at(
        backend: &mesh::Backend,
        endpoints: Arc<Endpoints>,
        place: Arc<Place>,
        counts: Counts,
    ) -> Arc<Self> {
        let policy = backend.policy.clone().unwrap_or_default();
        let source = match backend.original_destination {
            true => Source::Original(Mutex::default()),
            false => Source::Told(endpoints),
        };
        let published = Self::identity(backend);
        let name = name(&published).to_owned();
        let hash = policy.consistent_hash.as_ref().and_then(HashBy::new);
        let table = policy.consistent_hash.as_ref().map(|hash| hash.table);
        let cluster = Arc::new(Self {
            how: How {
                balancer: published.load_balancer(),
                warmup: Warmup::new(&policy),
                hashed: hash.as_ref().and(table),
            },
            published,
            hash,
            shared: Arc::new(Shared::new(name, &policy, counts)),
            policy,
            source,
            state: Mutex::new(State {
                place,
                ..State::default()
            }),
            made: Instant::now(),
            choice: watch::Sender::new(None),
            turn: AtomicUsize::new(0),
        });
        if let Source::Told(endpoints) = &cluster.source {
            endpoints.follow(&cluster);
        }
        cluster
    }

    /// Istio's name of it, for instance `outbound|5000|v1|helloworld.default.svc.cluster.local`.
    pub fn name(&self) -> &str {
        name(&self.published)
    }

    /// The resource name of its endpoints; empty for those that clients dial.
    pub fn endpoints_name(&self) -> &str {
        &self.published.endpoints
    }

    /// Whether requests one after another go to one endpoint after another.
    pub fn goes_round(&self) -> bool {
        self.hash.is_none() && self.how.balancer != LoadBalancer::Random
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
    fn update(&self, told: Arc<[Described]>) {
        let mut state = lock(&self.state);
        let now = Instant::now();
        // Those that are there first have been there before.
        let since = self.choice.borrow().is_some().then_some(now);
        let known: HashMap<SocketAddr, &Arc<Endpoint>> = state
            .endpoints
            .iter()
            .map(|endpoint| (endpoint.address, endpoint))
            .collect();
        let keep = |one: &Described| match known.get(&one.address) {
            Some(endpoint) => Arc::clone(endpoint),
            None => Endpoint::within(one.address, self.shared.clone(), since),
        };
        let endpoints = told.iter().map(keep).collect();
        (state.endpoints, state.told) = (endpoints, told);
        self.choose_anew(&state, now);
    }

    /// From now on the pod runs there: it is known only after the proxy has started.
    pub(crate) fn place(&self, place: &Arc<Place>) {
        let mut state = lock(&self.state);
        state.place = place.clone();
        if self.choice.borrow().is_some() {
            self.choose_anew(&state, Instant::now());
        }
    }

    fn choose_anew(&self, state: &State, now: Instant) -> Arc<Choice> {
        self.shared.stale.store(false, Ordering::Release);
        let all = state.endpoints.clone();
        let choice = Choice::new(
            &state.told,
            all,
            &self.policy,
            &state.place,
            &self.shared,
            &self.how,
            now,
        );
        let choice = Arc::new(choice);
        self.choice.send_replace(Some(choice.clone()));
        choice
    }

    /// The endpoints as last told, or `None` if they never were.
    pub fn endpoints(&self) -> Option<Arc<[Arc<Endpoint>]>> {
        match &self.source {
            Source::Told(_) => self.choice.borrow().as_ref().map(|choice| choice.all.clone()),
            Source::Original(dialled) => Some(lock(dialled).as_slice().into()),
        }
    }

    /// Waits until the endpoints have been told once, for [`ANSWER`] at most.
    async fn known(&self) -> Option<Arc<Choice>> {
        let known = self.choice.borrow().clone();
        if known.is_some() {
            return known;
        }
        let mut changes = self.choice.subscribe();
        // The sender is part of self, so the channel cannot close while it is borrowed.
        let known = timeout(ANSWER, changes.wait_for(Option::is_some)).await.ok()?;
        known.ok().and_then(|known| known.clone())
    }

    /// What to choose from now: ejections since the last time, and the end of others, are taken in here, so that they
    /// need neither a task nor a timer.
    async fn current(&self) -> Option<(Arc<Choice>, Instant)> {
        let choice = self.known().await?;
        let now = match choice.until.is_some() || self.how.warmup.is_some() {
            true => Instant::now(),
            false => self.made,
        };
        let due = choice.until.is_some_and(|until| until <= now);
        if due || self.shared.stale.load(Ordering::Acquire) {
            let state = lock(&self.state);
            return Some((self.choose_anew(&state, Instant::now()), now));
        }
        Some((choice, now))
    }

    /// The key by which a request keeps its endpoint, once for all of its tries; none without consistent hashing.
    pub fn hash(&self, uri: &Uri, headers: &Fields, source: IpAddr) -> Hashed {
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
        let (choice, now) = self.current().await?;
        let lot = Lot {
            turn: self.turn.fetch_add(1, Ordering::Relaxed),
            draw: random,
            now,
        };
        choice.pick(&self.how, ask, lot).cloned()
    }

    /// Counts a try beyond the first, for as long as the permit lives.
    ///
    /// # Errors
    /// There are as many under way as the DestinationRule's `maxRetries`.
    pub fn retry(&self) -> Result<Permit, Overflow> {
        self.shared.take(Limit::Retries)
    }

    fn dialled(&self, dialled: &Mutex<Vec<Arc<Endpoint>>>, address: SocketAddr) -> Arc<Endpoint> {
        let mut all = lock(dialled);
        if let Some(known) = all.iter().find(|endpoint| endpoint.address == address) {
            return known.clone();
        }
        let endpoint = Endpoint::within(address, self.shared.clone(), None);
        all.push(endpoint.clone());
        endpoint
    }

    /// Closes connections that have been idle for too long, and forgets what was dialled and is not any more.
    pub fn sweep(&self) {
        for endpoint in self.endpoints().iter().flat_map(|all| all.iter()) {
            endpoint.sweep();
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

fn name(published: &mesh::Backend) -> &str {
    match published.cluster.as_str() {
        "" => &published.endpoints,
        name => name,
    }
}

/// A random number: spreads load, decides nothing secret.
pub(crate) fn random() -> u64 {
    fastrand::u64(..)
}

#[cfg(test)]
mod tests;
