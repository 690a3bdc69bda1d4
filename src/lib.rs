//! Outrigger's control plane: what a pod becomes when it is created, and what each proxy is told.
//!
//! # Layout
//! Two of the three paths run through this crate, each readable from file to file in the order in which data flows.
//! 1. A pod is created: [`webhook`] -> [`inject`] (decide, sidecar, patch).
//! 2. A rule changes: [`control`] (watch -> world -> compile -> discovery).
//!
//! Beside them: [`api`] (the custom resources), [`settings`] (what an operator can set), [`trust`] (the CA's Secret
//! and who is told of it), [`serve`] (HTTPS with limits, for the webhook and for discovery alike).
//! The third path, a request leaving a pod, is the crate `outrigger_proxy`.

pub mod api;
pub mod control;
pub mod inject;
pub mod serve;
pub mod settings;
pub mod trust;
pub mod webhook;
