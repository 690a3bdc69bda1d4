//! The path of a rule: `watch` (the cluster) or `directory` (manifests) -> `world` (what is known) -> `compile` (pure) -> `discovery`.

pub mod world;
