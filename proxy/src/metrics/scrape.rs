//! One scrape for both: the application's metrics, streamed, and the proxy's own behind them. A scrape of the proxy
//! never fails because of the application. Before it on the path: `admin`; after it: `fetch`, `merge`.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use bytes::Bytes;
use http::StatusCode;
use http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue,
};
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, timeout_at};

use super::app::AppMetrics;
use super::exposition::{self, Format};
use super::merge::Lines;
use super::{Metrics, ScrapeFailure};
use crate::body::Body;
use crate::drain::Drain;
use crate::fetch::{Answer, Client, target};
use crate::message::Response;

/// How long the scraper waits, in seconds; it says so itself.
const SCRAPE_TIMEOUT: HeaderName = HeaderName::from_static("x-prometheus-scrape-timeout-seconds");
/// What it waits if it does not say so: Prometheus' default.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// No more than this is waited for the application, whatever a scraper says.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(120);
/// What is left of that time for the proxy's own metrics, if the application takes too long.
const MARGIN: Duration = Duration::from_millis(500);
/// How much of the application's metrics is taken, in bytes. They are streamed: this is not memory.
const LARGEST: usize = 64 << 20;
/// How many scrapes of the application may run at the same time; more wait.
const AT_ONCE: usize = 4;
/// Chunks on their way to a scraper that reads slowly.
const CHUNKS: usize = 2;

/// Answers scrapes; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Scraper {
    metrics: Arc<Metrics>,
    drain: Drain,
    app: Option<Arc<App>>,
}

#[derive(Debug)]
struct App {
    metrics: AppMetrics,
    address: IpAddr,
    client: Client,
    slots: Arc<Semaphore>,
}

struct Failed {
    why: ScrapeFailure,
    error: anyhow::Error,
}

/// The application's metrics, whose head is here.
struct Scraped {
    answer: Answer,
    format: Format,
    content_type: HeaderValue,
    slot: OwnedSemaphorePermit,
}

impl Scraper {
    pub(crate) fn new(
        metrics: Arc<Metrics>,
        drain: Drain,
        app: Option<AppMetrics>,
        address: IpAddr,
        client: Client,
    ) -> Self {
        let app = app.map(|metrics| {
            Arc::new(App {
                metrics,
                address,
                client,
                slots: Arc::new(Semaphore::new(AT_ONCE)),
            })
        });
        Self { metrics, drain, app }
    }

    /// The application's metrics, then the proxy's own. `asked` are the scraper's headers, `query` what it put behind
    /// the path.
    pub(crate) async fn both(&self, asked: &HeaderMap, query: Option<&str>) -> Response {
        let Some(app) = &self.app else {
            return self.own(asked);
        };
        let deadline = Instant::now() + patience(asked);
        let late = |_| Failed::new(ScrapeFailure::Timeout, anyhow!("no answer in time"));
        let scraped = timeout_at(deadline, app.scrape(asked, query)).await.map_err(late);
        match scraped.and_then(|scraped| scraped) {
            Ok(scraped) => {
                let content_type = scraped.content_type.clone();
                let (sender, receiver) = mpsc::channel(CHUNKS);
                tokio::spawn(self.clone().pour(scraped, deadline, sender));
                response(content_type, Body::fed(receiver))
            }
            Err(failed) => {
                self.failed(&failed);
                self.own(asked)
            }
        }
    }

    /// The proxy's own alone.
    pub(crate) fn own(&self, asked: &HeaderMap) -> Response {
        let format = Format::wanted(asked);
        response(format.content_type(), Body::text(format.render(self.text())))
    }

    /// Sends what comes until it has ended, or something is wrong with it; and then the proxy's own.
    async fn pour(self, mut scraped: Scraped, deadline: Instant, sender: mpsc::Sender<Bytes>) {
        let mut lines = Lines::new(&self.text());
        let copied = timeout_at(deadline, copy(&mut scraped.answer, &mut lines, &sender)).await;
        let outcome = match copied {
            Err(_) => Err(Failed::new(
                ScrapeFailure::Timeout,
                anyhow!("not all of it in time"),
            )),
            Ok(outcome) => outcome,
        };
        if let Err(failed) = outcome {
            self.failed(&failed);
        }
        let dropped = lines.dropped();
        if dropped > 0 {
            self.metrics.dropped_app_samples(dropped);
            tracing::debug!(
                dropped,
                "the application has metrics of the proxy's names; they were left out"
            );
        }
        drop((scraped.answer, scraped.slot));
        let _ = sender.send(lines.ready()).await;
        // A scraper that is gone needs nothing more.
        let _ = sender.send(scraped.format.render(self.text()).into()).await;
    }

    fn text(&self) -> String {
        self.metrics.text(self.drain.open())
    }

