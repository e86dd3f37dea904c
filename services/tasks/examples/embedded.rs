//! A sender and a worker in one process, with a queue in a file:
//! `cargo run -p tce-tasks --example embedded`.

tce_runtime::include_idl!(math);

use std::{error::Error, path::PathBuf, time::Duration};

use math::{Both, Math, MathServant};
use tce_runtime::{Context, ErrorCode, Fault};
use tce_tasks::{TaskCtl, Tasks, TasksConfig, Worker, model::Backoff};

struct MathImpl;

impl Math for MathImpl {
    async fn add(&self, a: i32, b: i32, _: &Context) -> Result<i64, Fault> {
        Ok(i64::from(a) + i64::from(b))
    }

    async fn add_ok(&self, a: i32, b: i32, _: &Context) -> Result<Both, Fault> {
        let sum = i64::from(a) + i64::from(b);
        let ok = i32::try_from(sum).is_ok();
        Ok(Both { sum, ok })
    }

    async fn flaky(&self, key: String, _failures: i32, _: &Context) -> Result<i64, Fault> {
        let text = format!("`{key}` fails in this example");
        Err(Fault::new(ErrorCode::RemoteException, text))
    }

    async fn sleep(&self, ms: i32, _: &Context) -> Result<(), Fault> {
        let ms = u64::try_from(ms)?;
        tokio::time::sleep(Duration::from_millis(ms)).await;
        Ok(())
    }

    async fn sq(&self, x: i64, _: &Context) -> Result<i64, Fault> {
        Ok(x.saturating_mul(x))
    }

    async fn die(&self, _key: String, _: &Context) -> Result<(), Fault> {
        std::process::abort();
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let file = std::env::args_os().nth(1).map(PathBuf::from);
    let file = file.unwrap_or_else(|| std::env::temp_dir().join("tce-tasks-example.redb"));
    let tasks = Tasks::open(TasksConfig::embedded(&file)).await?;
    println!("the queue is in {}", file.display());

    let servant = MathServant::new(MathImpl);
    let worker = Worker::new(&tasks)
        .group("group1", |group| group.concurrency(3).servant(servant))
        .start()
        .await?;

    let client = tasks.client();
    let (timeout, poll) = (Duration::from_secs(5), Duration::from_millis(300));

    let id = client.send("group1", "add", (12, 33)).await?;
    let result = client.get_result(&id, timeout, poll).await?;
    println!("add(12, 33): {}", result.get_int64(0)?);

    let id = client.send("group1", "addOk", (12, 33)).await?;
    let (sum, ok): (i64, bool) = client.get_result(&id, timeout, poll).await?.gets()?;
    println!("addOk(12, 33): {sum}, {ok}");

    let delayed = client.set_task_ctl(TaskCtl::RunAfter(Duration::from_secs(1)));
    let id = delayed.send("group1", "add", (1, 2)).await?;
    let result = client.get_result(&id, timeout, poll).await?;
    println!("add(1, 2) after 1 s: {}", result.get_int64(0)?);

    let retried = client
        .set_task_ctl(TaskCtl::RetryCount(2))
        .set_task_ctl(TaskCtl::Backoff(Backoff::Fixed(Duration::from_millis(200))));
    let id = retried.send("group1", "flaky", ("this task", 9)).await?;
    let result = client.get_result(&id, timeout, poll).await?;
    let (status, retries, error) = (result.status(), result.retries(), result.error());
    println!("flaky: {status} after {retries} retries: {error}");

    worker.shutdown(timeout).await;
    Ok(())
}
