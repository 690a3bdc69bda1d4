//! Outrigger's control plane: what a pod becomes when it is created, and what each proxy is told.
//!
//! # Layout
//! Two of the three paths run through this crate, each readable from file to file in the order in which data flows.
//! 1. A pod is created: [`webhook`] -> [`inject`] (decide, options, sidecar, status, patch).
//! 2. A rule changes: [`control`] (watch -> feed -> world -> compile -> discovery).
//!
//! Beside them: [`api`] (the custom resources), [`settings`] (what an operator can set), [`trust`] (the CA's Secret
//! and who is told of it), [`serve`] (HTTPS with limits, for the webhook and for discovery alike), [`monitoring`].
//! [`audit`] holds running pods against the rules, in the control plane and for [`check`], which looks at a whole cluster.
//! [`controller`] puts them together on a cluster and [`demo`] on loopback; [`cli`] is the command line, of which
//! [`manifests`], [`explain`] and [`probe`] are commands.
//!
//! The third path, a request leaving a pod, is the crate `outrigger_proxy`.

pub mod api;
pub mod audit;
pub mod check;
pub mod cli;
pub mod control;
pub mod controller;
pub mod demo;
pub mod explain;
pub mod inject;
pub mod manifests;
pub mod monitoring;
mod pages;
pub mod probe;
pub mod serve;
pub mod settings;
pub mod trust;
pub mod webhook;
