//! The spans of forwarded calls, for a collector.

use std::{
    borrow::Cow,
    collections::HashMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use parking_lot::Mutex;
use tce_otlp::OtlpExporter;
use tce_runtime::{
    ErrorCode, Extra,
    forwarding::InboundMessage,
    trace::{FinishedSpan, SpanKind, SpanSink as _},
};

/// The error of a call that ended without a RETURN: it has timed out, or one of its
/// connections was lost.
const NO_ANSWER: &str = "NO_ANSWER";

/// How long the end of a gateway waits for the collector.
const FLUSH_TIME: Duration = Duration::from_secs(2);

/// Makes the spans of a gateway.
#[derive(Debug, Clone)]
pub(crate) struct Tracer {
    exporter: OtlpExporter,
    gateway: Arc<str>,
    /// The spans of calls that wait for their RETURN, by the gateway's sequence: beside the
    /// table of those calls, which are few of all.
    open: Arc<Mutex<HashMap<u32, Box<ForwardSpan>>>>,
}

/// The span of a message that is being forwarded; `None` if it is not traced.
pub(crate) type OptionalSpan = Option<Box<ForwardSpan>>;

impl Tracer {
    pub(crate) fn new(exporter: OtlpExporter, gateway: &Arc<str>) -> Self {
        Self {
            exporter,
            gateway: Arc::clone(gateway),
            open: Arc::default(),
        }
    }

    /// Exports what waits, at the end of the gateway.
    pub(crate) async fn flush(&self) {
        if !self.exporter.flush(FLUSH_TIME).await {
            tracing::warn!("the last spans were not exported within {FLUSH_TIME:?}");
        }
    }

    /// Keeps the span of a twoway CALL until [`Tracer::end`] or [`Tracer::take`].
    pub(crate) fn keep(&self, sequence: u32, span: Box<ForwardSpan>) {
        self.open.lock().insert(sequence, span);
    }

    /// Takes the span of a call that ends without a RETURN, or is not sent.
    pub(crate) fn take(&self, sequence: u32) -> OptionalSpan {
        self.open.lock().remove(&sequence)
    }

    /// Ends the span of a call by its RETURN.
    #[cold]
    pub(crate) fn end(&self, sequence: u32, errcode: u32) {
        if let Some(span) = self.take(sequence) {
            span.end((errcode != 0).then(|| ErrorCode::from_wire(errcode)));
        }
    }

    /// Begins the span of a CALL to `interface`, if its sender records its trace.
    pub(crate) fn begin(&self, message: &InboundMessage<'_>, interface: &str) -> OptionalSpan {
        let parent = message.sampled_trace()?;
        let header = message.message().header;
        let now = SystemTime::now();
        let span = FinishedSpan {
            context: parent.child(),
            parent: Some(parent.span_id()),
            kind: SpanKind::Server,
            name: Cow::Owned(format!("forward {interface}")),
            start: now,
            end: now,
            attributes: vec![
                ("rpc.system.name", Cow::Borrowed("tce")),
                ("tce.gateway", Cow::Owned(self.gateway.to_string())),
                ("tce.interface.index", Cow::Owned(header.ifidx.to_string())),
                ("tce.operation.index", Cow::Owned(header.opidx.to_string())),
                (
                    "network.peer.address",
                    Cow::Owned(message.peer().to_owned()),
                ),
            ],
            error: None,
        };
        let mut extra = Extra::new();
        span.context.write_to(&mut extra);
        Some(Box::new(ForwardSpan {
            span: Some(span),
            extra,
            exporter: self.exporter.clone(),
        }))
    }
}

/// A span that has not ended. One that is dropped ends as a call without an answer.
#[derive(Debug)]
pub(crate) struct ForwardSpan {
    /// `None` once it has ended.
    span: Option<FinishedSpan>,
    /// The `traceparent` of the message that is forwarded.
    extra: Extra,
    exporter: OtlpExporter,
}

impl ForwardSpan {
    /// The `traceparent` of the message that is forwarded.
    pub(crate) fn extra(&self) -> &Extra {
        &self.extra
    }

    /// Ends the span, with an error if the message was not forwarded or answered with one.
    pub(crate) fn end(mut self: Box<Self>, error: Option<ErrorCode>) {
        self.finish(error.map(ErrorCode::label));
    }

    /// Forgets the span: the message waits, and is forwarded later.
    pub(crate) fn discard(mut self: Box<Self>) {
        self.span = None;
    }

    fn finish(&mut self, error: Option<Cow<'static, str>>) {
        if let Some(mut span) = self.span.take() {
            span.end = SystemTime::now();
            if let Some(error) = error {
                span.error = Some(error.to_string());
                span.attributes.push(("error.type", error));
            }
            self.exporter.record(span);
        }
    }
}

impl Drop for ForwardSpan {
    fn drop(&mut self) {
        self.finish(Some(Cow::Borrowed(NO_ANSWER)));
    }
}
