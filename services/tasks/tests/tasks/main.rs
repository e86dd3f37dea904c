//! Tasks from the sender to the result: embedded, over an endpoint, and after `kill -9`.

#![expect(clippy::unwrap_used, reason = "a test fails if its set-up fails")]

tce_runtime::include_idl!(math);

mod crash;

mod embedded;

mod endpoint;

use std::{
    io::Write,
    path::Path,
    time::{Duration, SystemTime},
};

use math::{Both, Math, MathServant};
use tce_runtime::{Context, ErrorCode, Fault};
use tce_tasks::{
    RunningWorker, TaskClient, TaskContext, TaskResult, Tasks, Worker, model::Status, no_retry,
};

const LONG: Duration = Duration::from_secs(30);
/// Far longer than any test: the end of a task is told, not polled.
const POLL: Duration = Duration::from_secs(30);

struct MathImpl;

impl Math for MathImpl {
    async fn add(&self, a: i32, b: i32, _: &Context) -> Result<i64, Fault> {
        Ok(i64::from(a) + i64::from(b))
    }

    async fn add_ok(&self, a: i32, b: i32, _: &Context) -> Result<Both, Fault> {
        let sum = i64::from(a) + i64::from(b);
        Ok(Both { sum, ok: true })
    }

    async fn flaky(&self, key: String, failures: i32, _: &Context) -> Result<i64, Fault> {
        record_run(Path::new(&key));
        let runs = runs(Path::new(&key)).len();
        if i32::try_from(runs).unwrap() <= failures {
            return Err(Fault::new(ErrorCode::RemoteException, "flaky failed"));
        }
        Ok(i64::try_from(runs).unwrap())
    }

    async fn sleep(&self, ms: i32, ctx: &Context) -> Result<(), Fault> {
        let task = ctx.task().unwrap();
        task.progress(40, "sleeping");
        let sleeping = tokio::time::sleep(Duration::from_millis(u64::try_from(ms).unwrap()));
        tokio::select! {
            () = sleeping => Ok(()),
            () = task.aborted() => Err(task.abort("stopped itself")),
        }
    }

    async fn sq(&self, x: i64, _: &Context) -> Result<i64, Fault> {
        x.checked_mul(x)
            .ok_or_else(|| no_retry("the square overflows"))
    }

    async fn die(&self, key: String, _: &Context) -> Result<(), Fault> {
        record_run(Path::new(&key));
        std::process::abort();
    }
}

fn record_run(file: &Path) {
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(file)
        .unwrap();
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    writeln!(file, "{}", since.unwrap().as_millis()).unwrap();
}

/// When `flaky` ran, in milliseconds of Unix time.
fn runs(file: &Path) -> Vec<u128> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.lines().map(|line| line.parse().unwrap()).collect()
}

async fn start(tasks: &Tasks) -> RunningWorker {
    let worker = Worker::new(tasks).group("group1", |group| {
        group.concurrency(3).servant(MathServant::new(MathImpl))
    });
    worker.start().await.unwrap()
}

async fn finished(client: &TaskClient, id: &str) -> TaskResult {
    client.get_result(id, LONG, POLL).await.unwrap()
}

#[track_caller]
fn assert_status(result: &TaskResult, status: Status) {
    assert_eq!(result.status(), status, "{:?}", result.record());
}
