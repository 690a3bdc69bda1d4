//! The one writer of the world: events in, the world and what changed in it out.
//! Before: `watch` or `directory`. After: `discovery` compiles for those whom a change concerns, `status` tells what is wrong.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::{broadcast, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::compile::{Problem, problems};
use super::world::{Change, Event, World};

/// Events that may wait; whoever has more waits too.
const WAITING_EVENTS: usize = 1024;
/// Changes that a slow reader may be behind before it has to look at everything again.
const WAITING_CHANGES: usize = 1024;

/// Reads the world, and is told what changed in it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Reader {
    /// The world as it is.
    pub world: watch::Receiver<World>,
    /// What is wrong with the rules, from when everything was known on.
    pub problems: watch::Receiver<Arc<BTreeSet<Problem>>>,
    changes: broadcast::Sender<Arc<Change>>,
}

impl Reader {
    /// The changes from now on. Whoever is told that it lagged has to look at everything again.
    pub fn changes(&self) -> broadcast::Receiver<Arc<Change>> {
        self.changes.subscribe()
    }
}

/// Applies events to the world.
#[derive(Debug)]
pub struct Feed {
    world: watch::Sender<World>,
    changes: broadcast::Sender<Arc<Change>>,
    events: mpsc::Receiver<Event>,
    problems: watch::Sender<Arc<BTreeSet<Problem>>>,
}

impl Feed {
    /// A feed that starts with `world`, where to send events, and how to read the result.
    pub fn new(world: World) -> (Self, mpsc::Sender<Event>, Reader) {
        let (sender, events) = mpsc::channel(WAITING_EVENTS);
        let (world, receiver) = watch::channel(world);
        let (changes, _) = broadcast::channel(WAITING_CHANGES);
        let (problems, known) = watch::channel(Arc::default());
        let reader = Reader {
            world: receiver,
            problems: known,
            changes: changes.clone(),
        };
        (
            Self {
                world,
                changes,
                events,
                problems,
            },
            sender,
            reader,
        )
    }

    /// Runs until `shutdown`, or until nobody can send events any more.
    ///
    /// # Errors
    /// None today; the signature is that of every long-running part.
    pub async fn run(mut self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let mut batch = Vec::new();
        loop {
            batch.clear();
            // What is there already is taken together, and nothing is waited for: a change is on its way at once.
            let received = tokio::select! {
                received = self.events.recv_many(&mut batch, WAITING_EVENTS) => received,
                () = shutdown.cancelled() => 0,
            };
            if received == 0 {
                return Ok(());
            }
            self.apply(&mut batch);
        }
    }

    fn apply(&mut self, batch: &mut Vec<Event>) {
        let mut change = Change::default();
        self.world.send_modify(|world| {
            for event in batch.drain(..) {
                change.merge(world.apply(event));
            }
        });
        if change.is_empty() {
            return;
        }
        let look_again = change.rules || change.listed;
        // Nobody listening is no error: no proxy is connected.
        let _ = self.changes.send(Arc::new(change));
        if look_again {
            self.report();
        }
    }

    /// Says what is newly wrong in the rules. Before everything is listed, much is missing that is only not here yet.
    fn report(&mut self) {
        let world = self.world.borrow();
        if !world.synced() {
            return;
        }
        let found = problems(&world);
        drop(world);
        let known = self.problems.borrow().clone();
        for Problem {
            object,
            field,
            problem,
            ..
        } in found.difference(&known)
        {
            warn!(object, field, "{object} {field}: {problem}");
        }
        let still: BTreeSet<_> = found
            .iter()
            .map(|problem| (&problem.object, &problem.field))
            .collect();
        for Problem { object, field, .. } in known.difference(&found) {
            if !still.contains(&(object, field)) {
                info!(object, field, "{object} {field}: no longer a problem");
            }
        }
        self.problems.send_replace(Arc::new(found));
    }
}
