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
