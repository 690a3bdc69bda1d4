//! The path of a rule: `watch` (the cluster) or `directory` (manifests) -> `feed` -> `world` (what is known) -> `compile` (pure) -> `discovery`.

pub mod compile;
pub mod directory;
pub mod discovery;
pub mod feed;
pub mod status;
pub mod watch;
pub mod world;
