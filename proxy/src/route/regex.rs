//! Regular expressions, as RE2 reads them in Istio's proxies. Used by `text` and `rewrite`, and by the control plane, which
//! refuses what cannot be compiled.

use ::regex::bytes::{Regex, RegexBuilder};

/// Longest regular expression that is taken, in characters, and how large it may compile, in bytes: what a user
/// writes must not be able to exhaust a proxy.
const REGEX_CHARACTERS: usize = 1024;
const REGEX_BYTES: usize = 1 << 20;

/// What makes a regular expression match the whole value.
const BEFORE: &str = "^(?:";
const AFTER: &str = ")$";

/// Compiles a regular expression that must match the whole value, as RE2's full match does in Istio.
///
/// # Errors
/// What is wrong with it, in one line.
pub fn regex(text: &str) -> Result<Regex, String> {
    // Compiled alone first: "a)(b" is wrong, but would be right between the parentheses below.
    search(text)?;
    build(&format!("{BEFORE}{}{AFTER}", ascii(text)))
}

/// Compiles a regular expression that is looked for anywhere in a value.
///
/// # Errors
/// What is wrong with it, in one line.
pub(crate) fn search(text: &str) -> Result<Regex, String> {
    if text.chars().count() > REGEX_CHARACTERS {
        return Err(format!("longer than {REGEX_CHARACTERS} characters"));
    }
    build(&ascii(text))
}

/// With RE2's classes in place of those that the regex crate has by the same names: theirs are Unicode's, which take other
/// digits and letters as well, and are so large that a hundred of them are more than may be compiled
/// (<https://github.com/google/re2/wiki/Syntax>, Perl character classes and empty strings). Within brackets they nest.
fn ascii(text: &str) -> String {
    let mut ascii = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            ascii.push(character);
            continue;
        }
        match characters.next() {
            Some('d') => ascii.push_str("[0-9]"),
            Some('D') => ascii.push_str("[^0-9]"),
            Some('w') => ascii.push_str("[0-9A-Za-z_]"),
            Some('W') => ascii.push_str("[^0-9A-Za-z_]"),
            Some('s') => ascii.push_str(r"[\t\n\f\r ]"),
            Some('S') => ascii.push_str(r"[^\t\n\f\r ]"),
            Some(edge @ ('b' | 'B')) => ascii.push_str(&format!(r"(?-u:\{edge})")),
            other => {
                ascii.push(character);
                ascii.extend(other);
            }
        }
    }
    ascii
}

fn build(text: &str) -> Result<Regex, String> {
    RegexBuilder::new(text)
        .size_limit(REGEX_BYTES)
        .dfa_size_limit(REGEX_BYTES)
        .build()
        .map_err(|error| {
            let error = error.to_string();
            error.lines().last().unwrap_or_default().trim().to_owned()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_those_of_re2() {
        for (text, value, expected) in [
            (r"/v\d+", "/v12", true),
            (r"\d", "\u{663}", false),
            (r"\D", "\u{663}", true),
            (r"[\w.-]+", "a_B-3.c", true),
            (r"[^\w]", "a", false),
            (r"[^\w]", "é", true),
            (r"\w", "é", false),
            (r"\W", "é", true),
            (r"a\sb\Sc", "a b-c", true),
            (r"\s", "\u{2003}", false),
            (r"[\s\d]+", "1 2", true),
            (r".*\bfoo\b.*", "a foo b", true),
            (r".*\bfoo\b.*", "éfoo", true),
            (r".*\Bfoo", "éfoo", false),
            (r"\\d", "\\d", true),
            (r"\.\$", ".$", true),
            (r"a.c", "aéc", true),
        ] {
            let compiled = regex(text).unwrap();
            assert_eq!(compiled.is_match(value.as_bytes()), expected, "{text} {value}");
        }
    }

    #[test]
    fn many_of_them_are_not_too_large() {
        assert!(regex(r"(\w{1,200}\.){4}\w+").is_ok());
        assert!(regex("(a{1000}){1000}").is_err());
    }
}
