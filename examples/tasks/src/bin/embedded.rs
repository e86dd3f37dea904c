//! A sender and a worker in one process, with a queue in a file.

use std::{error::Error, path::PathBuf, time::Duration};

use example_tasks::{GROUP, MathImpl, math::MathServant};
use tce_tasks::{TaskCtl, Tasks, TasksConfig, Worker};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let file = std::env::args_os().nth(1).map(PathBuf::from);
    let file = file.unwrap_or_else(|| std::env::temp_dir().join("tce-tasks-example.redb"));
    let tasks = Tasks::open(TasksConfig::embedded(&file)).await?;
    println!("the queue is in {}", file.display());

    let servant = MathServant::new(MathImpl);
    let worker = Worker::new(&tasks)
        .group(GROUP, |group| group.concurrency(3).servant(servant))
        .start()
        .await?;

    let client = tasks.client();
    let (timeout, poll) = (Duration::from_secs(5), Duration::from_millis(300));

    let id = client.send(GROUP, "add", (12, 33)).await?;
    let result = client.get_result(&id, timeout, poll).await?;
    println!("add(12, 33): {}", result.get_int64(0)?);

    let delayed = client.set_task_ctl(TaskCtl::RunAfter(Duration::from_secs(1)));
    let id = delayed.send(GROUP, "add", (1, 2)).await?;
    let result = client.get_result(&id, timeout, poll).await?;
    println!("add(1, 2) after 1 s: {}", result.get_int64(0)?);

    worker.shutdown(timeout).await;
    Ok(())
}
