//! (webhook)
