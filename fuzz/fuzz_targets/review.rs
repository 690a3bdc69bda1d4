//! Any bytes as the body of an AdmissionReview. What must hold is in tests/corpus/review.rs, which `cargo test` runs over the corpus.
#![no_main]

#[path = "../../tests/corpus/review.rs"]
mod review;

libfuzzer_sys::fuzz_target!(|data: &[u8]| review::check(data));
