//! Metrics of calls, by the names of OpenTelemetry's conventions for RPC.

use std::{
    collections::HashMap,
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use metrics::{Gauge, Histogram, Unit, describe_gauge, describe_histogram, gauge, histogram};
use parking_lot::{Mutex, RwLock};

use super::{
    Answer, ClientCall, ClientInterceptor, ClientNext, ServerCall, ServerInterceptor, ServerNext,
};
use crate::{
    error::{ErrorCode, Fault, RpcError},
    wire::Operation,
};

/// What the system of these calls is called.
pub(super) const SYSTEM: &str = "tce";

/// The operation of calls that no servant has. A peer may call any number of them.
pub(super) const OTHER: &str = "_OTHER";

/// The most different error codes of one operation that have their own label. Servants
/// may use any number as a code, and the server of a client may be anyone's.
const MAX_CODES: usize = 32;

/// The error of a call whose future was dropped before it ended, as at the end of a
/// runtime.
const DROPPED: &str = "DROPPED";

/// Counts and times calls by operation, through the `metrics` crate.
///
/// | metric | type | labels |
/// | --- | --- | --- |
/// | `rpc.client.call.duration` | histogram, seconds | `rpc.system.name`, `rpc.method`, `error.type` |
/// | `rpc.server.call.duration` | histogram, seconds | `rpc.system.name`, `rpc.method`, `error.type` |
/// | `rpc.client.active_calls` | gauge | `rpc.system.name`, `rpc.method` |
/// | `rpc.server.active_calls` | gauge | `rpc.system.name`, `rpc.method` |
///
/// `rpc.method` is the name in the IDL (`test::Server::echo`), and `_OTHER` for all calls
/// of unknown operations together. `error.type` is the name of the [`ErrorCode`] or the
/// number of an application's code; it is missing on calls that succeed, and `_OTHER` for
/// what is beyond 32 different codes of an operation. So a peer can't create labels.
///
/// A oneway call lasts until it is sent on the client's side. Among the client's
/// interceptors, the calls that this one sees are those of the program if it is the
/// first, and all attempts if it is the last.
///
/// ```
/// use tce_runtime::{
///     Communicator,
///     config::Options,
///     interceptor::{ClientInterceptors, Metrics, ServerInterceptors},
/// };
///
/// let communicator = Communicator::with_options(Options {
///     client_interceptors: ClientInterceptors::new().with(Metrics::new()),
///     server_interceptors: ServerInterceptors::new().with(Metrics::new()),
///     ..Options::default()
/// });
/// ```
///
/// Install the recorder of `metrics` before the first call: the handles are made once.
#[derive(Debug)]
pub struct Metrics {
    client: Calls,
    server: Calls,
}

impl Metrics {
    /// Upper bounds for the buckets of the durations, in seconds: those that OpenTelemetry
    /// recommends, and shorter ones, since calls over a local network take less than its
    /// first.
    pub const BUCKETS: [f64; 19] = [
        0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25,
        0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
    ];

    /// Metrics that are recorded by the recorder of the program.
    #[must_use]
    pub fn new() -> Self {
        Self {
            client: Calls::new(&CLIENT),
            server: Calls::new(&SERVER),
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl ClientInterceptor for Metrics {
    async fn call(&self, call: ClientCall, next: ClientNext<'_>) -> Result<Answer, RpcError> {
        let running = self.client.begin(call.operation().name());
        let outcome = next.run(call).await;
        running.end(outcome.as_ref().err().map(RpcError::code));
        outcome
    }
}

impl ServerInterceptor for Metrics {
    async fn call(&self, call: ServerCall, next: ServerNext<'_>) -> Result<Answer, Fault> {
        let operation = call.operation().map_or(OTHER, Operation::name);
        let running = self.server.begin(operation);
        let outcome = next.run(call).await;
        running.end(outcome.as_ref().err().map(Fault::code));
        outcome
    }
}

/// The names of the metrics of one side.
#[derive(Debug)]
struct Names {
    duration: &'static str,
    duration_help: &'static str,
    active: &'static str,
    active_help: &'static str,
}

const CLIENT: Names = Names {
    duration: "rpc.client.call.duration",
    duration_help: "Duration of outgoing calls, by operation and error",
    active: "rpc.client.active_calls",
    active_help: "Outgoing calls that have not ended, by operation",
};

const SERVER: Names = Names {
    duration: "rpc.server.call.duration",
    duration_help: "Duration of incoming calls, by operation and error",
    active: "rpc.server.active_calls",
    active_help: "Incoming calls that have not ended, by operation",
};

/// The calls of one side, by operation. The names are those that the program is compiled
/// with, so that there are not more of them than operations.
#[derive(Debug)]
struct Calls {
    names: &'static Names,
    operations: RwLock<HashMap<&'static str, Arc<OperationMetrics>>>,
}

impl Calls {
    fn new(names: &'static Names) -> Self {
        describe_histogram!(names.duration, Unit::Seconds, names.duration_help);
        describe_gauge!(names.active, Unit::Count, names.active_help);
        Self {
            names,
            operations: RwLock::default(),
        }
    }

    fn begin(&self, operation: &'static str) -> RunningCall {
        let known = self.operations.read().get(operation).map(Arc::clone);
        let metrics = known.unwrap_or_else(|| {
            let mut operations = self.operations.write();
            let new = || Arc::new(OperationMetrics::new(self.names, operation));
            Arc::clone(operations.entry(operation).or_insert_with(new))
        });
        metrics.active.increment(1.0);
        RunningCall {
            metrics,
            start: Instant::now(),
            has_ended: false,
        }
    }
}

/// The metrics of one operation; they are looked up once.
struct OperationMetrics {
    names: &'static Names,
    operation: &'static str,
    active: Gauge,
    succeeded: Histogram,
    failed: Mutex<HashMap<ErrorCode, Histogram>>,
}

impl OperationMetrics {
    fn new(names: &'static Names, operation: &'static str) -> Self {
        let labels = [("rpc.system.name", SYSTEM), ("rpc.method", operation)];
        Self {
            names,
            operation,
            active: gauge!(names.active, &labels),
            succeeded: histogram!(names.duration, &labels),
            failed: Mutex::default(),
        }
    }

    fn failed(&self, code: ErrorCode) -> Histogram {
        let mut failed = self.failed.lock();
        if let Some(known) = failed.get(&code) {
            return known.clone();
        }
        if failed.len() >= MAX_CODES {
            return self.failed_with(OTHER.to_owned());
        }
        let new = self.failed_with(code.label().into_owned());
        failed.entry(code).or_insert(new).clone()
    }

    fn failed_with(&self, error: String) -> Histogram {
        let labels = [
            ("rpc.system.name", SYSTEM.to_owned()),
            ("rpc.method", self.operation.to_owned()),
            ("error.type", error),
        ];
        histogram!(self.names.duration, &labels)
    }
}

impl fmt::Debug for OperationMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OperationMetrics")
            .field("operation", &self.operation)
            .finish_non_exhaustive()
    }
}

/// A call that has not ended.
struct RunningCall {
    metrics: Arc<OperationMetrics>,
    start: Instant,
    has_ended: bool,
}

impl RunningCall {
    fn time(&self) -> Duration {
        self.start.elapsed()
    }

    fn end(mut self, error: Option<ErrorCode>) {
        self.has_ended = true;
        match error {
            None => self.metrics.succeeded.record(self.time()),
            Some(code) => self.metrics.failed(code).record(self.time()),
        }
    }
}

impl Drop for RunningCall {
    fn drop(&mut self) {
        self.metrics.active.decrement(1.0);
        if !self.has_ended {
            let dropped = self.metrics.failed_with(DROPPED.to_owned());
            dropped.record(self.time());
        }
    }
}
