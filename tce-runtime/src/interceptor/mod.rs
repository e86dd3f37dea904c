//! Interceptors: code of the program around its outgoing and incoming calls.

mod answer;

mod client;

mod server;

mod metrics;

mod spans;

pub use answer::Answer;
pub(crate) use client::{AbandonSignal, ClientTerminal};
pub use client::{ClientCall, ClientInterceptor, ClientInterceptors, ClientNext};
pub use metrics::Metrics;
pub(crate) use server::ServerTerminal;
pub use server::{ServerCall, ServerInterceptor, ServerInterceptors, ServerNext};
pub use spans::Spans;

/// The examples of the user guide.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/interceptors.md")]
struct Chapter;
