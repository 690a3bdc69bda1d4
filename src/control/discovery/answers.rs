//! What was compiled and encoded for one client is told to all that get the same, until the world is another.
//! Before: `stream` asks for what is due. After: `compile`, if nobody asked before.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use outrigger_proxy::protocol::{ENDPOINTS, SERVICE};
use prost::Message;

use super::metrics::Metrics;
use crate::control::compile::{self, Client};
use crate::control::world::World;

/// A resource as it is sent.
#[derive(Debug)]
pub(super) struct Encoded {
    pub(super) value: Vec<u8>,
    /// Made from the contents, so that every replica gives the same. Another build may hash otherwise: then what a proxy
    /// holds is sent to it once more.
    pub(super) version: String,
    /// The hosts that it is made of.
    pub(super) hosts: Vec<String>,
}

impl Encoded {
    pub(super) fn new(message: &impl Message, hosts: Vec<String>) -> Self {
        let value = message.encode_to_vec();
        let mut hasher = DefaultHasher::new();
        hasher.write(&value);
        Self {
            version: format!("{:016x}", hasher.finish()),
            value,
            hosts,
        }
    }
}

/// The answers that clients share.
#[derive(Debug)]
pub(super) struct Answers {
    kept: Mutex<Kept>,
    metrics: Metrics,
}

#[derive(Debug, Default)]
struct Kept {
    /// The world's, of which all of these are.
    revision: u64,
    of: HashMap<Question, Option<Arc<Encoded>>>,
}

/// Who asks for what.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Question {
    type_url: &'static str,
    /// With the labels alone that make a difference.
    client: Arc<Client>,
    name: String,
}

impl Answers {
    pub(super) fn new(metrics: Metrics) -> Self {
        Self {
            kept: Mutex::default(),
            metrics,
        }
    }

    /// A service as a client sees it. `client` is as `told_alike` gives it.
    pub(super) fn service(&self, world: &World, client: &Arc<Client>, name: &str) -> Option<Arc<Encoded>> {
        self.answer(world, (SERVICE, client, name), || {
            let answer = compile::resource(world, client, name)?;
            Some(Encoded::new(&answer.service, answer.hosts))
        })
    }

    /// Endpoints, which are the same for all that mean the same service by the name.
    pub(super) fn endpoints(&self, world: &World, namespace: &str, name: &str) -> Option<Arc<Encoded>> {
        let service = compile::service_of_endpoints(world, namespace, name)?;
        let client = Arc::new(Client {
            namespace: service.key.namespace.clone(),
            ..Default::default()
        });
        self.answer(world, (ENDPOINTS, &client, name), || {
            let endpoints = compile::endpoints_of(world, service, name)?;
            Some(Encoded::new(&endpoints, Vec::new()))
        })
    }

    fn answer(
        &self,
        world: &World,
        (type_url, client, name): (&'static str, &Arc<Client>, &str),
        compile: impl FnOnce() -> Option<Encoded>,
    ) -> Option<Arc<Encoded>> {
        let question = Question {
            type_url,
            client: client.clone(),
            name: name.to_owned(),
        };
        if let Some(known) = self.kept(world).of.get(&question) {
            return known.clone();
        }
        // Not under the lock: two that ask at the same time do the work twice, and nobody waits.
        let answer = compile().map(Arc::new);
        self.metrics.compiled(type_url);
        self.kept(world).of.insert(question, answer.clone());
        answer
    }

    fn kept(&self, world: &World) -> MutexGuard<'_, Kept> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.revision != world.revision() {
            kept.of.clear();
            kept.revision = world.revision();
        }
        kept
    }
}

/// All that is to be known of a client to say what it is told.
pub(super) fn told_alike(world: &World, client: &Client) -> Arc<Client> {
    Arc::new(Client {
        namespace: client.namespace.clone(),
        labels: world.labels_asked_for(&client.labels),
    })
}
