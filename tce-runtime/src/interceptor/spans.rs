//! Spans of calls, joined across programs by W3C Trace Context.

use std::{borrow::Cow, fmt, sync::Arc, time::SystemTime};

use tracing::{Instrument as _, field::Empty};

use super::{
    Answer, ClientCall, ClientInterceptor, ClientNext, ServerCall, ServerInterceptor, ServerNext,
    metrics::SYSTEM,
};
use crate::{
    error::{ErrorCode, Fault, RpcError},
    trace::{FinishedSpan, SpanKind, SpanSink, TraceContext},
    wire::Operation,
};

/// The most characters of an error's text in a span: a peer chooses the text, and many
/// spans may wait for their export.
const MAX_ERROR: usize = 256;

/// Makes a span of each call: for the log, by `tracing`, and for a [`SpanSink`].
///
/// The context of the span travels in the extra of the call (`traceparent`). So the span of
/// the servant is within that of its caller, calls that a servant makes are within its span,
/// and gateways and message queues keep the trace together. `traceparent` in the extra of a
/// call, set with [`with_extra`](crate::TypedProxy::with_extra), is the span that its span
/// is within.
///
/// The span of `tracing` has the level `INFO`, the target `tce_runtime::interceptor`, and
/// the fields `rpc.method`, `trace_id`, `span_id`, `otel.kind` and, if it failed,
/// `error.type`: log lines of the servant then show which call they belong to.
///
/// ```
/// use tce_runtime::{
///     Communicator,
///     config::Options,
///     interceptor::{ClientInterceptors, ServerInterceptors, Spans},
/// };
///
/// let communicator = Communicator::with_options(Options {
///     client_interceptors: ClientInterceptors::new().with(Spans::new()),
///     server_interceptors: ServerInterceptors::new().with(Spans::new()),
///     ..Options::default()
/// });
/// ```
#[derive(Clone)]
pub struct Spans {
    sink: Option<Arc<dyn SpanSink>>,
    sampled_ratio: f64,
}

impl Spans {
    /// Spans for the log and for the programs that are called.
    #[must_use]
    pub fn new() -> Self {
        Self {
            sink: None,
            sampled_ratio: 1.0,
        }
    }

    /// Passes the spans that have ended to `sink`, if their trace is sampled.
    #[must_use]
    pub fn recorded_by(mut self, sink: impl SpanSink) -> Self {
        self.sink = Some(Arc::new(sink));
        self
    }

    /// The share of new traces that are sampled, from 0 to 1. For a call within a trace,
    /// the program that has begun the trace decides. Default: 1.
    #[must_use]
    pub fn sampling(mut self, ratio: f64) -> Self {
        self.sampled_ratio = ratio;
        self
    }

    fn begin(&self, parent: Option<&TraceContext>, call: &CallOfSpan<'_>) -> RunningSpan {
        let context = match parent {
            Some(parent) => parent.child(),
            None => TraceContext::root(fastrand::f64() < self.sampled_ratio),
        };
        let name = call.operation.unwrap_or(SYSTEM);
        let span = tracing::info_span!(
            target: "tce_runtime::interceptor",
            "call",
            otel.name = name,
            otel.kind = match call.kind {
                SpanKind::Client => "client",
                SpanKind::Server => "server",
            },
            rpc.system.name = SYSTEM,
            rpc.method = call.operation.unwrap_or(super::metrics::OTHER),
            peer = call.peer,
            trace_id = %format_args!("{:032x}", context.trace_id()),
            span_id = %format_args!("{:016x}", context.span_id()),
            error.type = Empty,
        );
        let sink = self.sink.as_ref().filter(|_| context.is_sampled());
        let record = sink.map(|sink| {
            let finished = call.begun(name, &context, parent);
            (Arc::clone(sink), finished)
        });
        RunningSpan {
            context,
            span,
            record,
        }
    }
}

impl Default for Spans {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Spans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spans")
            .field("sampled_ratio", &self.sampled_ratio)
            .finish_non_exhaustive()
    }
}

impl ClientInterceptor for Spans {
    async fn call(&self, mut call: ClientCall, next: ClientNext<'_>) -> Result<Answer, RpcError> {
        let parent = TraceContext::of_extra(call.extra()).or_else(TraceContext::current);
        let running = self.begin(
            parent.as_ref(),
            &CallOfSpan {
                kind: SpanKind::Client,
                operation: Some(call.operation().name()),
                peer: call.peer(),
                is_oneway: call.is_oneway(),
            },
        );
        running.context.write_to(call.extra_mut());
        let outcome = next.run(call).instrument(running.span.clone()).await;
        let error = outcome.as_ref().err();
        running.end(error.map(|error| (error.code(), error.text())));
        outcome
    }
}

impl ServerInterceptor for Spans {
    async fn call(&self, call: ServerCall, next: ServerNext<'_>) -> Result<Answer, Fault> {
        let parent = TraceContext::of_extra(call.extra());
        let running = self.begin(
            parent.as_ref(),
            &CallOfSpan {
                kind: SpanKind::Server,
                operation: call.operation().map(Operation::name),
                peer: call.peer(),
                is_oneway: call.is_oneway(),
            },
        );
        let served = running.context.clone().scope(next.run(call));
        let outcome = served.instrument(running.span.clone()).await;
        let error = outcome.as_ref().err();
        running.end(error.map(|fault| (fault.code(), fault.text())));
        outcome
    }
}

/// What a span tells of its call.
struct CallOfSpan<'a> {
    kind: SpanKind,
    /// `None` for an unknown one.
    operation: Option<&'static str>,
    peer: &'a str,
    is_oneway: bool,
}

impl CallOfSpan<'_> {
    /// The span as it is recorded, with the end still to be set.
    fn begun(
        &self,
        name: &'static str,
        context: &TraceContext,
        parent: Option<&TraceContext>,
    ) -> FinishedSpan {
        let mut attributes = vec![
            ("rpc.system.name", Cow::Borrowed(SYSTEM)),
            ("network.peer.address", Cow::Owned(self.peer.to_owned())),
        ];
        let method = self.operation.unwrap_or(super::metrics::OTHER);
        attributes.push(("rpc.method", Cow::Borrowed(method)));
        if self.is_oneway {
            attributes.push(("tce.oneway", Cow::Borrowed("true")));
        }
        let now = SystemTime::now();
        FinishedSpan {
            context: context.clone(),
            parent: parent.map(TraceContext::span_id),
            kind: self.kind,
            name: Cow::Borrowed(name),
            start: now,
            end: now,
            attributes,
            error: None,
        }
    }
}

/// A span that has not ended. It ends when it is dropped, too: a call may be dropped with
/// its task.
struct RunningSpan {
    context: TraceContext,
    span: tracing::Span,
    record: Option<(Arc<dyn SpanSink>, FinishedSpan)>,
}

impl RunningSpan {
    fn end(mut self, error: Option<(ErrorCode, &str)>) {
        if let Some((code, text)) = error {
            let label = code.label();
            self.span.record("error.type", &*label);
            if let Some((_, span)) = &mut self.record {
                span.attributes.push(("error.type", label));
                span.error = Some(text.chars().take(MAX_ERROR).collect());
            }
        }
        self.record();
    }

    fn record(&mut self) {
        if let Some((sink, mut span)) = self.record.take() {
            span.end = SystemTime::now();
            sink.record(span);
        }
    }
}

impl Drop for RunningSpan {
    fn drop(&mut self) {
        if let Some((_, span)) = &mut self.record {
            span.error = Some("the call was dropped before it ended".to_owned());
        }
        self.record();
    }
}
