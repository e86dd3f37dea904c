//! Exports the spans of calls to an OpenTelemetry collector, Jaeger or Tempo, by OTLP over
//! HTTP with JSON.
//!
//! ```no_run
//! use tce_otlp::{OtlpConfig, OtlpExporter};
//! use tce_runtime::{
//!     Communicator,
//!     config::Options,
//!     interceptor::{ClientInterceptors, ServerInterceptors, Spans},
//! };
//!
//! # async fn start() -> Result<(), Box<dyn std::error::Error>> {
//! let config = OtlpConfig::new("http://localhost:4318", "orders")?;
//! let exporter = OtlpExporter::start(config);
//! let spans = Spans::new().recorded_by(exporter.clone());
//! let communicator = Communicator::with_options(Options {
//!     client_interceptors: ClientInterceptors::new().with(spans.clone()),
//!     server_interceptors: ServerInterceptors::new().with(spans),
//!     ..Options::default()
//! });
//! // … at the end of the program:
//! exporter.flush(std::time::Duration::from_secs(2)).await;
//! # Ok(())
//! # }
//! ```

mod config;

mod request;

mod post;

mod exporter;

pub use config::{OtlpConfig, OtlpConfigError};
pub use exporter::OtlpExporter;
