//! What is the same is one Event with a count, as events.k8s.io/v1 has it: the first time is written at once, later ones
//! together. Pure: the time comes in. Before it: `regarding`. After it: `events` sends what is to be written.

use std::collections::HashMap;
use std::time::Duration;

use k8s_openapi::api::events::v1::{Event, EventSeries};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use tokio::time::Instant;

use super::regarding::Regarding;

/// A repetition after a longer silence than this is a new Event.
const SILENCE: Duration = Duration::from_secs(5 * 60);
/// How many series are kept at a time, which also bounds the writes of one tick.
const CAPACITY: usize = 512;
/// The longest note that Kubernetes takes, in bytes.
const LONGEST_NOTE: usize = 1024;
/// The longest name of an object.
const LONGEST_NAME: usize = 253;

const REASON: &str = "SidecarNotInjected";
const CONTROLLER: &str = "outrigger.dev/sidecar-injector";

/// Too much is going on; the word is dropped.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

/// Who an Event is about, and what it says: what agrees in both is one series.
type Key = (Regarding, String);

/// What is to be sent to the API server.
#[derive(Debug)]
pub(super) struct Write {
    key: Key,
    /// The name of the Event's object.
    pub(super) name: String,
    pub(super) what: What,
}

#[derive(Debug)]
pub(super) enum What {
    /// A new Event.
    Create(Box<Event>),
    /// Its series has gone on.
    Count(EventSeries),
}

impl Write {
    /// The namespace of the Event's object.
    pub(super) fn namespace(&self) -> &str {
        &self.key.0.namespace
    }
}

/// The Events that may go on.
#[derive(Debug)]
pub(super) struct Series {
    instance: String,
    known: HashMap<Key, Known>,
}

#[derive(Debug)]
struct Known {
    /// The name of the Event's object; None if it could not be created.
    name: Option<String>,
    count: i32,
    written: i32,
    last: Instant,
    last_observed: Timestamp,
}

impl Series {
    /// `instance` is who reports.
    pub(super) fn new(instance: &str) -> Self {
        Self {
            instance: shortened(instance, 128).to_owned(),
            known: HashMap::new(),
        }
    }

    /// Takes in that it happened, and gives the Event if this is the first time.
    pub(super) fn observe(
        &mut self,
        regarding: Regarding,
        note: &str,
        now: Instant,
    ) -> Result<Option<Write>, Full> {
        let last_observed = Timestamp::now();
        let key = (regarding, shortened(note, LONGEST_NOTE).to_owned());
        if let Some(known) = self.known.get_mut(&key) {
            if now.duration_since(known.last) < SILENCE {
                known.count = known.count.saturating_add(1);
                (known.last, known.last_observed) = (now, last_observed);
                return Ok(None);
            }
        } else if self.known.len() >= CAPACITY {
            return Err(Full);
        }
        let write = self.create(&key, last_observed);
        let first = Known {
            name: None,
            count: 1,
            written: 0,
            last: now,
            last_observed,
        };
        self.known.insert(key, first);
        Ok(Some(write))
    }

    /// What has happened again since it was written; what has been silent for long is forgotten.
    pub(super) fn due(&mut self, now: Instant) -> Vec<Write> {
        let due = self.known.iter().filter(|(_, known)| known.count > known.written);
        let writes = due
            .map(|(key, known)| match &known.name {
                None => self.create(key, known.last_observed),
                Some(name) => Write {
                    key: key.clone(),
                    name: name.clone(),
                    what: What::Count(EventSeries {
                        count: known.count,
                        last_observed_time: MicroTime(known.last_observed),
                    }),
                },
            })
            .collect();
        self.known
            .retain(|_, known| known.count > known.written || now.duration_since(known.last) < SILENCE);
        writes
    }

    /// Takes in what came of a write. One that failed is not repeated by itself: only what happens again is worth another.
    pub(super) fn wrote(&mut self, write: Write, done: bool) {
        if let Some(known) = self.known.get_mut(&write.key) {
            known.written = known.count;
            // An Event that is gone (they are kept for an hour) or was never made is created the next time.
            known.name = done.then_some(write.name);
        }
    }

    fn create(&self, key: &Key, at: Timestamp) -> Write {
        let (regarding, note) = key;
        // Named as client-go names Events: after the object, with the time in hexadecimal.
        let suffix = format!(".{:x}", at.as_nanosecond());
        let name = format!(
            "{}{suffix}",
            shortened(&regarding.name, LONGEST_NAME - suffix.len())
        );
        let event = Event {
            metadata: ObjectMeta {
                namespace: Some(regarding.namespace.clone()),
                name: Some(name.clone()),
                ..ObjectMeta::default()
            },
            event_time: Some(MicroTime(at)),
            type_: Some("Warning".to_owned()),
            reason: Some(REASON.to_owned()),
            action: Some("Inject".to_owned()),
            note: Some(note.clone()),
            regarding: Some(regarding.reference()),
            reporting_controller: Some(CONTROLLER.to_owned()),
            reporting_instance: Some(self.instance.clone()),
            ..Event::default()
        };
        Write {
            key: key.clone(),
            name,
            what: What::Create(Box::new(event)),
        }
    }
}

/// At most so many bytes of a text, and only whole characters.
fn shortened(text: &str, length: usize) -> &str {
    &text[..text.floor_char_boundary(length)]
}
