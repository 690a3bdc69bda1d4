//! What the fuzzers of `fuzz/` found worth keeping, replayed: every file of a corpus goes through the check of its target.

mod detect;
mod manifest;
mod review;
mod route;

use std::fs;
use std::path::Path;

#[allow(clippy::print_stdout, reason = "shown for a file that fails")]
fn replay(target: &str, check: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    assert!(!paths.is_empty(), "{} is empty", folder.display());
    for path in paths {
        println!("{}", path.display());
        check(&fs::read(&path).expect("a file"));
    }
}

#[test]
fn reviews() {
    replay("review", review::check);
}

#[test]
fn manifests() {
    replay("manifest", manifest::check);
}

#[test]
fn routes() {
    replay("route", route::check);
}

#[test]
fn first_bytes() {
    replay("detect", detect::check);
}
