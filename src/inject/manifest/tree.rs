//! A YAML document as a tree of nodes with their places in the text: what is where, not what it means.
//! Before it: `document`, with one document's text. After it: `edit`, which says what becomes of each node.

use std::borrow::Cow;

use granit_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput, StructureStyle};

use super::lines;

/// One value in the text.
#[derive(Debug)]
pub(super) struct Node<'a> {
    /// Of its anchor or tag, or of the value itself.
    pub(super) start: usize,
    /// Behind its last byte that is not a line break or a comment.
    pub(super) end: usize,
    /// The number of the anchor that it defines.
    pub(super) anchor: Option<usize>,
    pub(super) kind: Kind<'a>,
}

#[derive(Debug)]
pub(super) enum Kind<'a> {
    /// Nothing at all, which is null: `key:`.
    Empty,
    /// A plain or quoted scalar.
    Scalar,
    /// A scalar after `|` or `>`.
    BlockScalar,
    /// `*name`, by the number of its anchor.
    Alias(usize),
    Collection(Collection<'a>),
}

/// A mapping or a sequence.
#[derive(Debug)]
pub(super) struct Collection<'a> {
    pub(super) is_mapping: bool,
    /// In brackets, as all of JSON is.
    pub(super) is_flow: bool,
    /// The key `<<` is in it: other mappings' members are its members too.
    pub(super) has_merge: bool,
    /// A key is not written as `key:`, so that members cannot be told apart by their text.
    pub(super) is_opaque: bool,
    pub(super) children: Vec<Child<'a>>,
}

/// A member of a mapping or an item of a sequence.
#[derive(Debug)]
pub(super) struct Child<'a> {
    /// The member's name; none for an item.
    pub(super) key: Option<Cow<'a, str>>,
    /// Of the key, of the `-`, or of the item in brackets.
    pub(super) start: usize,
    /// Behind the `:` or the `-`, where the value may begin.
    pub(super) mark: usize,
    pub(super) node: Node<'a>,
}

impl Child<'_> {
    /// Behind its last byte that is not a line break or a comment.
    pub(super) fn end(&self) -> usize {
        self.node.end.max(self.mark)
    }

    pub(super) fn is_merge(&self, text: &str) -> bool {
        self.key.as_deref() == Some("<<") && text[self.start..].starts_with("<<")
    }
}

/// The root of a document, or `None` if there is none. The depth is limited by the parser.
pub(super) fn parse(text: &str) -> Result<Option<Node<'_>>, ScanError> {
    let mut options = granit_parser::options! {
        emit_anchor_events: true,
    };
    // A comment is whatever is between nodes; the parser would only keep so many.
    options.set_emit_comments(false);
    let mut builder = Builder {
        text,
        events: Parser::new_from_str_with_options(text, options),
        cursor: 0,
    };
    while let Some((event, span)) = builder.next()? {
        match event {
            Event::DocumentStart(..) => builder.cursor = bytes(&span).1,
            event if event.is_node() => return builder.node(event, span).map(Some),
            _ => {}
        }
    }
    Ok(None)
}

struct Builder<'a> {
    text: &'a str,
    events: Parser<'a, StrInput<'a>>,
    /// Behind what has been read.
    cursor: usize,
}

impl<'a> Builder<'a> {
    fn next(&mut self) -> Result<Option<(Event<'a>, Span)>, ScanError> {
        self.events.next().transpose()
    }

    /// The next child of a collection, or `None` with where the collection ends.
    fn child(&mut self) -> Result<Result<(Event<'a>, Span), usize>, ScanError> {
        Ok(match self.next()? {
            Some((event, span)) if event.is_node() => Ok((event, span)),
            Some((_, span)) => Err(bytes(&span).1),
            None => Err(self.text.len()),
        })
    }

