//! What holds for any text that `outrigger inject` reads: it is written again or refused, and injecting the result
//! changes nothing. Used by the fuzz target of the same name and by `corpus`.

use outrigger::inject::manifest::{Format, inject};
use outrigger::settings::Settings;

/// Injects the text, if it is UTF-8, and what came out of it once more.
pub(crate) fn check(text: &[u8]) {
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    let settings = Settings::default();
    let Ok(once) = inject(text, &settings, Format::Yaml) else {
        return;
    };
    let twice = inject(&once.text, &settings, Format::Yaml).expect("what was written can be read");
    assert_eq!(twice.text, once.text, "injected twice");
}
