//! Who listens to which changes: a change is told to those whom it may concern, and costs nobody else anything.
//! Before: `feed` tells. After: each stream of `discovery` hears of what its proxy asked for.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;

use super::world::{Change, Key, matches};

/// Changes that a slow listener may be behind before it has to look at everything again.
const WAITING_CHANGES: usize = 256;

/// What a listener can name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Topic {
    /// A fully qualified name, or a wildcard.
    Host(String),
    Address(IpAddr),
    Pod(Key),
}

#[derive(Debug, Default)]
pub(super) struct Audience(Mutex<Listeners>);

#[derive(Debug, Default)]
struct Listeners {
    last: u64,
    all: HashMap<u64, Listener>,
    by_topic: HashMap<Topic, BTreeSet<u64>>,
}

#[derive(Debug)]
struct Listener {
    changes: mpsc::Sender<Arc<Change>>,
    lagged: Arc<AtomicBool>,
}

impl Audience {
    /// A new listener: what it names, and what it hears.
    pub(super) fn listen(self: &Arc<Self>) -> (Topics, Changes) {
        let (changes, receiver) = mpsc::channel(WAITING_CHANGES);
        let lagged = Arc::new(AtomicBool::new(false));
        let heard = Changes {
            changes: receiver,
            lagged: lagged.clone(),
        };
        let mut listeners = self.lock();
        listeners.last += 1;
        let listener = listeners.last;
        listeners.all.insert(listener, Listener { changes, lagged });
        let topics = Topics {
            audience: self.clone(),
            listener,
            named: HashSet::new(),
        };
        (topics, heard)
    }

