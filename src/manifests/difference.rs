//! What a file's injection changes, as a unified diff for people. A part of `manifests`.

use similar::{ChangeTag, TextDiff};

const CONTEXT: usize = 3;
const RESET: &str = "\x1b[0m";

/// The difference of a file to what becomes of it, empty if there is none. Whoever sees the lines sees CR too, as `patch` has to.
pub(super) fn unified(name: &str, before: &str, after: &str, colour: bool) -> String {
    let diff = TextDiff::from_lines(before, after);
    let mut text = String::new();
    let mut line = |code: &str, content: &str| match colour {
        true => text.push_str(&format!("{code}{content}{RESET}\n")),
        false => text.push_str(&format!("{content}\n")),
    };
    let mut unified = diff.unified_diff();
    unified.context_radius(CONTEXT);
    for (index, hunk) in unified.iter_hunks().enumerate() {
        if index == 0 {
            line("\x1b[1m", &format!("--- {name}"));
            line("\x1b[1m", &format!("+++ {name}"));
        }
        line("\x1b[36m", &hunk.header().to_string());
        for change in hunk.iter_changes() {
            let value = change.value();
            let content = value.strip_suffix('\n').unwrap_or(value);
            match change.tag() {
                ChangeTag::Delete => line("\x1b[31m", &format!("-{content}")),
                ChangeTag::Insert => line("\x1b[32m", &format!("+{content}")),
                ChangeTag::Equal => line("", &format!(" {content}")),
            }
            if change.missing_newline() {
                line("", "\\ No newline at end of file");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_reads_as_diff_writes_it() {
        let expected =
            "--- a.yaml\n+++ a.yaml\n@@ -1,2 +1,3 @@\n a: 1\n+b: 2\n c: 3\n\\ No newline at end of file\n";
        assert_eq!(
            unified("a.yaml", "a: 1\nc: 3", "a: 1\nb: 2\nc: 3", false),
            expected
        );
        assert_eq!(unified("a.yaml", "a: 1\n", "a: 1\n", true), "");
    }

    #[test]
    fn colours_end_with_their_line() {
        let text = unified("a", "a\n", "b\n", true);
        assert!(
            text.contains("\x1b[31m-a\x1b[0m\n\x1b[32m+b\x1b[0m\n"),
            "{text:?}"
        );
    }
}
