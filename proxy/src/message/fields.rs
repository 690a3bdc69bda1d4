//! A header section: its fields as they were written and in their order, in one piece of memory. Messages have a dozen
//! fields, most of which nobody asks for: to compare lengths is faster than to hash names, and nothing is made of a field
//! that only passes through.

use std::fmt;

use http::header::{HeaderMap, HeaderName, HeaderValue};

/// Room for what a proxy adds to a section, in bytes and in fields.
const ROOM: usize = 256;
const ROOM_FIELDS: usize = 8;

/// The fields of a header section (RFC 9110, section 5). Names are found whatever their case.
#[derive(Clone, Default)]
pub struct Fields {
    /// All names and values, and what was between them.
    text: Vec<u8>,
    lines: Vec<Line>,
}

/// Where a field is in the text.
#[derive(Debug, Clone, Copy)]
struct Line {
    name: Span,
    value: Span,
}

#[derive(Debug, Clone, Copy)]
struct Span {
    start: u32,
    length: u32,
}

impl Span {
    fn of(self, text: &[u8]) -> &[u8] {
        let start = self.start as usize;
        text.get(start..start + self.length as usize).unwrap_or_default()
    }
}

impl Fields {
    /// A copy of a head that has been parsed: `names` and `values` are where its fields are in it. It must be shorter than 4
    /// GiB, and the values without line ends, as a parser gives them.
    pub(crate) fn parsed<'a>(
        head: &[u8],
        count: usize,
        fields: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Self {
        let mut text = Vec::with_capacity(head.len() + ROOM);
        text.extend_from_slice(head);
        let mut lines = Vec::with_capacity(count + ROOM_FIELDS);
        let span = |part: &[u8]| Span {
            start: (part.as_ptr() as usize).wrapping_sub(head.as_ptr() as usize) as u32,
            length: part.len() as u32,
        };
        lines.extend(fields.map(|(name, value)| Line {
            name: span(name),
            value: span(value),
        }));
        Self { text, lines }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The value of the first of this name.
    #[inline]
    pub fn get(&self, name: impl AsRef<str>) -> Option<&[u8]> {
        let at = self.find(name.as_ref())?;
        Some(self.value(self.lines[at]))
    }

    /// The same, if it is text: printable ASCII and tabs.
    pub fn text(&self, name: impl AsRef<str>) -> Option<&str> {
        self.get(name).and_then(text)
    }

    /// The values of all of this name.
    pub fn all<'a>(&'a self, name: &'a (impl AsRef<str> + ?Sized)) -> impl Iterator<Item = &'a [u8]> {
        let name = name.as_ref();
        self.iter()
            .filter_map(move |(found, value)| is(found, name).then_some(value))
    }

    /// Whether there is one of this name.
    #[inline]
    pub fn contains(&self, name: impl AsRef<str>) -> bool {
        self.find(name.as_ref()).is_some()
    }

    /// All names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.lines
            .iter()
            .map(|line| (line.name.of(&self.text), self.value(*line)))
    }

    /// Puts one in the place of all of this name.
    pub fn set(&mut self, name: &HeaderName, value: impl AsRef<[u8]>) {
        match self.find(name.as_str()) {
            None => self.add(name, value),
            Some(at) => {
                self.lines[at].value = self.push_value(value.as_ref());
                if self.lines.len() > at + 1 {
                    let (name, text) = (name.as_str(), &self.text);
                    let mut seen = 0;
                    self.lines.retain(|line| {
                        seen += 1;
                        seen <= at + 1 || !is(line.name.of(text), name)
                    });
                }
            }
        }
    }

    /// Adds one behind the others.
    pub fn add(&mut self, name: &HeaderName, value: impl AsRef<[u8]>) {
        self.add_written(name.as_str(), value);
    }

    /// The same with its name written so.
    pub(crate) fn add_written(&mut self, name: &str, value: impl AsRef<[u8]>) {
        let name = self.push(name.as_bytes());
        let value = self.push_value(value.as_ref());
        self.lines.push(Line { name, value });
    }

    /// Removes all of this name. Whether there was one.
    pub fn remove(&mut self, name: impl AsRef<str>) -> bool {
        let name = name.as_ref();
        let Some(first) = self.find(name) else {
            return false;
        };
        let (text, mut at) = (&self.text, 0);
        self.lines.retain(|line| {
            at += 1;
            at <= first || !is(line.name.of(text), name)
        });
        true
    }

