//! `outrigger-proxy`.
fn main() {}
