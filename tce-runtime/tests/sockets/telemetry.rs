//! Spans of calls, and metrics.

use std::sync::{Arc, Mutex};

use tce_runtime::{
    Pending,
    config::Options,
    interceptor::{ClientInterceptors, Metrics, ServerInterceptors, Spans},
    trace::{FinishedSpan, SpanKind, SpanSink, TraceContext},
    wire::Operation,
};

use crate::common::{
    probe::{CALL_BACK, CIRCUMSTANCES, FAIL, GATE, Probe, UNKNOWN_INTERFACE, serve, works},
    watching::{eventually, soon, within},
};

/// Keeps the spans that have ended.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<FinishedSpan>>>);

impl SpanSink for Kept {
    fn record(&self, span: FinishedSpan) {
        self.0.lock().unwrap().push(span);
    }
}

impl Kept {
    fn spans(&self) -> Vec<FinishedSpan> {
        self.0.lock().unwrap().clone()
    }

    fn options(&self) -> Options {
        let spans = Spans::new().recorded_by(self.clone());
        Options {
            client_interceptors: ClientInterceptors::new().with(spans.clone()),
            server_interceptors: ServerInterceptors::new().with(spans),
            ..Options::default()
        }
    }
}

#[tokio::test]
async fn a_call_and_the_calls_of_its_servant_are_one_trace() {
    let kept = Kept::default();
    let server = serve(kept.options()).await;
    let proxy = server.proxy_with(kept.options()).await;
    proxy.connection().add_servant(Probe::default());
    let answer: String = within(proxy.call(&CALL_BACK, ("hello",))).await.unwrap();
    assert_eq!(answer, "hello");
    eventually("four spans have ended", || kept.spans().len() == 4).await;
    // In the order in which they end: the innermost first.
    let spans = kept.spans();
    let [served_back, called_back, served, called] = spans.as_slice() else {
        panic!("{spans:?}");
    };
    assert!(called.parent.is_none());
    for (inner, outer) in [
        (served, called),
        (called_back, served),
        (served_back, called_back),
    ] {
        assert_eq!(inner.parent, Some(outer.context.span_id()));
        assert_eq!(inner.context.trace_id(), outer.context.trace_id());
        assert!(inner.start >= outer.start && inner.end <= inner.end);
    }
    assert_eq!(
        (called.kind, served.kind),
        (SpanKind::Client, SpanKind::Server)
    );
    assert_eq!(called.name, "probe::Probe::callBack");
    assert_eq!(served_back.name, "probe::Probe::echo");
}

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0";

#[tokio::test]
async fn the_caller_decides_whether_a_trace_is_recorded() {
    let kept = Kept::default();
    let server = serve(kept.options()).await;
    let proxy = server.proxy_with(kept.options()).await;
    works(&proxy.with_extra([("traceparent", format!("{TRACE}0"))])).await;
    works(&proxy.with_extra([("traceparent", format!("{TRACE}1"))])).await;
    let spans = kept.spans();
    assert_eq!(spans.len(), 2, "of the sampled call alone");
    for span in &spans {
        assert_eq!(
            span.context.trace_id(),
            0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736
        );
    }
    assert_eq!(spans[1].parent, Some(0x00f0_67aa_0ba9_02b7));

    let mut options = kept.options();
    let never = Spans::new().recorded_by(kept.clone()).sampling(0.0);
    options.client_interceptors = ClientInterceptors::new().with(never);
    let proxy = server.proxy_with(options).await;
    let seen = proxy.call::<_, std::collections::BTreeMap<String, String>>(&CIRCUMSTANCES, ());
    let seen = within(seen).await.unwrap();
    let sent = TraceContext::parse(&seen["traceparent"], None).unwrap();
    assert!(!sent.is_sampled());
    assert_eq!(kept.spans().len(), 2);
}

#[tokio::test]
async fn a_garbled_trace_begins_a_new_one() {
    let kept = Kept::default();
    let server = serve(kept.options()).await;
    let proxy = server.proxy().await;
    works(&proxy.with_extra([("traceparent", "00-no-trace-01")])).await;
    assert_eq!(kept.spans()[0].parent, None);
}

#[tokio::test]
async fn spans_end_with_their_error_and_when_their_call_is_dropped() {
    let kept = Kept::default();
    let server = serve(Options::default()).await;
    let proxy = server.proxy_with(kept.options()).await;
    let call: Pending<()> = proxy.call(&FAIL, (8, "sold out"));
    soon(call).await.unwrap_err();
    let failed = &kept.spans()[0];
    assert_eq!(failed.error.as_deref(), Some("sold out"));
    assert!(
        failed
            .attributes
            .contains(&("error.type", "REMOTE_EXCEPTION".into()))
    );

    drop(proxy.call::<_, ()>(&GATE, ()));
    server.probe.gate_reached(1).await;
    server.probe.gate.add_permits(1);
    eventually("the span of the dropped call ends", || {
        kept.spans().len() == 2
    })
    .await;
    assert_eq!(kept.spans()[1].error, None, "it was answered all the same");
}

#[tokio::test]
async fn metrics_have_labels_for_the_operations_of_the_program_alone() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new()
        .with_recommended_naming(true)
        .set_buckets(&Metrics::BUCKETS)
        .unwrap()
        .build_recorder();
    let rendered = recorder.handle();
    metrics::set_global_recorder(recorder).unwrap();

    let server = serve(Options {
        server_interceptors: ServerInterceptors::new().with(Metrics::new()),
        ..Options::default()
    })
    .await;
    let options = Options {
        client_interceptors: ClientInterceptors::new().with(Metrics::new()),
        ..Options::default()
    };
    let proxy = server.proxy_with(options).await;
    works(&proxy).await;
    for code in 200..400 {
        let call: Pending<()> = proxy.call(&FAIL, (code, "no"));
        soon(call).await.unwrap_err();
    }
    let attacker = server.proxy().await;
    for opidx in 1000..1200 {
        let unknown = Operation::new("probe::Probe::guessed", 2, opidx);
        let call: Pending<()> = attacker.call(&unknown, ());
        soon(call).await.unwrap_err();
        let call: Pending<()> = attacker.call(&UNKNOWN_INTERFACE, ());
        soon(call).await.unwrap_err();
    }
    let text = rendered.render();
    let count = |start: &str, labels: &str| {
        let line = format!("{start}_count{{rpc_system_name=\"tce\",rpc_method=\"{labels}}} ");
        let found = text.lines().find_map(|it| it.strip_prefix(&line));
        found
            .unwrap_or_else(|| panic!("no {line} in\n{text}"))
            .parse::<u64>()
            .unwrap()
    };
    for side in ["client", "server"] {
        let name = format!("rpc_{side}_call_duration_seconds");
        assert_eq!(count(&name, "probe::Probe::echo\""), 1);
        assert_eq!(count(&name, "probe::Probe::fail\",error_type=\"200\""), 1);
        assert_eq!(
            count(&name, "probe::Probe::fail\",error_type=\"_OTHER\""),
            168
        );
        let active = format!(
            "rpc_{side}_active_calls{{rpc_system_name=\"tce\",rpc_method=\"probe::Probe::echo\"}} 0"
        );
        assert!(text.contains(&active), "{text}");
    }
    let unknown = "_OTHER\",error_type=\"INTERFACE_NOTFOUND\"";
    assert_eq!(count("rpc_server_call_duration_seconds", unknown), 400);
    assert!(!text.contains("guessed"));
}
