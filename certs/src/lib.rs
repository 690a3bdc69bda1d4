//! Outrigger's certificates: an [`Authority`] signs, a [`Keyring`] decides which one does and which ones are trusted,
//! a [`ServingCertificate`] is what a server presents and can be replaced while it serves.
//!
//! # Layout
//! `authority` (one CA) -> `keyring` (its succession, the content of a Secret) -> `serving` (what rustls is given).
//! Nothing here reads a clock or the network: the time is always a parameter.

mod authority;
mod keyring;
mod serving;

pub use authority::{Authority, CertificateError, Identity, Request, Validity, certificates};
pub use keyring::{Keyring, KeyringError, Policy};
pub use serving::{Served, ServingCertificate, client_config, server_config};
