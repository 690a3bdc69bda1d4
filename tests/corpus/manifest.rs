//! What holds for any text that `outrigger inject` reads: it is written again or refused, injecting the result changes nothing,
//! and uninjecting it gives the text back. Used by the fuzz target of the same name and by `corpus`.

use outrigger::inject::manifest::{Format, inject, uninject};
use outrigger::settings::Settings;

/// Injects the text, if it is UTF-8, and what came out of it once more, and takes it out again.
pub(crate) fn check(text: &[u8]) {
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    // A text without a proxy, or what it was before.
    let Ok(text) = uninject(text, Format::Yaml).map(|outcome| outcome.text) else {
        return;
    };
    let settings = Settings::default();
    let Ok(once) = inject(&text, &settings, Format::Yaml) else {
        return;
    };
    let twice = inject(&once.text, &settings, Format::Yaml).expect("what was written can be read");
    assert_eq!(twice.text, once.text, "injected twice");
    let back = uninject(&once.text, Format::Yaml).expect("what was written can be undone");
    let upgraded = once
        .notes
        .iter()
        .any(|note| note.contains("apps/v1") || note.contains("batch/v1"));
    if !upgraded {
        assert_eq!(back.text, text, "uninjected");
    }
}
