//! A server and a client whose calls are traced, timed and logged: with
//! `OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318` the spans go to a collector.

use std::{error::Error, time::Duration};

use example_simple::test::{BaseServer, ITerminalPrx, Server, ServerPrx, ServerServant};
use tce_otlp::{OtlpConfig, OtlpExporter};
use tce_runtime::{
    Adapter, Communicator, Context, ErrorCode, Fault, TypedProxy as _,
    config::Options,
    interceptor::{ClientInterceptors, Metrics, ServerInterceptors, Spans},
    trace::TraceContext,
};

struct Orders;

impl BaseServer for Orders {
    async fn datetime(&self, _: &Context) -> Result<String, Fault> {
        Ok("now".to_owned())
    }
}

impl Server for Orders {
    async fn echo(&self, text: String, _: &Context) -> Result<String, Fault> {
        // The line has the trace of the call.
        tracing::info!("echoes {} bytes", text.len());
        Ok(text)
    }

    async fn timeout(&self, _: i32, _: &Context) -> Result<(), Fault> {
        Err(Fault::new(ErrorCode::Other(1001), "sold out"))
    }

    async fn heartbeat(&self, _: String, _: &Context) -> Result<(), Fault> {
        // A task does not inherit the span of the call.
        let later = async { tracing::info!("later") };
        if let Some(span) = TraceContext::current() {
            tokio::spawn(span.scope(later));
        }
        Ok(())
    }

    async fn bidirection(&self, ctx: &Context) -> Result<(), Fault> {
        // A call of a servant is within the span of the call that it serves.
        let terminal = ITerminalPrx::to_caller(ctx);
        Ok(terminal.on_message_oneway("hello").await?)
    }
}

/// A communicator whose calls in both directions are traced and timed.
fn observed(spans: &Spans) -> Communicator {
    let client = ClientInterceptors::new();
    let server = ServerInterceptors::new();
    Communicator::with_options(Options {
        client_interceptors: client.with(spans.clone()).with(Metrics::new()),
        server_interceptors: server.with(spans.clone()).with(Metrics::new()),
        ..Options::default()
    })
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().init();
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new()
        .with_recommended_naming(true)
        .set_buckets(&Metrics::BUCKETS)?
        .install_recorder()?;
    let exporter = OtlpConfig::from_env("example-traced")?.map(OtlpExporter::start);
    let spans = match &exporter {
        Some(exporter) => Spans::new().recorded_by(exporter.clone()),
        None => Spans::new(),
    };

    let adapter = Adapter::listen(&observed(&spans), "tcp://127.0.0.1:0").await?;
    adapter.add_servant(ServerServant::new(Orders)).start();
    let endpoint = adapter.endpoint().to_string();
    let server = ServerPrx::connect(&observed(&spans), &endpoint).await?;
    println!("{}", server.echo("hello").await?);
    server.heartbeat("hello").await?;
    if let Err(error) = server.timeout(1).await {
        println!("{error}");
    }
    server.bidirection().await?;

    println!("{}", recorder.render());
    if let Some(exporter) = exporter {
        exporter.flush(Duration::from_secs(5)).await;
    }
    Ok(())
}
