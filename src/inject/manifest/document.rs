//! The documents of a YAML file, each with its text, so that one that does not change can be copied.
//! Before it: `manifest`, with a file's text. After it: `workload`, with a document's value.

use serde_json::Value;

/// One document with its `---` line, if it has one, and everything up to the next.
pub(super) struct Document<'a> {
    pub(super) text: &'a str,
    /// The line of the file that it begins on, counted from 1.
    pub(super) line: usize,
}

/// Splits at `---` and behind `...` at the start of a line, which YAML allows nowhere inside a document. Directives
/// (`%YAML`) are a part of the document that they are in front of.
pub(super) fn split(text: &str) -> Vec<Document<'_>> {
    let (mut documents, mut start, mut first_line) = (vec![], 0, 1);
    let (mut offset, mut ended) = (0, false);
    // Nothing but comments so far, and a directive among them.
    let (mut is_prefix, mut has_directive) = (true, false);
    for (line, content) in (1..).zip(text.split_inclusive('\n')) {
        let begins = is_marker(content, "---") && !(is_prefix && has_directive);
        if offset > start && (begins || ended) {
            documents.push(Document {
                text: &text[start..offset],
                line: first_line,
            });
            (start, first_line) = (offset, line);
            (is_prefix, has_directive) = (true, false);
        }
        ended = is_marker(content, "...");
        match content.trim_start_matches('\u{feff}') {
            directive if directive.starts_with('%') => has_directive = true,
            comment => is_prefix &= comment.trim().is_empty() || comment.starts_with('#'),
        }
        offset += content.len();
    }
    documents.push(Document {
        text: &text[start..],
        line: first_line,
    });
    documents
}

fn is_marker(line: &str, marker: &str) -> bool {
    line.strip_prefix(marker)
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
        let value: Value = serde_saphyr::from_str_with_options(self.text, reading()).map_err(|error| {
            // Empty lines in front make the parser's positions those of the file.
            let padded = "\n".repeat(self.line - 1) + self.text;
            let again: Result<Value, _> = serde_saphyr::from_str_with_options(&padded, reading());
            Box::new(again.err().unwrap_or(error))
        })?;
        Ok(Some(value).filter(|value| !value.is_null()))
    }
}

/// kubectl's way of reading, with limits that keep time and memory in proportion to the text.
fn reading() -> serde_saphyr::Options {
    serde_saphyr::options! {
        legacy_octal_numbers: true,
        // They are not read, and their number is not limited then.
        emit_comments: false,
        budget: serde_saphyr::budget! {
            // What a thread of 2 MiB can read even in a build without optimisation.
            max_depth: 80,
            max_events: 20_000_000,
            max_nodes: 5_000_000,
            max_aliases: 10_000,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 200_000,
        },
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
            (
                "a: 1\n...\nb: 2\n... # end\n---\nc: 3\n",
                vec![("a: 1\n...\n", 1), ("b: 2\n... # end\n", 3), ("---\nc: 3\n", 5)],
            ),
            (
                "# first\n%YAML 1.2\n# c\n---\na: 1\n...\n%YAML 1.2\n---\nb: 2\n",
                vec![
                    ("# first\n%YAML 1.2\n# c\n---\na: 1\n...\n", 1),
                    ("%YAML 1.2\n---\nb: 2\n", 7),
                ],
            ),
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
    fn an_error_says_where_in_the_file() {
        let documents = split("a: 1\n---\n# c\nb: [\n");
        let error = documents[1].parse().expect_err("no end of the list").to_string();
        assert!(error.contains("line 4 column 4"), "{error}");
    }
}
