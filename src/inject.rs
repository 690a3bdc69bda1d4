//! (inject)