    pub(super) fn tell(&self, change: &Arc<Change>) {
        let listeners = self.lock();
        for id in listeners.concerned(change) {
            // One that is gone needs no change, and one that is too far behind gets no single ones.
            if let Some(listener) = listeners.all.get(&id)
                && listener.changes.try_send(change.clone()).is_err()
            {
                listener.lagged.store(true, Ordering::Release);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Listeners> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listeners {
    fn concerned(&self, change: &Change) -> BTreeSet<u64> {
        if change.views || change.named || !change.ranges.is_empty() {
            return self.all.keys().copied().collect();
        }
        let mut concerned = BTreeSet::new();
        let mut add = |topic: Topic| concerned.extend(self.by_topic.get(&topic).into_iter().flatten());
        let hosts = change.hosts.union(&change.endpoints);
        hosts.cloned().map(Topic::Host).for_each(&mut add);
        change
            .addresses
            .iter()
            .copied()
            .map(Topic::Address)
            .for_each(&mut add);
        change.pods.iter().cloned().map(Topic::Pod).for_each(&mut add);
        let wildcards = || {
            let hosts = change.hosts.union(&change.endpoints);
            hosts.filter(|host| host.starts_with('*'))
        };
        if wildcards().next().is_some() {
            for (topic, listeners) in &self.by_topic {
                if let Topic::Host(host) = topic
                    && wildcards().any(|pattern| matches(pattern, host))
                {
                    concerned.extend(listeners);
                }
            }
        }
        concerned
    }
}

/// What one listener wants to hear of, until it is dropped.
#[derive(Debug)]
pub(super) struct Topics {
    audience: Arc<Audience>,
    listener: u64,
    named: HashSet<Topic>,
}

impl Topics {
    /// Whatever changes of it from now on is heard. What the world is like has to be looked at after this, or before the feed
    /// can change it again.
    pub(super) fn add(&mut self, topic: Topic) {
        if self.named.insert(topic.clone()) {
            let mut listeners = self.audience.lock();
            listeners.by_topic.entry(topic).or_default().insert(self.listener);
        }
    }

    pub(super) fn remove(&mut self, topic: &Topic) {
        if self.named.remove(topic) {
            self.audience.lock().forget(topic, self.listener);
        }
    }
}

impl Listeners {
    fn forget(&mut self, topic: &Topic, listener: u64) {
        if let Some(listeners) = self.by_topic.get_mut(topic) {
            listeners.remove(&listener);
            if listeners.is_empty() {
                self.by_topic.remove(topic);
            }
        }
    }
}

impl Drop for Topics {
    fn drop(&mut self) {
        let mut listeners = self.audience.lock();
        for topic in &self.named {
            listeners.forget(topic, self.listener);
        }
        listeners.all.remove(&self.listener);
    }
}

/// What a listener hears.
#[derive(Debug)]
pub(super) struct Changes {
    changes: mpsc::Receiver<Arc<Change>>,
    lagged: Arc<AtomicBool>,
}

/// Changes were missed, so that everything has to be looked at again.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Lagged;

impl Changes {
    /// Cancellation safe: a change that was not returned is returned by the next call. Waits for ever once `Topics` is dropped.
    pub(super) async fn next(&mut self) -> Result<Arc<Change>, Lagged> {
        let Some(change) = self.changes.recv().await else {
            return std::future::pending().await;
        };
        if !self.lagged.swap(false, Ordering::Acquire) {
            return Ok(change);
        }
        while self.changes.try_recv().is_ok() {}
        Err(Lagged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(hosts: &[&str]) -> Change {
        Change {
            hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
            ..Default::default()
        }
    }

    fn tell(audience: &Audience, change: &Change) {
        audience.tell(&Arc::new(change.clone()));
    }

    /// How many of a listener's changes are waiting.
    fn waiting(changes: &Changes) -> usize {
        changes.changes.len()
    }

    #[tokio::test]
    async fn a_listener_hears_of_what_it_named() {
        let audience = Arc::new(Audience::default());
        let (mut topics, mut heard) = audience.listen();
        let (pod, address) = (Key::new("default", "p"), IpAddr::from([10, 0, 0, 1]));
        topics.add(Topic::Host("a.example.com".to_owned()));
        topics.add(Topic::Address(address));
        topics.add(Topic::Pod(pod.clone()));
        let endpoints = |host: &str| Change {
            endpoints: BTreeSet::from([host.to_owned()]),
            ..Default::default()
        };
        let of_pod = |key: Key| Change {
            pods: BTreeSet::from([key]),
            ..Default::default()
        };
        let of_address = |last| Change {
            addresses: BTreeSet::from([IpAddr::from([10, 0, 0, last])]),
            ..Default::default()
        };
        for (change, expected) in [
            (hosts(&["a.example.com"]), true),
            (hosts(&["b.example.com"]), false),
            (hosts(&["*.example.com", "b"]), true),
            (hosts(&["*.example.org"]), false),
            (endpoints("a.example.com"), true),
            (endpoints("b.example.com"), false),
            (of_pod(pod), true),
            (of_pod(Key::new("default", "q")), false),
            (of_address(1), true),
            (of_address(2), false),
            (
                Change {
                    views: true,
                    ..Default::default()
                },
                true,
            ),
        ] {
            tell(&audience, &change);
            assert_eq!(waiting(&heard), usize::from(expected), "{change:?}");
            if expected {
                assert_eq!(heard.next().await.as_deref(), Ok(&change));
            }
        }
        topics.remove(&Topic::Address(address));
        tell(&audience, &of_address(1));
        assert_eq!(waiting(&heard), 0);
        drop(topics);
        let left = audience.lock();
        assert!(left.all.is_empty() && left.by_topic.is_empty(), "{left:?}");
    }

    #[tokio::test]
    async fn who_is_too_far_behind_is_told_so_once() {
        let audience = Arc::new(Audience::default());
        let (mut topics, mut heard) = audience.listen();
        topics.add(Topic::Host("a".to_owned()));
        for _ in 0..=WAITING_CHANGES {
            tell(&audience, &hosts(&["a"]));
        }
        assert_eq!(heard.next().await, Err(Lagged));
        tell(&audience, &hosts(&["a", "b"]));
        assert_eq!(heard.next().await.as_deref(), Ok(&hosts(&["a", "b"])));
    }
}
