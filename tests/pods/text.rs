//! JSON values as somebody might write them in YAML: indentation, quoting, flow and block style, comments, blank lines, line
//! ends and ways to say null, picked by the bytes that proptest gives. Before it: `strategy`. After it: `manifests`.

use serde_json::{Map, Value};

/// Writes one document after the other. Zeros give the plainest style, so that what fails shrinks to it.
pub(super) struct Writer<'a> {
    picks: std::iter::Cycle<std::slice::Iter<'a, u8>>,
    out: String,
    step: usize,
    /// Sequences stand as deep as their key, or deeper.
    deeper: bool,
    comments: usize,
}

impl<'a> Writer<'a> {
    pub(super) fn new(picks: &'a [u8]) -> Self {
        let mut picks = picks.iter().cycle();
        let mut first = || picks.next().copied().unwrap_or_default();
        let (step, deeper) = (if first() % 4 == 3 { 4 } else { 2 }, first() % 3 == 1);
        Self {
            picks,
            out: String::new(),
            step,
            deeper,
            comments: 0,
        }
    }

    /// The text of all documents so far.
    pub(super) fn finish(mut self) -> String {
        match self.pick(9) {
            7 => self.out.replace('\n', "\r\n"),
            8 => self.out.trim_end().into(),
            _ => self.out,
        }
    }

    pub(super) fn document(&mut self, object: &Map<String, Value>) {
        if !self.out.is_empty() || self.pick(3) == 2 {
            self.out.push_str("---\n");
        }
        self.map(object, 0, false);
        self.comment_line(0);
    }

    /// A number below `count`; the first is the likeliest.
    fn pick(&mut self, count: u8) -> u8 {
        self.picks.next().copied().unwrap_or_default() % count
    }

    fn map(&mut self, map: &Map<String, Value>, indent: usize, first_is_placed: bool) {
        for (index, (key, value)) in map.iter().enumerate() {
            if index > 0 || !first_is_placed {
                self.comment_line(indent);
                self.out.push_str(&" ".repeat(indent));
            }
            self.text(key);
            self.out.push(':');
            match value {
                Value::Object(map) if !map.is_empty() && self.pick(12) != 11 => {
                    self.end_line();
                    self.map(map, indent + self.step, false);
                }
                Value::Array(list) if !list.is_empty() && self.pick(12) != 11 => {
                    self.end_line();
                    let deeper = if self.deeper { self.step } else { 0 };
                    self.list(list, indent + deeper);
                }
                Value::Null if self.pick(3) == 1 => self.end_line(),
                other => {
                    self.out.push(' ');
                    self.inline(other, indent);
                }
            }
        }
    }

    fn list(&mut self, list: &[Value], indent: usize) {
        for item in list {
            self.comment_line(indent);
            self.out.push_str(&" ".repeat(indent));
            self.out.push_str("- ");
            match item {
                Value::Object(map) if !map.is_empty() && self.pick(12) != 11 => {
                    self.map(map, indent + 2, true)
                }
                other => self.inline(other, indent),
            }
        }
    }

    /// A scalar or a value in flow style, and the end of its line.
    fn inline(&mut self, value: &Value, indent: usize) {
        match value {
            Value::String(text) if text.contains('\n') && self.pick(2) == 1 && is_literal(text) => {
                self.out.push_str("|-\n");
                for line in text.split('\n') {
                    self.out.push_str(&" ".repeat(indent + self.step));
                    self.out.push_str(line);
                    self.out.push('\n');
                }
            }
            _ => {
                self.flow(value);
                self.end_line();
            }
        }
    }

    fn flow(&mut self, value: &Value) {
        let brackets = |value: &Value| if value.is_array() { ("[", "]") } else { ("{", "}") };
        match value {
            Value::Null => {
                let null = ["null", "~"][usize::from(self.pick(2))];
                self.out.push_str(null);
            }
            Value::String(text) => self.text(text),
            Value::Array(list) => {
                self.out.push_str(brackets(value).0);
                for (index, item) in list.iter().enumerate() {
                    self.out.push_str(if index == 0 { "" } else { ", " });
                    self.flow(item);
                }
                self.out.push_str(brackets(value).1);
            }
            Value::Object(map) => {
                self.out.push_str(brackets(value).0);
                for (index, (key, item)) in map.iter().enumerate() {
                    self.out.push_str(if index == 0 { "" } else { ", " });
                    self.text(key);
                    self.out.push_str(": ");
                    self.flow(item);
                }
                self.out.push_str(brackets(value).1);
            }
            other => self.out.push_str(&other.to_string()),
        }
    }

    fn text(&mut self, text: &str) {
        let style = self.pick(4);
        if is_plain(text) && style < 2 {
            self.out.push_str(text);
        } else if style == 3 && !text.chars().any(|char| char.is_control() || !char.is_ascii()) {
            self.out.push_str(&format!("'{}'", text.replace('\'', "''")));
        } else {
            // A JSON string is one in double quotes.
            self.out.push_str(&Value::from(text).to_string());
        }
    }

    fn comment_line(&mut self, indent: usize) {
        match self.pick(10) {
            8 => {
                let comment = self.comment();
                self.out.push_str(&format!("{}{comment}\n", " ".repeat(indent)));
            }
            9 => self.out.push('\n'),
            _ => {}
        }
    }

    fn end_line(&mut self) {
        if self.pick(10) == 9 {
            let comment = self.comment();
            self.out.push_str(&format!("  {comment}"));
        }
        self.out.push('\n');
    }

    /// Each comment is another, so that none can be lost unseen.
    fn comment(&mut self) -> String {
        self.comments += 1;
        format!("# comment {}: {{a: [b", self.comments)
    }
}

/// Whether the text needs no quotes anywhere, and is a string without them.
fn is_plain(text: &str) -> bool {
    let words = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let safe = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
    text.bytes().all(safe)
        && text.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic())
        && !words.contains(&text.to_ascii_lowercase().as_str())
}

/// Whether the text can stand as the lines of a block, without an indentation indicator.
fn is_literal(text: &str) -> bool {
    let line = |line: &str| {
        !line.is_empty() && !line.starts_with([' ', '\t']) && !line.chars().any(char::is_control)
    };
    text.split('\n').all(line)
}
