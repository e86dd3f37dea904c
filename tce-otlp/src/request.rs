//! The body of an export: `ExportTraceServiceRequest` of OTLP, in JSON.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use tce_runtime::trace::{FinishedSpan, SpanKind};

/// The request that exports spans of a service.
pub(crate) fn export_request(service: &str, spans: &[FinishedSpan]) -> Vec<u8> {
    let scope_spans = ScopeSpans {
        scope: Scope {
            name: "tce",
            version: env!("CARGO_PKG_VERSION"),
        },
        spans: spans.iter().map(Span::of).collect(),
    };
    let request = Request {
        resource_spans: [ResourceSpans {
            resource: Resource {
                attributes: [KeyValue::of("service.name", service)],
            },
            scope_spans: [scope_spans],
        }],
    };
    // Maps with keys that are no strings are all that could fail.
    serde_json::to_vec(&request).unwrap_or_default()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    resource_spans: [ResourceSpans<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResourceSpans<'a> {
    resource: Resource<'a>,
    scope_spans: [ScopeSpans<'a>; 1],
}

#[derive(Serialize)]
struct Resource<'a> {
    attributes: [KeyValue<'a>; 1],
}

#[derive(Serialize)]
struct ScopeSpans<'a> {
    scope: Scope,
    spans: Vec<Span<'a>>,
}

#[derive(Serialize)]
struct Scope {
    name: &'static str,
    version: &'static str,
}

#[derive(Serialize)]
struct KeyValue<'a> {
    key: &'a str,
    value: AnyValue<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AnyValue<'a> {
    string_value: &'a str,
}

impl<'a> KeyValue<'a> {
    fn of(key: &'a str, value: &'a str) -> Self {
        let string_value = value;
        Self {
            key,
            value: AnyValue { string_value },
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Span<'a> {
    trace_id: String,
    span_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_span_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_state: Option<&'a str>,
    name: &'a str,
    kind: u8,
    /// 64-bit integers are strings in the JSON of Protocol Buffers.
    start_time_unix_nano: String,
    end_time_unix_nano: String,
    attributes: Vec<KeyValue<'a>>,
    status: Status<'a>,
}

#[derive(Serialize)]
struct Status<'a> {
    code: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
}

/// `SPAN_KIND_SERVER` and `SPAN_KIND_CLIENT`.
fn kind_number(kind: SpanKind) -> u8 {
    match kind {
        SpanKind::Server => 2,
        SpanKind::Client => 3,
        _ => 1,
    }
}

/// `STATUS_CODE_UNSET` and `STATUS_CODE_ERROR`.
const UNSET: u8 = 0;
const ERROR: u8 = 2;

impl<'a> Span<'a> {
    fn of(span: &'a FinishedSpan) -> Self {
        let attributes = span.attributes.iter();
        Self {
            trace_id: format!("{:032x}", span.context.trace_id()),
            span_id: format!("{:016x}", span.context.span_id()),
            parent_span_id: span.parent.map(|parent| format!("{parent:016x}")),
            trace_state: span.context.state(),
            name: &span.name,
            kind: kind_number(span.kind),
            start_time_unix_nano: unix_nanos(span.start),
            end_time_unix_nano: unix_nanos(span.end),
            attributes: attributes
                .map(|(key, value)| KeyValue::of(key, value))
                .collect(),
            status: Status {
                code: if span.error.is_some() { ERROR } else { UNSET },
                message: span.error.as_deref(),
            },
        }
    }
}

fn unix_nanos(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_nanos().to_string()
}
