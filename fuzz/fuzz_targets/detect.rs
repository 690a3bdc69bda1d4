//! Any bytes as the first of a connection. What must hold is in tests/corpus/detect.rs, which `cargo test` runs over the corpus.
#![no_main]

#[path = "../../tests/corpus/detect.rs"]
mod detect;

libfuzzer_sys::fuzz_target!(|data: &[u8]| detect::check(data));
