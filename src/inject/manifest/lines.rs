//! The lines of a text by byte offset. YAML ends a line at LF, CR LF or CR.
//! Used by `tree`, `render` and whoever reports a line.

const BREAKS: [char; 2] = ['\n', '\r'];
const BYTE_ORDER_MARK: char = '\u{feff}';

/// Where the line that `at` is in begins, behind a byte order mark.
pub(super) fn start(text: &str, at: usize) -> usize {
    match text[..at].rfind(BREAKS) {
        Some(end) => end + 1,
        None if text.starts_with(BYTE_ORDER_MARK) && at >= BYTE_ORDER_MARK.len_utf8() => {
            BYTE_ORDER_MARK.len_utf8()
        }
        None => 0,
    }
}

/// Where the line that `at` is in ends, before its break.
pub(super) fn end(text: &str, at: usize) -> usize {
    text[at..].find(BREAKS).map_or(text.len(), |length| at + length)
}

/// Where the line above the one that `at` is in ends, before its break; none for the first.
pub(super) fn end_of_previous(text: &str, at: usize) -> Option<usize> {
    let start = text[..at].rfind(BREAKS)? + 1;
    let above = &text[..start];
    let length = if above.ends_with("\r\n") { 2 } else { 1 };
    Some(start - length)
}

/// Bytes between the beginning of its line and `at`.
pub(super) fn column(text: &str, at: usize) -> usize {
    at - start(text, at)
}

/// Whether nothing but spaces is in front of `at` on its line.
pub(super) fn begins_at(text: &str, at: usize) -> bool {
    text[start(text, at)..at].bytes().all(|byte| byte == b' ')
}

/// Counted from 1.
pub(super) fn number(text: &str, at: usize) -> usize {
    1 + text[..at].matches('\n').count()
}

/// The break that the text uses first; LF if it has none.
pub(super) fn line_break(text: &str) -> &'static str {
    let end = end(text, 0);
    match &text[end..] {
        rest if rest.starts_with("\r\n") => "\r\n",
        rest if rest.starts_with('\r') => "\r",
        _ => "\n",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_at_every_break_of_yaml() {
        let text = "ab\r\ncd\ref\n\ngh";
        let at = |part: &str| text.find(part).expect(part);
        assert_eq!(start(text, at("d")), at("cd"));
        assert_eq!(end(text, at("c")), at("\ref"));
        assert_eq!(end_of_previous(text, at("d")), Some(2));
        assert_eq!(end_of_previous(text, at("f")), Some(at("\ref")));
        assert_eq!(end_of_previous(text, at("gh")), Some(at("\ngh")));
        assert_eq!(end_of_previous(text, 1), None);
        assert_eq!(column(text, at("h")), 1);
        assert_eq!(end(text, at("h")), text.len());
        assert_eq!(line_break(text), "\r\n");
        assert_eq!(line_break("a"), "\n");
    }

    #[test]
    fn a_byte_order_mark_is_before_the_first_line() {
        let text = "\u{feff}ab";
        assert_eq!(start(text, 4), 3);
        assert!(begins_at(text, 3));
    }
}
