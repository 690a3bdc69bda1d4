//! The two text formats in which Prometheus reads metrics, 0.0.4 and OpenMetrics: told apart, asked for, and the
//! proxy's own metrics in either. After it on the path: `scrape`.

use http::header::{ACCEPT, HeaderMap, HeaderValue};

const OPEN_METRICS: &str = "application/openmetrics-text";

/// A text format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// Prometheus' own, 0.0.4.
    Text,
    /// OpenMetrics, 1.0.0: ends with `# EOF`.
    OpenMetrics,
}

impl Format {
    /// What a response is in, by its Content-Type; `None` if that is none of text. Servers without one, and pages that
    /// say they are HTML, have been scraped as 0.0.4 for years.
    pub(super) fn of(content_type: Option<&HeaderValue>) -> Option<Self> {
        let Some(content_type) = content_type else {
            return Some(Self::Text);
        };
        let kind = kind(content_type.to_str().ok()?);
        if kind == OPEN_METRICS {
            return Some(Self::OpenMetrics);
        }
        kind.starts_with("text/").then_some(Self::Text)
    }

    /// The better of the two that a scraper reads.
    pub(crate) fn wanted(scraper: &HeaderMap) -> Self {
        if accepted(scraper).any(|entry| kind(entry) == OPEN_METRICS) {
            Self::OpenMetrics
        } else {
            Self::Text
        }
    }

    /// As a Content-Type.
    pub(crate) fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        })
    }

    /// The proxy's own metrics, which are OpenMetrics with its end, in this format.
    pub(crate) fn render(self, own: String) -> String {
        match self {
            Self::OpenMetrics => own,
            Self::Text => text(&own),
        }
    }
}

/// What the application is asked for: what the scraper accepts, without what cannot be merged (protobuf).
pub(super) fn accept(scraper: &HeaderMap) -> HeaderValue {
    let mergeable = |entry: &&str| {
        matches!(
            kind(entry).as_str(),
            OPEN_METRICS | "text/plain" | "text/*" | "*/*"
        )
    };
    let entries: Vec<&str> = accepted(scraper).filter(mergeable).collect();
    HeaderValue::from_str(&entries.join(","))
        .ok()
        .filter(|entries| !entries.is_empty())
        .unwrap_or(HeaderValue::from_static(
            "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
        ))
}

fn accepted(scraper: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = scraper.get_all(ACCEPT).iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
}

/// The media type without its parameters.
fn kind(entry: &str) -> String {
    let kind = entry.split(';').next().unwrap_or_default();
    kind.trim().to_ascii_lowercase()
}

/// OpenMetrics in 0.0.4: there a counter is declared by the name of its samples, and units and ends are unknown.
fn text(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len());
    // HELP comes before the TYPE that says what its name has to be.
    let mut help = None;
    for line in open_metrics.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some("HELP"), Some(_), words) => help = words,
            (Some("#"), Some("TYPE"), Some(name), Some(kind)) => {
                let (suffix, kind) = match kind {
                    "counter" => ("_total", "counter"),
                    "info" => ("_info", "gauge"),
                    "stateset" => ("", "gauge"),
                    "unknown" => ("", "untyped"),
                    kind => ("", kind),
                };
                if let Some(help) = help.take() {
                    text.push_str(&format!("# HELP {name}{suffix} {help}\n"));
                }
                text.push_str(&format!("# TYPE {name}{suffix} {kind}\n"));
            }
            (Some("#"), ..) => {}
            _ => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_of_responses() {
        for (content_type, format) in [
            (None, Some(Format::Text)),
            (Some("text/plain; version=0.0.4"), Some(Format::Text)),
            (
                Some("TEXT/PLAIN;version=1.0.0;escaping=underscores"),
                Some(Format::Text),
            ),
            (Some("text/html; charset=utf-8"), Some(Format::Text)),
            (
                Some("application/openmetrics-text; version=0.0.1; charset=utf-8"),
                Some(Format::OpenMetrics),
            ),
            (Some("application/json"), None),
            (
                Some("application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily"),
                None,
            ),
        ] {
            let value = content_type.map(HeaderValue::from_static);
            assert_eq!(Format::of(value.as_ref()), format, "{content_type:?}");
        }
    }

    #[test]
    fn what_is_asked_for() {
        let default = "text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        for (scraper, asked, own) in [
            (vec![], default, Format::Text),
            (vec!["*/*"], "*/*", Format::Text),
            (vec!["application/json"], default, Format::Text),
            (
                vec![
                    "application/vnd.google.protobuf;proto=a;encoding=delimited;q=0.6, application/openmetrics-text;version=1.0.0;q=0.5",
                    "text/plain;version=0.0.4;q=0.4",
                ],
                "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.4",
                Format::OpenMetrics,
            ),
        ] {
            let mut headers = HeaderMap::new();
            for value in &scraper {
                headers.append(ACCEPT, HeaderValue::from_static(value));
            }
            assert_eq!(accept(&headers), asked, "{scraper:?}");
            assert_eq!(Format::wanted(&headers), own, "{scraper:?}");
        }
    }

    #[test]
    fn open_metrics_as_text() {
        let own = "# HELP a_requests All of them.\n# TYPE a_requests counter\na_requests_total{b=\"# c\"} 1\n\
                   # HELP a_seconds Time.\n# TYPE a_seconds gauge\n# UNIT a_seconds seconds\na_seconds 2\n\
                   # TYPE a_odd unknown\na_odd 3\n# EOF\n";
        let text = "# HELP a_requests_total All of them.\n# TYPE a_requests_total counter\na_requests_total{b=\"# c\"} 1\n\
                    # HELP a_seconds Time.\n# TYPE a_seconds gauge\na_seconds 2\n# TYPE a_odd untyped\na_odd 3\n";
        assert_eq!(Format::Text.render(own.into()), text);
        assert_eq!(Format::OpenMetrics.render(own.into()), own);
    }
}
