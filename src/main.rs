//! `outrigger`.
fn main() {}