    /// Keeps those of which this is true.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&[u8], &[u8]) -> bool) {
        let text = &self.text;
        self.lines
            .retain(|line| keep(line.name.of(text), line.value.of(text)));
    }

    fn find(&self, name: &str) -> Option<usize> {
        self.lines
            .iter()
            .position(|line| line.name.length as usize == name.len() && is(line.name.of(&self.text), name))
    }

    fn value(&self, line: Line) -> &[u8] {
        line.value.of(&self.text)
    }

    fn push(&mut self, bytes: &[u8]) -> Span {
        let start = self.text.len() as u32;
        self.text.extend_from_slice(bytes);
        Span {
            start,
            length: bytes.len() as u32,
        }
    }

    /// A line end or a NUL in a value would begin another line: they become spaces (RFC 9110, section 5.5).
    fn push_value(&mut self, value: &[u8]) -> Span {
        let span = self.push(value);
        for byte in &mut self.text[span.start as usize..] {
            if matches!(*byte, b'\r' | b'\n' | 0) {
                *byte = b' ';
            }
        }
        span
    }
}

fn is(found: &[u8], name: &str) -> bool {
    found.eq_ignore_ascii_case(name.as_bytes())
}

/// A value as text: printable ASCII and tabs.
pub(crate) fn text(value: &[u8]) -> Option<&str> {
    let visible = |byte: &u8| matches!(byte, b'\t' | b' '..=b'~');
    value
        .iter()
        .all(visible)
        .then(|| std::str::from_utf8(value).ok())
        .flatten()
}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let fields = self.iter().map(|(name, value)| (text(name), text(value)));
        f.debug_map().entries(fields).finish()
    }
}

impl From<&HeaderMap> for Fields {
    fn from(headers: &HeaderMap) -> Self {
        let mut fields = Self {
            text: Vec::with_capacity(headers.len() * 32 + ROOM),
            lines: Vec::with_capacity(headers.len() + ROOM_FIELDS),
        };
        for (name, value) in headers {
            fields.add(name, value);
        }
        fields
    }
}

impl From<&Fields> for HeaderMap {
    /// What cannot be a name or a value in that type, which no parser of ours gives, is left out.
    fn from(fields: &Fields) -> Self {
        let mut headers = Self::with_capacity(fields.len());
        for (name, value) in fields.iter() {
            if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
                headers.append(name, value);
            }
        }
        headers
    }
}

impl<'a> FromIterator<(&'a HeaderName, &'a str)> for Fields {
    fn from_iter<I: IntoIterator<Item = (&'a HeaderName, &'a str)>>(all: I) -> Self {
        let mut fields = Self::default();
        for (name, value) in all {
            fields.add(name, value);
        }
        fields
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::{ACCEPT, COOKIE, HOST, VIA};

    fn fields() -> Fields {
        let head = b"Host: a\r\nCOOKIE: b=1\r\ncookie: c=2\r\n\r\n";
        let one = |at: usize, name: usize, value: usize| {
            (&head[at..at + name], &head[at + name + 2..at + name + 2 + value])
        };
        let lines = [one(0, 4, 1), one(9, 6, 3), one(22, 6, 3)];
        Fields::parsed(head, lines.len(), lines.into_iter())
    }

    fn lines(fields: &Fields) -> Vec<String> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        fields
            .iter()
            .map(|(name, value)| format!("{}: {}", text(name), text(value)))
            .collect()
    }

    #[test]
    fn they_are_found_whatever_their_case_and_stay_as_they_were() {
        let fields = fields();
        assert_eq!(fields.get(HOST), Some(&b"a"[..]));
        assert_eq!(fields.text(COOKIE), Some("b=1"));
        assert_eq!(fields.all(&COOKIE).collect::<Vec<_>>(), [b"b=1", b"c=2"]);
        assert!(fields.contains("cookie") && !fields.contains(VIA));
        assert_eq!(lines(&fields), ["Host: a", "COOKIE: b=1", "cookie: c=2"]);
    }

    #[test]
    fn one_takes_the_place_of_all() {
        let mut fields = fields();
        fields.set(&COOKIE, "d=3");
        fields.set(&ACCEPT, "*/*");
        fields.add(&ACCEPT, "text/html");
        assert_eq!(
            lines(&fields),
            ["Host: a", "COOKIE: d=3", "accept: */*", "accept: text/html"]
        );
        assert!(fields.remove(ACCEPT) && !fields.remove(ACCEPT));
        assert_eq!(lines(&fields), ["Host: a", "COOKIE: d=3"]);
    }

    #[test]
    fn a_value_stays_one_line() {
        let mut fields = Fields::default();
        fields.set(&VIA, "a\r\nhost: b\0");
        assert_eq!(lines(&fields), ["via: a  host: b "]);
    }

    #[test]
    fn maps_and_back() {
        let map = HeaderMap::from(&fields());
        assert_eq!(map.len(), 3);
        assert_eq!(
            lines(&Fields::from(&map)),
            ["host: a", "cookie: b=1", "cookie: c=2"]
        );
    }

    #[test]
    fn what_is_not_text() {
        for (value, is_text) in [("a\tb", true), ("é", false), ("\u{7f}", false), ("", true)] {
            assert_eq!(text(value.as_bytes()).is_some(), is_text, "{value:?}");
        }
    }
}
