//! A worker: runs the tasks of a group until Ctrl-C.

use std::{error::Error, time::Duration};

use example_tasks::{GROUP, MathImpl, math::MathServant, open};
use tce_tasks::Worker;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let tasks = open().await?;
    let servant = MathServant::new(MathImpl);
    let worker = Worker::new(&tasks)
        .group(GROUP, |group| group.concurrency(3).servant(servant))
        .start()
        .await?;
    println!("working for {GROUP}");
    worker.wait_for_shutdown(Duration::from_secs(30)).await?;
    Ok(())
}
