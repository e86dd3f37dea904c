//! The trace that a call belongs to, by W3C Trace Context, and finished spans.
//!
//! [`Spans`](crate::interceptor::Spans) makes a span of each call and sends its context
//! along; a [`SpanSink`] gets the finished ones.

use std::{borrow::Cow, fmt, sync::Arc, time::SystemTime};

use crate::wire::{
    Extra,
    reserved::{TRACEPARENT, TRACESTATE},
};

/// The longest `tracestate` that is sent on, in bytes, as W3C recommends.
const MAX_STATE: usize = 512;

/// The bit of the flags that says that the trace is recorded.
const SAMPLED: u8 = 1;

tokio::task_local! {
    static CURRENT: TraceContext;
}

/// A span as other programs know it: the trace that it belongs to, and its number.
///
/// ```
/// use tce_runtime::trace::TraceContext;
///
/// let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// let caller = TraceContext::parse(text, None).unwrap();
/// let mine = caller.child();
/// assert_eq!(mine.trace_id(), caller.trace_id());
/// assert_ne!(mine.span_id(), caller.span_id());
/// assert_eq!(caller.to_string(), text);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    trace_id: u128,
    span_id: u64,
    flags: u8,
    state: Option<Arc<str>>,
}

impl TraceContext {
    /// The first span of a new trace. `is_sampled` asks all programs to record it.
    #[must_use]
    pub fn root(is_sampled: bool) -> Self {
        Self {
            trace_id: fastrand::u128(1..),
            span_id: fastrand::u64(1..),
            flags: if is_sampled { SAMPLED } else { 0 },
            state: None,
        }
    }

    /// A new span within this one.
    #[must_use]
    pub fn child(&self) -> Self {
        Self {
            span_id: fastrand::u64(1..),
            ..self.clone()
        }
    }

    /// Reads a `traceparent`, and the `tracestate` that belongs to it. Returns `None` where
    /// the first is not valid; a `tracestate` of more than 512 bytes or with characters
    /// that are not ASCII is left out.
    #[must_use]
    pub fn parse(traceparent: &str, tracestate: Option<&str>) -> Option<Self> {
        let mut parts = traceparent.split('-');
        let version = hex(parts.next()?, 2)?;
        let trace_id = hex(parts.next()?, 32)?;
        let span_id = u64::try_from(hex(parts.next()?, 16)?).ok()?;
        let flags = u8::try_from(hex(parts.next()?, 2)?).ok()?;
        // A later version may have more parts.
        let is_known = version == 0 && parts.next().is_none() || (1..0xff).contains(&version);
        let is_printable = |state: &&str| state.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        let state = tracestate
            .filter(|state| !state.is_empty() && state.len() <= MAX_STATE)
            .filter(is_printable);
        (is_known && trace_id != 0 && span_id != 0).then(|| Self {
            trace_id,
            span_id,
            flags: flags & SAMPLED,
            state: state.map(Arc::from),
        })
    }

    /// The context in the extra of a call.
    #[must_use]
    pub fn of_extra(extra: &Extra) -> Option<Self> {
        Self::parse(extra.get(TRACEPARENT)?, extra.get(TRACESTATE))
    }

    /// Sets the context in the extra of a call.
    pub fn write_to(&self, extra: &mut Extra) {
        extra.set(TRACEPARENT, self.to_string());
        if let Some(state) = &self.state {
            extra.set(TRACESTATE, state);
        }
    }

    /// The span within which this code runs: that of the incoming call whose servant this
    /// is, or of an enclosing [`scope`](Self::scope). A spawned task does not inherit it.
    #[must_use]
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Clone::clone).ok()
    }

    /// Runs a future within this span: calls that it makes belong to it.
    ///
    /// ```
    /// use tce_runtime::trace::TraceContext;
    ///
    /// # async fn later() {}
    /// # async fn servant() {
    /// if let Some(span) = TraceContext::current() {
    ///     tokio::spawn(span.scope(later()));
    /// }
    /// # }
    /// ```
    pub fn scope<F: Future>(self, future: F) -> impl Future<Output = F::Output> {
        CURRENT.scope(self, future)
    }

    /// The number of the trace.
    #[must_use]
    pub fn trace_id(&self) -> u128 {
        self.trace_id
    }

    /// The number of the span.
    #[must_use]
    pub fn span_id(&self) -> u64 {
        self.span_id
    }

    /// Whether the trace is recorded.
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// The `tracestate`.
    #[must_use]
    pub fn state(&self) -> Option<&str> {
        self.state.as_deref()
    }
}

impl fmt::Display for TraceContext {
    /// The `traceparent`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (trace_id, span_id) = (self.trace_id, self.span_id);
        write!(f, "00-{trace_id:032x}-{span_id:016x}-{:02x}", self.flags)
    }
}

/// A number of `digits` hexadecimal digits, in lower case.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let is_valid = text.len() == digits && text.bytes().all(is_hex);
    u128::from_str_radix(text, 16).ok().filter(|_| is_valid)
}

/// Which end of a call a span belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpanKind {
    /// The program that makes the call.
    Client,
    /// The program that serves or forwards it.
    Server,
}

/// A span that has ended.
#[derive(Debug, Clone)]
pub struct FinishedSpan {
    /// Its trace, and its number.
    pub context: TraceContext,
    /// The number of the span that it is within; `None` for the first of a trace.
    pub parent: Option<u64>,
    /// Which end of a call it is.
    pub kind: SpanKind,
    /// The operation (`test::Server::echo`).
    pub name: Cow<'static, str>,
    /// When it began.
    pub start: SystemTime,
    /// When it ended.
    pub end: SystemTime,
    /// Properties, by the names of OpenTelemetry where it has one.
    pub attributes: Vec<(&'static str, Cow<'static, str>)>,
    /// Why it failed: the text of the error, without internals.
    pub error: Option<String>,
}

/// Gets the spans that have ended and are sampled.
///
/// It is called in the task of the call, and must not block.
pub trait SpanSink: Send + Sync + 'static {
    /// Takes a span.
    fn record(&self, span: FinishedSpan);
}

impl<S: SpanSink + ?Sized> SpanSink for Arc<S> {
    fn record(&self, span: FinishedSpan) {
        (**self).record(span);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_trace_context_is_written_as_it_was_read() {
        let context = TraceContext::parse(VALID, Some("vendor=1")).unwrap();
        let mut extra = Extra::from_iter([("name", "scott")]);
        context.write_to(&mut extra);
        assert_eq!(TraceContext::of_extra(&extra), Some(context));
        let root = TraceContext::root(false);
        assert_eq!(TraceContext::parse(&root.to_string(), None), Some(root));
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        let later = format!("{}-more", VALID.replacen("00", "cc", 1));
        assert_eq!(
            TraceContext::parse(&later, None),
            TraceContext::parse(VALID, None)
        );
    }

    #[test]
    fn invalid_contexts_are_ignored() {
        for invalid in [
            "",
            "00",
            &VALID.to_uppercase(),
            &format!("{VALID}-more"),
            &VALID.replacen("00", "ff", 1),
            &VALID[..VALID.len() - 1],
            &VALID.replace("4bf9", "+bf9"),
            &VALID.replace("00f067aa0ba902b7", "0000000000000000"),
            &VALID.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
        ] {
            assert_eq!(TraceContext::parse(invalid, None), None, "{invalid}");
        }
        for state in ["", "a\nb", "é", &"x".repeat(513)] {
            let context = TraceContext::parse(VALID, Some(state)).unwrap();
            assert_eq!(context.state(), None, "{state}");
        }
    }
}
