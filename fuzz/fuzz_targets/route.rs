//! Any bytes as a published service and a request. What must hold is in tests/corpus/route.rs, which `cargo test` runs over the corpus.
#![no_main]

#[path = "../../tests/corpus/route.rs"]
mod route;

libfuzzer_sys::fuzz_target!(|data: &[u8]| route::check(data));
