//! A sender and a worker in one process, with a queue in a file.

use std::{error::Error, path::PathBuf, time::Duration};

use example_tasks::{
    GROUP, MathImpl,
    math::{MathServant, MathTasks},
};
use tce_tasks::{Tasks, TasksConfig, Worker};

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

    let math = MathTasks::new(&tasks);
    let timeout = Duration::from_secs(5);

    let sum = math.add(12, 33).send().await?;
    println!("add(12, 33): {}", sum.result(timeout).await?);

    let delayed = math.add(1, 2).run_after(Duration::from_secs(1));
    let sum = delayed.send().await?.result(timeout).await?;
    println!("add(1, 2) after 1 s: {sum}");

    worker.shutdown(timeout).await;
    Ok(())
}
