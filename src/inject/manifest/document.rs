//! The documents of a YAML file, each with its text, so that one that does not change can be copied.
//! Before it: `manifest`, with a file's text. After it: `workload`, with a document's value.

use std::fmt::Write as _;

use serde_json::Value;

/// One document with its `---` line, if it has one, and everything up to the next.
pub(super) struct Document<'a> {
    pub(super) text: &'a str,
    /// The line of the file that it begins on, counted from 1.
    pub(super) line: usize,
}

/// Splits at `---` at the start of a line, which YAML allows nowhere inside a document.
pub(super) fn split(text: &str) -> Vec<Document<'_>> {
    let (mut documents, mut start, mut first_line) = (vec![], 0, 1);
    let mut offset = 0;
    for (line, content) in (1..).zip(text.split_inclusive('\n')) {
        if offset > start && is_separator(content) {
            let text = &text[start..offset];
            documents.push(Document {
                text,
                line: first_line,
            });
            (start, first_line) = (offset, line);
        }
        offset += content.len();
    }
    let text = &text[start..];
    documents.push(Document {
        text,
        line: first_line,
    });
    documents
}

fn is_separator(line: &str) -> bool {
    line.strip_prefix("---")
        .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}

impl Document<'_> {
    /// The value, or `None` if there is nothing but comments. Scalars are read as kubectl reads them: `0644` is octal, `yes`
    /// is a boolean, and what is quoted is a string.
    pub(super) fn parse(&self) -> Result<Option<Value>, Box<serde_saphyr::Error>> {
        let blank = |line: &str| {
            let line = line.trim();
            line.is_empty() || line.starts_with(['#', '%']) || line == "---" || line == "..."
        };
        if self.text.lines().all(blank) {
            return Ok(None);
        }
        let options = serde_saphyr::options! {
            legacy_octal_numbers: true,
            budget: serde_saphyr::budget! {
                max_depth: 128,
                max_events: 20_000_000,
                max_nodes: 5_000_000,
            },
        };
        // Empty lines in front make the parser's positions those of the file.
        let text = "\n".repeat(self.line - 1) + self.text;
        let value: Value = serde_saphyr::from_str_with_options(&text, options).map_err(Box::new)?;
        Ok(Some(value).filter(|value| !value.is_null()))
    }

    /// The text of a value that takes this document's place.
    pub(super) fn emit(&self, value: &Value) -> Result<String, serde_saphyr::SerializeError> {
        let options = serde_saphyr::ser_options! {
            // Folding would break long values at spaces; they read and diff better whole.
            folded_wrap_chars: usize::MAX,
        };
        let mut text = String::new();
        if is_separator(self.text) {
            text.push_str("---\n");
        }
        let yaml = serde_saphyr::to_string_with_options(value, options)?;
        let _ = write!(text, "{}", yaml.trim_start_matches('\n'));
        if !text.ends_with('\n') {
            text.push('\n');
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(text: &str) -> Option<Value> {
        Document { text, line: 1 }.parse().expect(text)
    }

    #[test]
    fn documents_are_split_at_separators_only() {
        let table = [
            ("a: 1\n", vec![("a: 1\n", 1)]),
            ("---\na: 1\n---\nb: 2", vec![("---\na: 1\n", 1), ("---\nb: 2", 3)]),
            (
                "# first\n--- # x\na: |\n  ---\n",
                vec![("# first\n", 1), ("--- # x\na: |\n  ---\n", 2)],
            ),
            (
                "a: 1\r\n---\r\nb: 2\r\n",
                vec![("a: 1\r\n", 1), ("---\r\nb: 2\r\n", 2)],
            ),
            ("a: ----\n----\n", vec![("a: ----\n----\n", 1)]),
            ("", vec![("", 1)]),
        ];
        for (text, expected) in table {
            let found: Vec<_> = split(text)
                .iter()
                .map(|document| (document.text, document.line))
                .collect();
            assert_eq!(found, expected, "{text:?}");
        }
    }

    #[test]
    fn scalars_are_read_as_kubectl_reads_them() {
        let table = [
            ("true", json!(true)),
            ("\"true\"", json!("true")),
            ("'1'", json!("1")),
            ("yes", json!(true)),
            ("0644", json!(420)),
            ("0x1f", json!(31)),
            ("1.5", json!(1.5)),
            ("1_000", json!(1000)),
            ("~", json!(null)),
            ("2024-01-01", json!("2024-01-01")),
            ("1.2.3", json!("1.2.3")),
            ("v1", json!("v1")),
            ("!!str 5", json!("5")),
            ("|\n  a\n  b", json!("a\nb\n")),
            (">-\n  a\n  b", json!("a b")),
        ];
        for (text, expected) in table {
            assert_eq!(
                parse(&format!("key: {text}\n")),
                Some(json!({"key": expected})),
                "{text}"
            );
        }
        assert_eq!(parse("1: a\ntrue: b\n"), Some(json!({"1": "a", "true": "b"})));
        assert_eq!(
            parse("a: &x {b: 1}\nc: {<<: *x, d: 2}\n"),
            Some(json!({"a": {"b": 1}, "c": {"b": 1, "d": 2}}))
        );
    }

    #[test]
    fn comments_alone_are_no_document() {
        for text in [
            "",
            "\n\n",
            "# only\n",
            "---\n# only\n",
            "%YAML 1.2\n",
            "--- # nothing\n",
            "---\nnull\n",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn what_is_written_is_read_again_as_the_same() {
        let strings = [
            "",
            " ",
            "a",
            " a",
            "a ",
            "true",
            "yes",
            "on",
            "null",
            "~",
            "1",
            "01",
            "1.0",
            "1e3",
            "0x1f",
            "1_000",
            "1:30",
            "-",
            "- a",
            "a: b",
            "a #b",
            "#b",
            "a\nb",
            "a\nb\n",
            "a\nb\n\n",
            "\n",
            "\n\na",
            "  a\n b\n",
            "\ta",
            "a\t",
            "a\r\nb",
            "'",
            "\"",
            "\\",
            "{}",
            "[a]",
            "*a",
            "&a",
            "!a",
            "%a",
            "@a",
            "`a`",
            "|",
            ">",
            "?",
            ":",
            "=",
            "<<",
            "---",
            "...",
            "a\n---\nb",
            "\u{7f}",
            "\u{0}",
            "\u{85}",
            "\u{2028}",
            "\u{feff}",
            "日本語",
            "🚣",
            "2024-01-01",
            ".inf",
            ".nan",
            "{\"a\":\"b\"}",
            "$(VAR)",
        ];
        let long = "word ".repeat(60);
        let mut all: Vec<&str> = strings.into();
        all.push(&long);
        let keyed: serde_json::Map<_, _> = all.iter().map(|text| (text.to_string(), json!(text))).collect();
        let value = json!({
            "list": all, "keys": keyed, "empty": {}, "none": [], "nested": [[1, [2]], [{}]], "null": null,
            "numbers": [0, -1, 1.5, u64::MAX, i64::MIN],
        });
        let document = Document { text: "", line: 1 };
        let text = document.emit(&value).expect("text");
        assert_eq!(parse(&text), Some(value), "{text}");
        assert!(
            text.lines().any(|line| line.contains(long.trim_end())),
            "a long value stays on its line"
        );
    }

    #[test]
    fn an_error_says_where_in_the_file() {
        let documents = split("a: 1\n---\nb: [\n");
        let error = documents[1].parse().expect_err("no end of the list").to_string();
        assert!(
            error.contains("line 3") || error.contains("line 4") || error.contains("4:"),
            "{error}"
        );
    }
}
