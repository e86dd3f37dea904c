//! The task that exports spans, and the bounded queue before it.

use std::{fmt, sync::Arc, time::Duration};

use metrics::{Counter, counter};
use tce_runtime::trace::{FinishedSpan, SpanSink};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until, timeout},
};

use crate::{config::OtlpConfig, post::export, request::export_request};

/// The most spans that wait to be exported, as OpenTelemetry's own exporters keep.
const QUEUE: usize = 2048;

/// The most spans of one request, as above.
const BATCH: usize = 512;

/// How long the first span of a request waits for others.
const GATHER_TIME: Duration = Duration::from_secs(1);

const DROPPED: &str = "tce_spans_dropped_total";
const EXPORTED: &str = "tce_spans_exported_total";

/// Exports spans in batches, in a task. Clones are the same exporter, which ends with the
/// last one.
///
/// Spans never wait: past 2,048 that are not exported yet, and after five failed attempts to
/// export a batch, they are dropped and counted in `tce_spans_dropped_total` by `reason`
/// (`queue_full`, `not_exported`). `tce_spans_exported_total` counts the others.
#[derive(Clone)]
pub struct OtlpExporter(Arc<Handle>);

struct Handle {
    queue: mpsc::Sender<Queued>,
    queue_full: Counter,
}

enum Queued {
    Span(FinishedSpan),
    /// Everything before it is to be exported now.
    Flush(oneshot::Sender<()>),
}

impl OtlpExporter {
    /// Starts the task.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use]
    pub fn start(config: OtlpConfig) -> Self {
        let (queue, spans) = mpsc::channel(QUEUE);
        let task = ExportTask {
            config,
            spans,
            is_failing: false,
        };
        tokio::spawn(task.run());
        Self(Arc::new(Handle {
            queue,
            queue_full: counter!(DROPPED, "reason" => "queue_full"),
        }))
    }

    /// Exports what waits, for the end of a program. Returns whether all of it was exported
    /// or dropped within `limit`.
    pub async fn flush(&self, limit: Duration) -> bool {
        let (done, flushed) = oneshot::channel();
        let flushing = async {
            let sent = self.0.queue.send(Queued::Flush(done)).await;
            sent.is_ok() && flushed.await.is_ok()
        };
        timeout(limit, flushing).await.unwrap_or(false)
    }
}

impl SpanSink for OtlpExporter {
    fn record(&self, span: FinishedSpan) {
        if self.0.queue.try_send(Queued::Span(span)).is_err() {
            self.0.queue_full.increment(1);
        }
    }
}

impl fmt::Debug for OtlpExporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OtlpExporter")
    }
}

struct ExportTask {
    config: OtlpConfig,
    spans: mpsc::Receiver<Queued>,
    /// Whether the last export failed: an outage is logged once.
    is_failing: bool,
}

/// The spans of one request, and who waits for them.
#[derive(Default)]
struct Batch {
    spans: Vec<FinishedSpan>,
    flushes: Vec<oneshot::Sender<()>>,
}

impl ExportTask {
    async fn run(mut self) {
        while let Some(first) = self.spans.recv().await {
            let batch = self.gather(first).await;
            if !batch.spans.is_empty() {
                self.export(&batch.spans).await;
            }
            for flush in batch.flushes {
                // Its receiver may have given up.
                let _ = flush.send(());
            }
        }
    }

    /// Waits for more spans, until there are enough, or someone waits for them.
    async fn gather(&mut self, first: Queued) -> Batch {
        let until = sleep_until(Instant::now() + GATHER_TIME);
        tokio::pin!(until);
        let (mut batch, mut next) = (Batch::default(), Some(first));
        while let Some(queued) = next {
            match queued {
                Queued::Span(span) => batch.spans.push(span),
                Queued::Flush(done) => batch.flushes.push(done),
            }
            if !batch.flushes.is_empty() || batch.spans.len() >= BATCH {
                break;
            }
            next = tokio::select! {
                next = self.spans.recv() => next,
                () = &mut until => None,
            };
        }
        batch
    }

    async fn export(&mut self, spans: &[FinishedSpan]) {
        let (config, count) = (&self.config, spans.len());
        let outcome = export(config, export_request(&config.service, spans)).await;
        let (url, has_failed) = (&config.url, outcome.is_err());
        match outcome {
            Ok(()) => {
                counter!(EXPORTED).increment(count as u64);
                if self.is_failing {
                    tracing::info!(%url, "spans are exported again");
                }
            }
            Err(error) => {
                counter!(DROPPED, "reason" => "not_exported").increment(count as u64);
                if !self.is_failing {
                    tracing::warn!(%url, count, "can't export spans, dropped them: {error}");
                }
            }
        }
        self.is_failing = has_failed;
    }
}

#[cfg(test)]
mod tests {
    use std::{borrow::Cow, time::SystemTime};

    use tce_runtime::trace::{SpanKind, TraceContext};
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn span() -> FinishedSpan {
        let now = SystemTime::now();
        FinishedSpan {
            context: TraceContext::root(true),
            parent: None,
            kind: SpanKind::Client,
            name: Cow::Borrowed("test::Server::echo"),
            start: now,
            end: now,
            attributes: Vec::new(),
            error: None,
        }
    }

    /// A collector that gives these answers, and then none; returns its URL, and how many
    /// requests it has got.
    async fn collector(answers: &'static [&'static str]) -> (String, mpsc::Receiver<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (requests, received) = mpsc::channel(100);
        tokio::spawn(async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = Vec::new();
                while !is_complete(&request) {
                    assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0);
                }
                let answer = format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\n\r\n");
                stream.write_all(answer.as_bytes()).await.unwrap();
                requests.send(()).await.unwrap();
            }
            std::future::pending::<()>().await;
        });
        (url, received)
    }

    fn is_complete(request: &[u8]) -> bool {
        let text = String::from_utf8_lossy(request);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            return false;
        };
        let length = head.to_ascii_lowercase();
        let (_, length) = length.split_once("content-length: ").unwrap();
        let length = length.lines().next().unwrap();
        body.len() == length.parse::<usize>().unwrap()
    }

    async fn requests_of(answers: &'static [&'static str], spans: usize) -> usize {
        let (url, mut received) = collector(answers).await;
        let exporter = OtlpExporter::start(OtlpConfig::new(&url, "test").unwrap());
        (0..spans).for_each(|_| exporter.record(span()));
        assert!(exporter.flush(PATIENCE).await);
        let mut count = 0;
        while received.try_recv().is_ok() {
            count += 1;
        }
        count
    }

    #[tokio::test]
    async fn an_export_is_repeated_only_where_the_collector_may_accept_it_later() {
        const BUSY: &str = "503 Service Unavailable";
        assert_eq!(requests_of(&[BUSY, "200 OK"], 1).await, 2);
        assert_eq!(requests_of(&["400 Bad Request", "200 OK"], 1).await, 1);
    }

    #[tokio::test]
    async fn many_spans_are_exported_in_batches() {
        assert_eq!(requests_of(&["200 OK", "200 OK"], BATCH + 1).await, 2);
    }

    #[tokio::test]
    async fn spans_past_the_queue_are_dropped_at_once() {
        let (url, _received) = collector(&[]).await;
        let exporter = OtlpExporter::start(OtlpConfig::new(&url, "test").unwrap());
        for _ in 0..10 * QUEUE {
            exporter.record(span());
        }
        assert_eq!(exporter.0.queue.capacity(), 0);
        // A collector that is silent does not hold up the end of a program.
        assert!(!exporter.flush(Duration::from_millis(100)).await);
    }
}
