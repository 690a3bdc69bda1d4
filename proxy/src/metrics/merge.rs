//! The application's metrics line by line, as they arrive: what may stand in front of the proxy's own. Before it on
//! the path: `scrape`.

use std::collections::BTreeSet;

use bytes::{Bytes, BytesMut};

/// How long a line may be, in bytes; it is kept until its end has come.
const LONGEST_LINE: usize = 1 << 20;
/// What the proxy's own metrics begin with, whether they have been counted yet or not.
const OWN_PREFIX: &str = "outrigger_";
/// What samples have behind the name of their family.
const SUFFIXES: [&str; 8] = [
    "_total", "_bucket", "_count", "_sum", "_created", "_info", "_gcount", "_gsum",
];

/// Takes out the end of OpenMetrics and what bears the name of one of the proxy's own metrics: a family may come only
/// once, and everything else goes on as it is.
#[derive(Debug)]
pub(super) struct Lines {
    own: BTreeSet<String>,
    /// The beginning of a line whose end has not come yet.
    pending: BytesMut,
    ready: BytesMut,
    dropped: u64,
}

/// What is not a line of metrics.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum NotMetrics {
    /// As in a page of HTML.
    #[error("a line begins with {0:?}, which no line of metrics does")]
    Beginning(char),
    /// More than [`LONGEST_LINE`].
    #[error("a line has more than {LONGEST_LINE} bytes")]
    Long,
}

impl Lines {
    /// `own` are the proxy's own metrics, in either format.
    pub(super) fn new(own: &str) -> Self {
        let declared = own.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        Self {
            own: declared
                .filter_map(|line| line.split(' ').next())
                .map(|name| family(name).to_owned())
                .collect(),
            pending: BytesMut::new(),
            ready: BytesMut::new(),
            dropped: 0,
        }
    }

    /// Takes what has come. After an error nothing more is taken; what was [`ready`](Self::ready) before it stays good.
    pub(super) fn push(&mut self, chunk: &[u8]) -> Result<(), NotMetrics> {
        let mut rest = chunk;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, after) = rest.split_at(end + 1);
            rest = after;
            if self.pending.is_empty() {
                self.line(line)?;
            } else {
                let mut whole = self.pending.split();
                whole.extend_from_slice(line);
                self.line(&whole)?;
            }
        }
        if self.pending.len() + rest.len() > LONGEST_LINE {
            return Err(NotMetrics::Long);
        }
        self.pending.extend_from_slice(rest);
        Ok(())
    }

    /// All has come: a last line without a line feed is a line too.
    pub(super) fn finish(&mut self) -> Result<(), NotMetrics> {
        if self.pending.is_empty() {
            return Ok(());
        }
        self.push(b"\n")
    }

    /// The whole lines that can go on.
    pub(super) fn ready(&mut self) -> Bytes {
        self.ready.split().freeze()
    }

    /// How many samples were taken out since the last call.
    pub(super) fn dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    fn line(&mut self, line: &[u8]) -> Result<(), NotMetrics> {
        match read(line)? {
            Line::End => {}
            Line::About(name) if self.is_own(name) => {}
            Line::Sample(name) if self.is_own(name) => self.dropped += 1,
            Line::About(_) | Line::Sample(_) | Line::Other => self.ready.extend_from_slice(line),
        }
        Ok(())
    }

    fn is_own(&self, name: &str) -> bool {
        name.starts_with(OWN_PREFIX) || self.own.contains(name) || self.own.contains(family(name))
    }
}

