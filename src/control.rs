//! The path of a rule: `watch` (the cluster) or `directory` (manifests) -> `feed` -> `world` (what is known)
//! -> `audience` (whom it concerns) -> `discovery` -> `compile` (pure).

mod audience;
pub mod compile;
pub mod directory;
pub mod discovery;
pub mod feed;
pub(crate) mod served;
pub mod status;
pub mod watch;
pub mod world;