    fn failed(&self, Failed { why, error }: &Failed) {
        self.metrics.app_scrape_failed(*why);
        tracing::debug!(
            error = format!("{error:#}"),
            "the application's metrics are missing, or not complete"
        );
    }
}

impl App {
    async fn scrape(&self, asked: &HeaderMap, query: Option<&str>) -> Result<Scraped, Failed> {
        let unreachable = |error| Failed::new(ScrapeFailure::Unreachable, error);
        let slot = self.slots.clone().acquire_owned().await;
        let slot = slot.map_err(|error| unreachable(error.into()))?;
        let AppMetrics { port, path, scheme } = &self.metrics;
        let path = match query {
            None => path.clone(),
            Some(query) if path.contains('?') => format!("{path}&{query}"),
            Some(query) => format!("{path}?{query}"),
        };
        let uri =
            target::uri(scheme.name(), &self.address.to_string(), port.get(), &path).map_err(unreachable)?;
        let answer = self
            .client
            .get(uri, forwarded(asked))
            .await
            .map_err(unreachable)?;
        let (status, headers) = (answer.response.status(), answer.response.headers());
        if status != StatusCode::OK {
            return Err(Failed::new(
                ScrapeFailure::Status,
                anyhow!("the application answered {status}"),
            ));
        }
        let found = headers.get(CONTENT_TYPE);
        let format = Format::of(found).filter(|_| !headers.contains_key(CONTENT_ENCODING));
        let format = format.ok_or_else(|| {
            let error = anyhow!("neither text nor OpenMetrics, or encoded: {found:?}");
            Failed::new(ScrapeFailure::NotMetrics, error)
        })?;
        // The application's own words where Prometheus knows them: they may say more, such as how names are escaped.
        let known = |value: &&HeaderValue| {
            format == Format::OpenMetrics || value.as_bytes().starts_with(b"text/plain")
        };
        let content_type = found.filter(known).cloned().unwrap_or(format.content_type());
        Ok(Scraped {
            answer,
            format,
            content_type,
            slot,
        })
    }
}

impl Failed {
    fn new(why: ScrapeFailure, error: anyhow::Error) -> Self {
        Self { why, error }
    }
}

/// Hands on whole lines. Ends when the body does, or the scraper has gone.
async fn copy(answer: &mut Answer, lines: &mut Lines, sender: &mpsc::Sender<Bytes>) -> Result<(), Failed> {
    let not_metrics = |error| Failed::new(ScrapeFailure::NotMetrics, anyhow::Error::new(error));
    let mut taken = 0;
    while let Some(frame) = answer.response.frame().await {
        let frame = frame
            .context("the body broke off")
            .map_err(|error| Failed::new(ScrapeFailure::Unreachable, error))?;
        let Some(chunk) = frame.data_ref() else {
            continue;
        };
        taken += chunk.len();
        if taken > LARGEST {
            return Err(Failed::new(
                ScrapeFailure::TooLarge,
                anyhow!("more than {LARGEST} bytes"),
            ));
        }
        lines.push(chunk).map_err(not_metrics)?;
        let ready = lines.ready();
        if !ready.is_empty() && sender.send(ready).await.is_err() {
            return Ok(());
        }
    }
    lines.finish().map_err(not_metrics)
}

/// What of the scraper's headers the application gets: what it would have got without the proxy and may act on. The
/// credentials are among them, since they were meant for it, and never leave the pod.
fn forwarded(asked: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, exposition::accept(asked));
    for name in [SCRAPE_TIMEOUT, AUTHORIZATION] {
        if let Some(value) = asked.get(&name) {
            headers.insert(name, value.clone());
        }
    }
    headers
}

/// How long the application may take.
fn patience(asked: &HeaderMap) -> Duration {
    let said = asked.get(SCRAPE_TIMEOUT).and_then(|value| value.to_str().ok());
    let said = said
        .and_then(|seconds| seconds.trim().parse().ok())
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let timeout = said.unwrap_or(DEFAULT_TIMEOUT).min(LONGEST_TIMEOUT);
    timeout - MARGIN.min(timeout / 2)
}

fn response(content_type: HeaderValue, body: Body) -> Response {
    let mut response = Response::new(body);
    response.headers.set(&CONTENT_TYPE, content_type);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_for_the_application() {
        for (said, milliseconds) in [
            (None, 9500),
            (Some("5"), 4500),
            (Some("0.5"), 250),
            (Some("1e9"), 119_500),
            (Some("-1"), 9500),
            (Some("soon"), 9500),
        ] {
            let mut headers = HeaderMap::new();
            headers.extend(said.map(|said| (SCRAPE_TIMEOUT, HeaderValue::from_static(said))));
            assert_eq!(
                patience(&headers),
                Duration::from_millis(milliseconds),
                "{said:?}"
            );
        }
    }
}
