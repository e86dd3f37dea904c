//! What every program tells Prometheus about its process
//! (<https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics>).

use ::metrics::{Unit, counter, describe_counter, describe_gauge, gauge};
use procfs::{
    ProcResult, boot_time_secs, page_size,
    process::{LimitValue, Process},
    ticks_per_second,
};

const CPU_SECONDS: &str = "process_cpu_seconds_total";
const OPEN_FILES: &str = "process_open_fds";
const MAX_FILES: &str = "process_max_fds";
const VIRTUAL_BYTES: &str = "process_virtual_memory_bytes";
const RESIDENT_BYTES: &str = "process_resident_memory_bytes";
const STARTED_AT: &str = "process_start_time_seconds";
const THREADS: &str = "process_threads";

pub(super) fn describe() {
    let (seconds, bytes, count) = (Unit::Seconds, Unit::Bytes, Unit::Count);
    describe_counter!(
        CPU_SECONDS,
        seconds,
        "Processor time that the process has used"
    );
    describe_gauge!(
        OPEN_FILES,
        count,
        "Open files of the process, sockets included"
    );
    describe_gauge!(MAX_FILES, count, "The limit of open files of the process");
    describe_gauge!(VIRTUAL_BYTES, bytes, "Virtual memory of the process");
    describe_gauge!(RESIDENT_BYTES, bytes, "Resident memory of the process");
    describe_gauge!(
        STARTED_AT,
        seconds,
        "When the process was started, in Unix time"
    );
    describe_gauge!(THREADS, count, "Threads of the process");
}

/// Reads the present values. One that the system does not tell keeps its last value.
pub(super) fn update() {
    if let Err(error) = try_update() {
        tracing::debug!("can't read the state of the process: {error}");
    }
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
fn try_update() -> ProcResult<()> {
    let process = Process::myself()?;
    let stat = process.stat()?;
    let ticks = ticks_per_second();
    // A counter has whole numbers.
    counter!(CPU_SECONDS).absolute((stat.utime + stat.stime) / ticks);
    gauge!(VIRTUAL_BYTES).set(stat.vsize as f64);
    gauge!(RESIDENT_BYTES).set((stat.rss * page_size()) as f64);
    gauge!(THREADS).set(stat.num_threads as f64);
    gauge!(STARTED_AT).set((boot_time_secs()? + stat.starttime / ticks) as f64);
    gauge!(OPEN_FILES).set(process.fd_count()? as f64);
    if let LimitValue::Value(limit) = process.limits()?.max_open_files.soft_limit {
        gauge!(MAX_FILES).set(limit as f64);
    }
    Ok(())
}
