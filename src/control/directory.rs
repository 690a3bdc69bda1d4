//! A directory of manifests instead of a cluster: the same events, read again when a file changes.
//! Before: `manifest` reads one document. After: `feed` applies the events.

mod manifest;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::world::{Event, Kind, Object};
pub use manifest::{Document, Fault, documents};

/// How often files are looked at. Polling works on every file system, mounted ConfigMaps included.
const INTERVAL: Duration = Duration::from_millis(200);
/// More in one file is a mistake.
const LARGEST_FILE: u64 = 4 << 20;

type Stamps = BTreeMap<PathBuf, (Option<SystemTime>, u64)>;

/// The files `*.yaml`, `*.yml` and `*.json` of a directory (not below it), in the order of their names.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    seen: Option<Stamps>,
}

impl Directory {
    /// Nothing is read yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            seen: None,
        }
    }

    /// The documents: the first time at once, later as soon as a file has changed, come or gone.
    ///
    /// # Errors
    /// Everything that cannot be read, each with its file.
    pub async fn next(&mut self) -> Result<Vec<Document>, Vec<Fault>> {
        loop {
            let stamps = match stamps(&self.path) {
                Ok(stamps) => stamps,
                // Once is enough: an empty set of files stands for it until it is back.
                Err(_) if self.seen.as_ref().is_some_and(BTreeMap::is_empty) => Stamps::new(),
                Err(error) => {
                    self.seen = Some(Stamps::new());
                    return Err(vec![Fault::of_file(&self.path, &error.to_string())]);
                }
            };
            if self.seen.as_ref() != Some(&stamps) {
                let files = read(&stamps);
                self.seen = Some(stamps);
                return documents(&files?);
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }
}

/// Keeps the world as the directory says until `shutdown`. What is wrong is logged, and the last good set stays in force.
///
/// # Errors
/// If nobody takes the events any more.
pub async fn run(
    mut directory: Directory,
    feed: mpsc::Sender<Event>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    loop {
        let read = tokio::select! {
            read = directory.next() => read,
            () = shutdown.cancelled() => return Ok(()),
        };
        match read.and_then(|documents| events(&documents)) {
            Ok(events) => {
                for event in events {
                    feed.send(event).await?;
                }
                info!(directory = %directory.path.display(), "manifests read");
            }
            Err(faults) => {
                for fault in faults {
                    error!("{fault}; the last good manifests stay in force");
                }
            }
        }
    }
}

/// The documents as the contents of every kind. Objects of other kinds are left to whoever needs them.
///
/// # Errors
/// Every object that is malformed.
pub fn events(documents: &[Document]) -> Result<Vec<Event>, Vec<Fault>> {
    let mut objects: BTreeMap<Kind, Vec<Object>> = Kind::ALL.map(|kind| (kind, Vec::new())).into();
    let mut faults = Vec::new();
    for document in documents {
        match document
            .object()
            .and_then(|object| Ok([object, document.address()?]))
        {
            Ok(read) => {
                for object in read.into_iter().flatten() {
                    objects.entry(object.kind()).or_default().push(object);
                }
            }
            Err(fault) => faults.push(fault),
        }
    }
    if faults.is_empty() {
        Ok(objects
            .into_iter()
            .map(|(kind, objects)| Event::Replace(kind, objects))
            .collect())
    } else {
        Err(faults)
    }
}

fn stamps(directory: &Path) -> std::io::Result<Stamps> {
    let mut stamps = Stamps::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let extension = path.extension().and_then(|extension| extension.to_str());
        if !matches!(extension, Some("yaml" | "yml" | "json")) {
            continue;
        }
        // A file that goes away while it is looked at is gone.
        if let Ok(metadata) = std::fs::metadata(&path)
            && metadata.is_file()
        {
            stamps.insert(path, (metadata.modified().ok(), metadata.len()));
        }
    }
    Ok(stamps)
}

fn read(stamps: &Stamps) -> Result<Vec<(String, String)>, Vec<Fault>> {
    let (mut files, mut faults) = (Vec::new(), Vec::new());
    for (path, (_, size)) in stamps {
        let text = if *size > LARGEST_FILE {
            Err(format!("is larger than {LARGEST_FILE} bytes"))
        } else {
            std::fs::read_to_string(path).map_err(|error| error.to_string())
        };
        match text {
            Ok(text) => files.push((path.display().to_string(), text)),
            Err(error) => faults.push(Fault::of_file(path, &error)),
        }
    }
    if faults.is_empty() { Ok(files) } else { Err(faults) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::feed::Feed;
    use crate::control::world::World;

    const SERVICE: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {clusterIP: 10.0.0.1, ports: [{port: 80}]}\n";

    #[tokio::test]
    async fn a_change_is_taken_in_and_a_mistake_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("a.yaml");
        std::fs::write(&file, SERVICE).unwrap();
        let (feed, events, reader) = Feed::new(World::default());
        let shutdown = CancellationToken::new();
        let tasks = [
            tokio::spawn(feed.run(shutdown.clone())),
            tokio::spawn(run(Directory::new(directory.path()), events, shutdown.clone())),
        ];
        let mut world = reader.world;
        let has =
            |host: &'static str| move |world: &World| world.synced() && world.service_by_host(host).is_some();
        world.wait_for(has("a.default.svc.cluster.local")).await.unwrap();
        // The broken set is passed over as a whole; the one after it is taken.
        std::fs::write(
            directory.path().join("b.yaml"),
            SERVICE.replace("[{port: 80}]", "none"),
        )
        .unwrap();
        std::fs::write(
            directory.path().join("c.yaml"),
            SERVICE.replace("name: a", "name: c"),
        )
        .unwrap();
        let mut broken = Directory::new(directory.path());
        let faults = broken
            .next()
            .await
            .and_then(|documents| super::events(&documents))
            .unwrap_err();
        assert_eq!(faults.len(), 1);
        let text = faults[0].to_string();
        assert!(
            text.contains("b.yaml:4: Service default/a spec.ports: "),
            "{text}"
        );
        assert!(!has("c.default.svc.cluster.local")(&world.borrow()));
        std::fs::remove_file(directory.path().join("b.yaml")).unwrap();
        world.wait_for(has("c.default.svc.cluster.local")).await.unwrap();
        shutdown.cancel();
        for task in tasks {
            task.await.unwrap().unwrap();
        }
    }
}
