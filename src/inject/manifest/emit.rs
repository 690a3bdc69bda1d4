//! New values as text: block style below the lines that are there, or one line between brackets.
//! Before it: `render`, which knows where. After it: the document's text.

use serde_json::{Map, Value};

use super::style::Style;

/// Where the members of a bracket that has a line for each are.
#[derive(Clone, Debug)]
pub(super) struct Indent {
    pub(super) column: String,
    pub(super) step: String,
}

/// Words that are not strings in YAML 1.1 or 1.2, or that a reader of numbers may take.
const WORDS: [&str; 12] = [
    "true", "false", "yes", "no", "on", "off", "y", "n", "null", "nan", "inf", "infinity",
];

impl Style {
    /// A new line at a column.
    pub(super) fn new_line(&self, out: &mut String, column: usize) {
        out.push_str(self.line_break);
        out.extend(std::iter::repeat_n(' ', column));
    }

    /// `key: value` of a mapping at `column`; what does not fit into a line follows in lines of its own.
    pub(super) fn member(&self, out: &mut String, key: &str, value: &Value, column: usize) {
        scalar(out, key);
        out.push(':');
        self.below(out, value, column);
    }

    /// `- value` of a sequence at `column`.
    pub(super) fn item(&self, out: &mut String, value: &Value, column: usize) {
        out.push('-');
        self.beside(out, value, column);
    }

    /// What stands behind the `:` of a member of a mapping at `column`.
    pub(super) fn below(&self, out: &mut String, value: &Value, column: usize) {
        match value {
            Value::Object(map) if !map.is_empty() => {
                let column = column + self.step;
                for (key, value) in map {
                    self.new_line(out, column);
                    self.member(out, key, value, column);
                }
            }
            Value::Array(list) if !list.is_empty() => {
                let column = column + self.dash;
                for item in list {
                    self.new_line(out, column);
                    self.item(out, item, column);
                }
            }
            value => {
                out.push(' ');
                inline(out, value);
            }
        }
    }

    /// What stands behind the `-` of an item of a sequence at `column`.
    pub(super) fn beside(&self, out: &mut String, value: &Value, column: usize) {
        let column = column + 2;
        out.push(' ');
        match value {
            Value::Object(map) if !map.is_empty() => {
                for (index, (key, value)) in map.iter().enumerate() {
                    if index > 0 {
                        self.new_line(out, column);
                    }
                    self.member(out, key, value, column);
                }
            }
            Value::Array(list) if !list.is_empty() => {
                for (index, item) in list.iter().enumerate() {
                    if index > 0 {
                        self.new_line(out, column);
                    }
                    self.item(out, item, column);
                }
            }
            value => inline(out, value),
        }
    }

    /// JSON, which is YAML between brackets too; a line for each member if there is an indent.
    pub(super) fn json(&self, out: &mut String, value: &Value, indent: Option<&Indent>) {
        match value {
            Value::Object(map) if !map.is_empty() => self.object(out, map, indent),
            Value::Array(list) if !list.is_empty() => {
                let inner = indent.map(Indent::deeper);
                out.push('[');
                for (index, item) in list.iter().enumerate() {
                    self.separate(out, index, inner.as_ref());
                    self.json(out, item, inner.as_ref());
                }
                self.close(out, ']', indent);
            }
            value => json_scalar(out, value),
        }
    }

    fn object(&self, out: &mut String, map: &Map<String, Value>, indent: Option<&Indent>) {
        let inner = indent.map(Indent::deeper);
        out.push('{');
        for (index, (key, value)) in map.iter().enumerate() {
            self.separate(out, index, inner.as_ref());
            self.json_member(out, key, value, inner.as_ref());
        }
        self.close(out, '}', indent);
    }

    /// `"key": value`.
    pub(super) fn json_member(&self, out: &mut String, key: &str, value: &Value, indent: Option<&Indent>) {
        quoted(out, key);
        out.push_str(if self.is_tight { ":" } else { ": " });
        self.json(out, value, indent);
    }

    fn separate(&self, out: &mut String, index: usize, indent: Option<&Indent>) {
        match (index, indent) {
            (0, None) => {}
            (_, None) => out.push_str(if self.is_tight { "," } else { ", " }),
            (index, Some(indent)) => {
                if index > 0 {
                    out.push(',');
                }
                out.push_str(self.line_break);
                out.push_str(&indent.column);
            }
        }
    }

    fn close(&self, out: &mut String, bracket: char, indent: Option<&Indent>) {
        if let Some(indent) = indent {
            out.push_str(self.line_break);
            out.push_str(&indent.column);
        }
        out.push(bracket);
    }
}

impl Indent {
    fn deeper(&self) -> Self {
        Self {
            column: format!("{}{}", self.column, self.step),
            step: self.step.clone(),
        }
    }
}