    fn node(&mut self, event: Event<'a>, span: Span) -> Result<Node<'a>, ScanError> {
        let anchor = event.anchor_id().filter(|_| !event.is_alias());
        let tag = span.tag_span().map(|span| bytes(&span));
        let name = match anchor {
            Some(_) => self.next()?.map(|(_, span)| bytes(&span)),
            None => None,
        };
        let properties = [tag, name];
        let properties = properties.iter().flatten();
        let start = properties.clone().map(|(start, _)| *start).min();
        self.cursor = properties.map(|(_, end)| *end).fold(self.cursor, usize::max);
        let (from, to) = bytes(&span);
        let (own_start, end, kind) = match event {
            Event::Alias(id) => (from, to, Kind::Alias(id)),
            Event::Scalar(_, ScalarStyle::Literal | ScalarStyle::Folded, ..) => {
                let header = self.skip(false);
                (header, self.end_of_block_scalar(header, to), Kind::BlockScalar)
            }
            Event::Scalar(..) if from == to => (self.cursor, self.cursor, Kind::Empty),
            Event::Scalar(..) => (from, to, Kind::Scalar),
            Event::SequenceStart(StructureStyle::Flow, ..) => self.flow(false, from, to)?,
            Event::MappingStart(StructureStyle::Flow, ..) => self.flow(true, from, to)?,
            Event::SequenceStart(..) => self.block(false)?,
            _ => self.block(true)?,
        };
        self.cursor = end;
        let start = start.unwrap_or(own_start);
        Ok(Node {
            start,
            end,
            anchor,
            kind,
        })
    }

    /// Without the empty lines behind it, unless they are a part of it, as `|+` and `>+` have it.
    fn end_of_block_scalar(&self, header: usize, end: usize) -> usize {
        let first_line = &self.text[header..lines::end(self.text, header)];
        let keeps = first_line
            .split(['#', ' '])
            .next()
            .is_some_and(|it| it.contains('+'));
        // The parser may end it behind the indentation of what follows.
        let line = lines::start(self.text, end);
        let is_indentation = end < self.text.len() && self.text[line..end].trim().is_empty();
        let end = if is_indentation { line } else { end };
        let content = &self.text[header..end.max(header)];
        let trimmed = match keeps {
            true => content.strip_suffix('\n').unwrap_or(content),
            false => content.trim_end_matches(['\n', '\r']),
        };
        let trimmed = trimmed.strip_suffix('\r').unwrap_or(trimmed);
        header + trimmed.len()
    }

    fn block(&mut self, is_mapping: bool) -> Result<(usize, usize, Kind<'a>), ScanError> {
        let mut collection = Collection::new(is_mapping, false);
        while let Ok((event, span)) = self.child()? {
            let start = self.skip(false);
            let child = match is_mapping {
                true => self.member(&mut collection, start, event, span)?,
                false => {
                    let mark = start + usize::from(self.at(start, "-"));
                    collection.is_opaque |= mark == start;
                    self.cursor = mark;
                    let node = self.node(event, span)?;
                    Child {
                        key: None,
                        start,
                        mark,
                        node,
                    }
                }
            };
            self.cursor = child.end();
            collection.children.push(child);
        }
        let start = collection
            .children
            .first()
            .map_or(self.cursor, |child| child.start);
        Ok((start, self.cursor, Kind::Collection(collection)))
    }

    fn flow(
        &mut self,
        is_mapping: bool,
        from: usize,
        to: usize,
    ) -> Result<(usize, usize, Kind<'a>), ScanError> {
        let mut collection = Collection::new(is_mapping, true);
        // `[a: b]` is a list of a mapping without brackets of its own.
        collection.is_opaque = from == to;
        self.cursor = to;
        let end = loop {
            let (event, span) = match self.child()? {
                Ok(child) => child,
                Err(end) => break end,
            };
            let start = self.skip(true);
            let child = match is_mapping {
                true => self.member(&mut collection, start, event, span)?,
                false => {
                    let node = self.node(event, span)?;
                    let mark = node.start;
                    Child {
                        key: None,
                        start,
                        mark,
                        node,
                    }
                }
            };
            self.cursor = child.end();
            collection.children.push(child);
        };
        let end = if from == to { self.cursor } else { end };
        Ok((from, end, Kind::Collection(collection)))
    }

    fn member(
        &mut self,
        collection: &mut Collection<'a>,
        start: usize,
        event: Event<'a>,
        span: Span,
    ) -> Result<Child<'a>, ScanError> {
        self.cursor = start;
        if self.at(start, "?") && bytes(&span).0 > start {
            collection.is_opaque = true;
            self.cursor = start + 1;
        }
        let key = match &event {
            Event::Scalar(text, ..) => Some(text.clone()),
            _ => None,
        };
        let node = self.node(event, span)?;
        collection.is_opaque |= key.is_none() || matches!(node.kind, Kind::Empty | Kind::BlockScalar);
        let colon = self.skip(false);
        if self.at(colon, ":") {
            self.cursor = colon + 1;
        } else {
            collection.is_opaque = true;
        }
        let mark = self.cursor;
        let node = match self.child()? {
            Ok((event, span)) => self.node(event, span)?,
            Err(end) => Node {
                start: end,
                end,
                anchor: None,
                kind: Kind::Empty,
            },
        };
        let child = Child {
            key,
            start,
            mark,
            node,
        };
        collection.has_merge |= child.is_merge(self.text);
        Ok(child)
    }

    /// The next byte after the cursor that is neither white space nor in a comment, and, in brackets, no comma.
    fn skip(&self, commas: bool) -> usize {
        let bytes = self.text.as_bytes();
        let mut at = self.cursor;
        while let Some(byte) = bytes.get(at) {
            match byte {
                b' ' | b'\t' | b'\n' | b'\r' => at += 1,
                b',' if commas => at += 1,
                b'#' => at = lines::end(self.text, at),
                _ => break,
            }
        }
        at
    }

    fn at(&self, at: usize, wanted: &str) -> bool {
        self.text[at..].starts_with(wanted)
    }
}

impl Collection<'_> {
    fn new(is_mapping: bool, is_flow: bool) -> Self {
        Self {
            is_mapping,
            is_flow,
            has_merge: false,
            is_opaque: false,
            children: vec![],
        }
    }

    /// The column of a block collection, which is never empty.
    pub(super) fn column(&self, text: &str) -> usize {
        let first = self.children.first();
        first.map_or(0, |first| lines::column(text, first.start))
    }
}

/// Spans of a parser of a string always have byte offsets.
fn bytes(span: &Span) -> (usize, usize) {
    span.byte_range().map_or((0, 0), |range| (range.start, range.end))
}
