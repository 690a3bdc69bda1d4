//! The one writer of the world: events in, the world and what changed in it out.
//! Before: `watch` or `directory`. After: `audience` tells the streams of `discovery`, `status` the authors of rules.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::audience::{Audience, Changes, Topics};
use super::compile::{Problem, problems_of};
use super::world::{Change, Event, RuleKey, World};

/// Events that may wait; whoever has more waits too.
const WAITING_EVENTS: usize = 1024;

/// Reads the world, and is told what changed in it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Reader {
    /// The world as it is.
    pub world: watch::Receiver<World>,
    /// What is wrong with the rules, from when everything was known on.
    pub problems: watch::Receiver<Arc<BTreeSet<Problem>>>,
    audience: Arc<Audience>,
}

impl Reader {
    /// The changes from now on of what is named.
    pub(super) fn listen(&self) -> (Topics, Changes) {
        self.audience.listen()
    }
}

/// Applies events to the world.
#[derive(Debug)]
pub struct Feed {
    world: watch::Sender<World>,
    audience: Arc<Audience>,
    events: mpsc::Receiver<Event>,
    problems: watch::Sender<Arc<BTreeSet<Problem>>>,
    /// The same by the rules that they are in.
    found: BTreeMap<RuleKey, BTreeSet<Problem>>,
    /// Whether all rules were looked at once.
    reported: bool,
}

impl Feed {
    /// A feed that starts with `world`, where to send events, and how to read the result.
    pub fn new(world: World) -> (Self, mpsc::Sender<Event>, Reader) {
        let (sender, events) = mpsc::channel(WAITING_EVENTS);
        let (world, receiver) = watch::channel(world);
        let audience = Arc::new(Audience::default());
        let (problems, known) = watch::channel(Arc::default());
        let reader = Reader {
            world: receiver,
            problems: known,
            audience: audience.clone(),
        };
        (
            Self {
                world,
                audience,
                events,
                problems,
                found: BTreeMap::new(),
                reported: false,
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
        let change = Arc::new(change);
        self.audience.tell(&change);
        self.report(&change);
    }

    /// Says what is newly wrong in the rules that a change may have made wrong. Before everything is listed, much is missing
    /// that is only not here yet.
    fn report(&mut self, change: &Change) {
        let world = self.world.borrow();
        if !world.synced() {
            return;
        }
        let first = !std::mem::replace(&mut self.reported, true);
        let rules = match first {
            true => world.rules(),
            false => world.rules_touched(change),
        };
        let (mut gone, mut new) = (Vec::new(), Vec::new());
        for rule in rules {
            let found = problems_of(&world, &rule);
            let known = self.found.remove(&rule).unwrap_or_default();
            if found != known {
                log(&known, &found);
                gone.extend(known.difference(&found).cloned());
                new.extend(found.difference(&known).cloned());
            }
            if !found.is_empty() {
                self.found.insert(rule, found);
            }
        }
        drop(world);
        if first || !gone.is_empty() || !new.is_empty() {
            self.problems.send_modify(|problems| {
                let problems = Arc::make_mut(problems);
                for problem in &gone {
                    problems.remove(problem);
                }
                problems.extend(new);
            });
        }
    }
}

/// Each problem of a rule once, and once that it is none any more.
fn log(known: &BTreeSet<Problem>, found: &BTreeSet<Problem>) {
    for Problem {
        object,
        field,
        problem,
        ..
    } in found.difference(known)
    {
        warn!(object, field, "{object} {field}: {problem}");
    }
    for Problem { object, field, .. } in known.difference(found) {
        if found.iter().all(|still| still.field != *field) {
            info!(object, field, "{object} {field}: no longer a problem");
        }
    }
}

#[cfg(test)]
mod tests;