/// A value without lines of its own.
pub(super) fn inline(out: &mut String, value: &Value) {
    match value {
        Value::String(text) => scalar(out, text),
        value => json_scalar(out, value),
    }
}

fn json_scalar(out: &mut String, value: &Value) {
    match value {
        Value::String(text) => quoted(out, text),
        Value::Object(_) => out.push_str("{}"),
        Value::Array(_) => out.push_str("[]"),
        value => out.push_str(&value.to_string()),
    }
}

/// A string in block style: plain where every reader takes it for a string, else in quotes.
fn scalar(out: &mut String, text: &str) {
    if is_plain(text) {
        out.push_str(text);
    } else if text.contains(['"', '\\']) && !text.contains('\'') && text.chars().all(is_printable) {
        out.push('\'');
        out.push_str(text);
        out.push('\'');
    } else {
        quoted(out, text);
    }
}

/// In double quotes, which JSON and YAML read alike.
fn quoted(out: &mut String, text: &str) {
    out.push('"');
    for char in text.chars() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            char if is_printable(char) => out.push(char),
            // All of these are in the first plane.
            char => out.push_str(&format!("\\u{:04x}", u32::from(char))),
        }
    }
    out.push('"');
}

/// What YAML lets stand for itself on one line.
fn is_printable(char: char) -> bool {
    !char.is_control()
        && !matches!(
            char,
            '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}'
        )
}

fn is_plain(text: &str) -> bool {
    let letter = |byte: &u8| byte.is_ascii_alphabetic();
    let bytes = text.as_bytes();
    let harmless = |(index, byte): (usize, &u8)| match byte {
        b':' => bytes.get(index + 1).is_some_and(|next| *next != b' '),
        b'_' | b'.' | b'/' | b'-' | b'@' | b'=' | b',' => true,
        byte => byte.is_ascii_alphanumeric(),
    };
    let begins = match bytes {
        [b'/', ..] => true,
        [first, ..] if letter(first) => true,
        [b'-', second, ..] if letter(second) => true,
        [b'-', b'-', third, ..] => letter(third),
        _ => is_quantity(text),
    };
    begins
        && bytes.iter().enumerate().all(harmless)
        && !WORDS.contains(&text.trim_start_matches('-').to_ascii_lowercase().as_str())
}

/// An amount as Kubernetes writes it, with a unit that no number has.
fn is_quantity(text: &str) -> bool {
    let unit = text.trim_start_matches(|char: char| char.is_ascii_digit());
    unit.len() < text.len() && matches!(unit, "m" | "Ki" | "Mi" | "Gi" | "Ti" | "k" | "M" | "G" | "T")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inject::manifest::document::Document;
    use serde_json::json;

    fn parse(text: &str) -> Option<Value> {
        Document { text, line: 1 }.parse().expect(text)
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
        let mut block = String::new();
        for (key, value) in value.as_object().expect("a map") {
            let style = Style::default();
            style.member(&mut block, key, value, 0);
            style.new_line(&mut block, 0);
        }
        assert_eq!(parse(&block), Some(value.clone()), "{block}");
        let indent = Indent {
            column: String::new(),
            step: "\t".into(),
        };
        for (is_tight, indent) in [(false, None), (true, None), (false, Some(&indent))] {
            let (mut text, style) = (
                String::new(),
                Style {
                    is_tight,
                    ..Style::default()
                },
            );
            style.json(&mut text, &value, indent);
            assert_eq!(parse(&text), Some(value.clone()), "{text}");
            assert_eq!(serde_json::from_str::<Value>(&text).expect(&text), value);
        }
    }

    #[test]
    fn a_string_is_plain_only_if_no_reader_takes_it_for_something_else() {
        let plain = [
            "app",
            "/bin/sh",
            "--proxy-uid",
            "-c",
            "a.b/c-d_e",
            "10m",
            "16Mi",
            "image:1.0",
            "sidecar@x=y,z",
            "a/b:c:d",
        ];
        let quoted = [
            "",
            "1",
            "1.10",
            "0x1f",
            "1e3",
            "15020,15021",
            "yes",
            "No",
            "NULL",
            "~",
            "a: b",
            "a:",
            "a #b",
            "-",
            "--",
            "---",
            "-inf",
            ".inf",
            "nan",
            "2024-01-01",
            "{a}",
            "*a",
            "a\nb",
            "é",
        ];
        for text in plain {
            let mut out = String::new();
            scalar(&mut out, text);
            assert_eq!(out, text);
        }
        for text in quoted {
            let mut out = String::new();
            scalar(&mut out, text);
            assert!(out.starts_with(['"', '\'']), "{out}");
        }
        let mut out = String::new();
        scalar(&mut out, r#"{"a":1}"#);
        assert_eq!(out, r#"'{"a":1}'"#);
    }
}
