//! Metrics: the name of each, the counters that the gateway itself reads, and
//! the recorder for Prometheus.

#[cfg(target_os = "linux")]
mod process;

use std::{
    collections::BTreeMap,
    ops::AddAssign,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use ::metrics::{
    Counter, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge,
    histogram,
};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use parking_lot::Mutex;
use serde::Serialize;
use tce_runtime::ErrorCode;

pub(crate) const CONNECTIONS: &str = "tce_gateway_connections";
pub(crate) const CONNECTIONS_TOTAL: &str = "tce_gateway_connections_total";
pub(crate) const ENDED: &str = "tce_gateway_connections_ended_total";
pub(crate) const USERS: &str = "tce_gateway_users";
pub(crate) const LOGINS: &str = "tce_gateway_logins_total";
pub(crate) const LOGIN_SECONDS: &str = "tce_gateway_login_seconds";
pub(crate) const RESUMES: &str = "tce_gateway_resumes_total";
pub(crate) const HISTORIES: &str = "tce_gateway_resume_histories";
pub(crate) const HISTORY_BYTES: &str = "tce_gateway_resume_bytes";
pub(crate) const BYTES: &str = "tce_gateway_bytes_total";

pub(crate) const PRESENCE_UP: &str = "tce_gateway_presence_up";

pub(crate) const CALLS: &str = "tce_gateway_calls_total";
pub(crate) const CALLS_IN_FLIGHT: &str = "tce_gateway_calls_in_flight";
pub(crate) const CALLS_REFUSED: &str = "tce_gateway_calls_refused_total";
pub(crate) const CALL_SECONDS: &str = "tce_gateway_call_seconds";
pub(crate) const RETURNS: &str = "tce_gateway_returns_total";
pub(crate) const PUSHES: &str = "tce_gateway_pushes_total";
pub(crate) const DROPPED: &str = "tce_gateway_messages_dropped_total";

pub(crate) const BUILD_INFO: &str = "tce_gateway_build_info";
pub(crate) const LOG_DROPPED: &str = "tce_gateway_log_lines_dropped_total";

pub(crate) const UPSTREAM_UP: &str = "tce_gateway_backend_up";
pub(crate) const HOST_UP: &str = "tce_gateway_backend_host_up";
pub(crate) const HOST_UNHEALTHY: &str = "tce_gateway_backend_host_unhealthy_total";
pub(crate) const UPSTREAM_QUEUED: &str = "tce_gateway_backend_queued";

/// The label with the name of the gateway: a process may run several.
pub(crate) const GATEWAY: &str = "gateway";

/// A count that the gateway reads. Maintenance exports it, so that counting
/// costs one addition.
#[derive(Debug, Default)]
struct ExportedCount {
    value: AtomicU64,
    exported: AtomicU64,
}

impl ExportedCount {
    fn increment(&self) {
        self.value.fetch_add(1, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.value.load(Ordering::Relaxed)
    }

    /// Adds to `counter` what was counted since the last export.
    fn export(&self, counter: &Counter) {
        let value = self.get();
        let exported = self.exported.fetch_max(value, Ordering::Relaxed);
        counter.increment(value.saturating_sub(exported));
    }
}

/// A count that is changed under a lock alone, so that an addition needs no locked
/// instruction, and read without it.
#[derive(Debug, Default)]
pub(crate) struct LockedCount(AtomicU64);

impl LockedCount {
    /// Adds to the count; the caller holds the lock.
    pub(crate) fn add(&self, count: u64) {
        let sum = self.get().wrapping_add(count);
        self.0.store(sum, Ordering::Relaxed);
    }

    /// Takes one back; the caller holds the lock.
    pub(crate) fn take_back(&self) {
        self.0
            .store(self.get().saturating_sub(1), Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Counts the forwarded twoway calls of one route. Changed under the lock of the
/// thread's table of calls.
#[derive(Debug, Default)]
pub(crate) struct CallCounts {
    pub(crate) forwarded: LockedCount,
    succeeded: LockedCount,
    latencies: [LatencyBucket; BUCKETS.len() + 1],
}

/// The calls that took up to one of [`BUCKETS`], and their times in nanoseconds.
#[derive(Debug, Default)]
struct LatencyBucket {
    count: LockedCount,
    nanos: LockedCount,
}

impl CallCounts {
    /// Counts a RETURN that arrived `time` nanoseconds after its CALL.
    pub(crate) fn count_return(&self, errcode: u32, time: u64) {
        let bucket = BUCKETS.iter().position(|bound| time <= nanos(*bound));
        let bucket = &self.latencies[bucket.unwrap_or(BUCKETS.len())];
        bucket.count.add(1);
        bucket.nanos.add(time);
        if errcode == 0 {
            self.succeeded.add(1);
        }
    }
}

/// Counts the calls of one route: to an interface, from an endpoint.
pub(crate) struct RouteMetrics {
    gateway: String,
    interface: String,
    /// The calls that are not in `counts`: oneway ones, and those that were refused.
    other_calls: AtomicU64,
    pub(crate) counts: CallCounts,
    calls_total: Counter,
    succeeded: Counter,
    seconds: Histogram,
    exported: Mutex<ExportedCalls>,
}

/// What was exported so far.
#[derive(Debug, Default)]
struct ExportedCalls {
    calls: u64,
    succeeded: u64,
    latencies: [(u64, u64); BUCKETS.len() + 1],
}

impl RouteMetrics {
    pub(crate) fn new(gateway: &str, interface: &str, endpoint: &str) -> Self {
        let labels = [
            (GATEWAY, gateway.to_owned()),
            ("interface", interface.to_owned()),
            ("endpoint", endpoint.to_owned()),
        ];
        let of_interface = &labels[..2];
        let result = ("result", "ok".to_owned());
        let ok = [labels[0].clone(), labels[1].clone(), result];
        Self {
            gateway: gateway.to_owned(),
            interface: interface.to_owned(),
            other_calls: AtomicU64::new(0),
            counts: CallCounts::default(),
            calls_total: counter!(CALLS, &labels),
            succeeded: counter!(RETURNS, &ok),
            seconds: histogram!(CALL_SECONDS, of_interface),
            exported: Mutex::default(),
        }
    }

    /// The name of the interface.
    pub(crate) fn interface(&self) -> &str {
        &self.interface
    }

    /// Counts a call that has a route and is not counted in [`CallCounts`].
    pub(crate) fn count_call(&self) {
        self.other_calls.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn calls(&self) -> u64 {
        self.counts.forwarded.get() + self.other_calls.load(Ordering::Relaxed)
    }

    /// How many RETURNs have arrived, and the sum of the times since their CALLs, in
    /// nanoseconds.
    pub(crate) fn answers(&self) -> (u64, u64) {
        let mut answers = (0, 0);
        for bucket in &self.counts.latencies {
            answers.0 += bucket.count.get();
            answers.1 += bucket.nanos.get();
        }
        answers
    }

    /// Counts a call that failed, by a RETURN or without one.
    pub(crate) fn count_failure(&self, code: ErrorCode) {
        let labels = [
            (GATEWAY, self.gateway.clone()),
            ("interface", self.interface.clone()),
            ("result", code.to_string()),
        ];
        counter!(RETURNS, &labels).increment(1);
    }

    /// Adds to the metrics what was counted since the last export. Maintenance calls
    /// it, so that a call costs additions alone.
    pub(crate) fn export(&self) {
        let mut exported = self.exported.lock();
        let calls = self.calls();
        let succeeded = self.counts.succeeded.get();
        // A call that is withdrawn counts for a moment.
        self.calls_total
            .increment(calls.saturating_sub(exported.calls));
        self.succeeded.increment(succeeded - exported.succeeded);
        exported.calls = calls.max(exported.calls);
        exported.succeeded = succeeded;
        let mut lowest = 0;
        let bounds = BUCKETS.into_iter().map(nanos).chain([u64::MAX]);
        let buckets = self.counts.latencies.iter().zip(&mut exported.latencies);
        for ((bucket, before), highest) in buckets.zip(bounds) {
            let now = (bucket.count.get(), bucket.nanos.get());
            let added = usize::try_from(now.0 - before.0).unwrap_or(0);
            if let Some(mean) = (now.1 - before.1).checked_div(added as u64) {
                // Between the two reads a call may have been added to the times alone.
                let mean = Duration::from_nanos(mean.clamp(lowest, highest));
                self.seconds.record_many(mean, added);
                *before = now;
            }
            lowest = highest.saturating_add(1);
        }
    }
}

impl Drop for RouteMetrics {
    /// A reload replaces the routes between two exports.
    fn drop(&mut self) {
        self.export();
    }
}

impl std::fmt::Debug for RouteMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RouteMetrics")
            .field("interface", &self.interface)
            .finish_non_exhaustive()
    }
}

/// Counts dropped messages, or refused calls, by reason. Clones share the counts.
#[derive(Debug, Clone, Default)]
pub(crate) struct ReasonCounters(Arc<Mutex<BTreeMap<&'static str, ExportedCount>>>);

impl ReasonCounters {
    pub(crate) fn count(&self, reason: &'static str) {
        tracing::debug!(reason, "dropped a message or refused a call");
        self.0.lock().entry(reason).or_default().increment();
    }

    pub(crate) fn all(&self) -> Vec<(&'static str, u64)> {
        let counts = self.0.lock();
        counts
            .iter()
            .map(|(reason, count)| (*reason, count.get()))
            .collect()
    }

    pub(crate) fn export(&self, gateway: &Arc<str>) {
        for (reason, count) in &*self.0.lock() {
            count.export(&counter!(DROPPED, GATEWAY => Arc::clone(gateway), "reason" => *reason));
        }
    }
}

/// Sums over all connections since the start, closed ones included; or the part
/// of one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct TrafficTotals {
    /// Calls of clients.
    pub calls: u64,
    /// Calls of clients that wait for their RETURN now.
    pub in_flight: u64,
    /// Calls that the gateway answered with an error of its own.
    pub refused: u64,
    /// Calls of servers that were forwarded to clients.
    pub pushes: u64,
    /// Bytes of messages from clients.
    pub bytes_in: u64,
    /// Bytes of messages to clients.
    pub bytes_out: u64,
}

impl AddAssign for TrafficTotals {
    fn add_assign(&mut self, other: Self) {
        self.calls += other.calls;
        self.in_flight += other.in_flight;
        self.refused += other.refused;
        self.pushes += other.pushes;
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
    }
}

impl TrafficTotals {
    /// Exports the difference from `before`.
    pub(crate) fn export_since(&self, before: &Self, gateway: &Arc<str>) {
        let gateway = || Arc::clone(gateway);
        let add = |counter: Counter, now: u64, before: u64| {
            counter.increment(now.saturating_sub(before));
        };
        add(
            counter!(BYTES, GATEWAY => gateway(), "direction" => "in"),
            self.bytes_in,
            before.bytes_in,
        );
        add(
            counter!(BYTES, GATEWAY => gateway(), "direction" => "out"),
            self.bytes_out,
            before.bytes_out,
        );
        add(
            counter!(PUSHES, GATEWAY => gateway()),
            self.pushes,
            before.pushes,
        );
    }
}

/// The upper bounds of the buckets of latencies, in microseconds: from a call over a
/// local socket to a servant that takes 10 s.
const BUCKETS: [u32; 16] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000, 10_000_000,
];

/// A bound of [`BUCKETS`] in nanoseconds.
fn nanos(bound: u32) -> u64 {
    u64::from(bound) * 1_000
}

/// The recorder of this process, for Prometheus. Clones share it.
#[derive(Clone)]
pub struct Recorder(PrometheusHandle);

/// Installs the recorder of this process at the first call; later calls return
/// the same one.
///
/// # Errors
/// The program has installed a recorder of its own.
pub fn install_recorder() -> Result<Recorder, BuildError> {
    static INSTALLED: Mutex<Option<Recorder>> = Mutex::new(None);
    // Locked until the recorder is installed, so that two callers do not both
    // install one.
    let mut installed = INSTALLED.lock();
    if let Some(recorder) = &*installed {
        return Ok(recorder.clone());
    }
    let bounds = BUCKETS.map(|bound| f64::from(bound) / 1e6);
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &bounds)?
        .install_recorder()?;
    describe();
    gauge!(BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    Ok(installed.insert(Recorder(handle)).clone())
}

impl Recorder {
    /// All metrics in the text format of Prometheus.
    pub(crate) fn render(&self) -> String {
        #[cfg(target_os = "linux")]
        process::update();
        self.0.render()
    }

    /// Moves new samples into the buckets of histograms. Without it samples
    /// take memory until the next scrape.
    pub(crate) fn run_upkeep(&self) {
        self.0.run_upkeep();
    }
}

/// Describes every metric to the recorder that is installed.
fn describe() {
    describe_clients();
    describe_messages();
    describe_upstreams();
    describe_process();
    describe_runtime();
}

fn describe_clients() {
    let count = Unit::Count;
    describe_gauge!(CONNECTIONS, count, "Open connections of clients");
    describe_counter!(
        CONNECTIONS_TOTAL,
        count,
        "Accepted connections of clients, by endpoint"
    );
    describe_counter!(
        ENDED,
        count,
        "Connections that the gateway refused or closed, by reason"
    );
    describe_gauge!(USERS, count, "Users who are logged in");
    describe_counter!(
        LOGINS,
        count,
        "Logins, by result: admitted, refused, unavailable (the authenticator did not answer), limited (too many have failed), other_user (a refresh with the token of another user)"
    );
    describe_histogram!(
        LOGIN_SECONDS,
        Unit::Seconds,
        "Time from a client's token to the authenticator's answer"
    );
    describe_gauge!(
        PRESENCE_UP,
        count,
        "Whether the users are announced in Redis: 1 or 0; only with presence redis"
    );
    describe_counter!(
        RESUMES,
        count,
        "Logins of clients that ask for what they missed, by result: new (nothing to resume), recovered, incomplete (some pushes were no longer kept)"
    );
    describe_gauge!(
        HISTORIES,
        count,
        "Clients whose pushes are kept, connected or lost"
    );
    describe_gauge!(HISTORY_BYTES, Unit::Bytes, "Bytes of pushes that are kept");
    describe_counter!(
        BYTES,
        Unit::Bytes,
        "Bytes of messages from (in) and to (out) clients, by direction"
    );
}

fn describe_messages() {
    let count = Unit::Count;
    describe_counter!(
        CALLS,
        count,
        "Calls of clients that have a route, by interface and endpoint"
    );
    describe_gauge!(
        CALLS_IN_FLIGHT,
        count,
        "Calls of clients that wait for their RETURN"
    );
    describe_counter!(
        CALLS_REFUSED,
        count,
        "Calls that the gateway did not forward, by code and reason"
    );
    describe_histogram!(
        CALL_SECONDS,
        Unit::Seconds,
        "From the arrival of a call to the arrival of its RETURN, by interface"
    );
    describe_counter!(
        RETURNS,
        count,
        "Results of forwarded calls, by interface and result: ok, or the error"
    );
    describe_counter!(
        PUSHES,
        count,
        "Calls of servers that were forwarded to a client"
    );
    describe_counter!(
        DROPPED,
        count,
        "Messages that the gateway dropped, by reason"
    );
}

fn describe_upstreams() {
    describe_gauge!(
        UPSTREAM_UP,
        Unit::Count,
        "Whether the broker or the servers of an endpoint can be reached: 1 or 0, by endpoint"
    );
    describe_gauge!(
        HOST_UP,
        Unit::Count,
        "Whether a server that is connected directly gets calls: 1 or 0, by endpoint and host"
    );
    describe_counter!(
        HOST_UNHEALTHY,
        Unit::Count,
        "How often a connected server was found not to answer, by endpoint, host and reason"
    );
    describe_gauge!(
        UPSTREAM_QUEUED,
        Unit::Count,
        "Messages that wait for a broker or server, by endpoint"
    );
}

fn describe_process() {
    describe_gauge!(
        BUILD_INFO,
        Unit::Count,
        "1, with the version of the program, by version"
    );
    #[cfg(target_os = "linux")]
    process::describe();
    describe_counter!(
        LOG_DROPPED,
        Unit::Count,
        "Log lines that were dropped because too many waited to be written"
    );
}

/// The counters of `tce-runtime`.
fn describe_runtime() {
    let count = Unit::Count;
    describe_counter!(
        "tce_messages_dropped_total",
        count,
        "Messages that the runtime dropped, by reason"
    );
    describe_counter!(
        "tce_oneway_failed_total",
        count,
        "Oneway calls whose servant failed, by code"
    );
    describe_counter!(
        "tce_connections_failed_total",
        count,
        "Connections that failed, by reason"
    );
    describe_counter!(
        "tce_connections_refused_total",
        count,
        "Connections that were closed for others or refused at a limit of the runtime, by reason"
    );
    describe_counter!(
        "tce_spans_exported_total",
        count,
        "Spans that the collector has accepted"
    );
    describe_counter!(
        "tce_spans_dropped_total",
        count,
        "Spans that were dropped, by reason: queue_full, or not_exported (the collector did not answer or refused them)"
    );
}
