//! Outrigger's certificates.