enum Line<'a> {
    /// HELP, TYPE or UNIT of a metric.
    About(&'a str),
    /// A value of a metric.
    Sample(&'a str),
    /// `# EOF`.
    End,
    /// Empty, or a comment.
    Other,
}

fn read(line: &[u8]) -> Result<Line<'_>, NotMetrics> {
    let line = line.trim_ascii();
    // Names are at the beginning; a value in bytes that are no text is for the scraper to judge.
    let line = match str::from_utf8(line) {
        Ok(line) => line,
        Err(error) => str::from_utf8(&line[..error.valid_up_to()]).unwrap_or_default(),
    };
    match line.chars().next() {
        None => Ok(Line::Other),
        Some('#') => {
            let mut words = line[1..].split_ascii_whitespace();
            Ok(match (words.next(), words.next()) {
                (Some("EOF"), None) => Line::End,
                (Some("HELP" | "TYPE" | "UNIT"), Some(name)) => Line::About(name.trim_matches('"')),
                _ => Line::Other,
            })
        }
        // A name beyond the old alphabet is quoted, and stands inside.
        Some('{') => Ok(Line::Sample(
            line[1..]
                .trim_start()
                .trim_start_matches('"')
                .split('"')
                .next()
                .unwrap_or_default(),
        )),
        Some('a'..='z' | 'A'..='Z' | '_' | ':') => Ok(Line::Sample(
            line.split(['{', ' ', '\t']).next().unwrap_or_default(),
        )),
        Some(other) => Err(NotMetrics::Beginning(other)),
    }
}

/// The family that a sample belongs to.
fn family(name: &str) -> &str {
    SUFFIXES
        .iter()
        .find_map(|suffix| name.strip_suffix(suffix))
        .unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "# TYPE outrigger_requests counter\noutrigger_requests_total 1\n# TYPE istio_open gauge\nistio_open 1\n# EOF\n";

    fn merged(app: &[u8], chunk: usize) -> (String, u64, Result<(), NotMetrics>) {
        let mut lines = Lines::new(OWN);
        let pushed = app.chunks(chunk).try_for_each(|chunk| lines.push(chunk));
        let outcome = pushed.and_then(|()| lines.finish());
        let ready = String::from_utf8(lines.ready().into()).unwrap();
        (ready, lines.dropped(), outcome)
    }

    #[test]
    fn lines_that_go_on() {
        for (app, left, dropped) in [
            ("", "", 0),
            ("a 1\nb{c=\"d\"} 2 3\n", "a 1\nb{c=\"d\"} 2 3\n", 0),
            ("a 1", "a 1\n", 0),
            (
                "# TYPE a counter\na_total 1\n# EOF\n",
                "# TYPE a counter\na_total 1\n",
                0,
            ),
            ("a 1\n# EOF", "a 1\n", 0),
            ("# a comment\n\n  a 1\n", "# a comment\n\n  a 1\n", 0),
            (
                "# HELP istio_open x\n# TYPE istio_open gauge\nistio_open{a=\"b\"} 1\nistio_opened 1\nistio_requests_total 2\n",
                "istio_opened 1\nistio_requests_total 2\n",
                1,
            ),
            (
                "outrigger_anything 1\n# TYPE outrigger_requests_total counter\nouter 1\n",
                "outer 1\n",
                1,
            ),
            (
                "{\"istio_open\", a=\"b\"} 1\n{\"an other\"} 2\n",
                "{\"an other\"} 2\n",
                1,
            ),
        ] {
            for chunk in [1, 7, 1000] {
                let found = merged(app.as_bytes(), chunk);
                assert_eq!(
                    found,
                    (left.into(), dropped, Ok(())),
                    "{app:?} in chunks of {chunk}"
                );
            }
        }
    }

    #[test]
    fn what_is_not_metrics_ends_it() {
        assert_eq!(
            merged(b"a 1\n<html>\nb 2\n", 5),
            ("a 1\n".into(), 0, Err(NotMetrics::Beginning('<')))
        );
        let mut long = b"a 1\nb{c=\"".to_vec();
        long.resize(LONGEST_LINE + 100, b'c');
        let (left, _, outcome) = merged(&long, 64 << 10);
        assert_eq!((left.as_str(), outcome), ("a 1\n", Err(NotMetrics::Long)));
    }
}
