//! Outrigger's data plane.
//!
//! # Layout
//! - [`protocol`]: what the control plane publishes and how it travels.
#![doc = ""]

pub mod protocol;
