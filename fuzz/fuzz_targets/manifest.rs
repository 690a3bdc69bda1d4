//! Any text as a manifest. What must hold is in tests/corpus/manifest.rs, which `cargo test` runs over the corpus.
#![no_main]

#[path = "../../tests/corpus/manifest.rs"]
mod manifest;

libfuzzer_sys::fuzz_target!(|data: &[u8]| manifest::check(data));
