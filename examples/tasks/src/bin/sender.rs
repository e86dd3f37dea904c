//! A sender: sends tasks, and prints their results.

use std::{error::Error, time::Duration};

use example_tasks::{GROUP, math::MathTasks, open};
use tce_tasks::model::Backoff;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let tasks = open().await?;
    let math = MathTasks::new(&tasks);
    let timeout = Duration::from_secs(10);

    let sum = math.add(12, 33).send().await?;
    println!("add(12, 33): {}", sum.result(timeout).await?);

    let both = math.add_ok(12, 33).send().await?.result(timeout).await?;
    println!("addOk(12, 33): {}, {}", both.sum, both.ok);

    let delayed = math.add(1, 2).run_after(Duration::from_secs(1));
    let sum = delayed.send().await?.result(timeout).await?;
    println!("add(1, 2) after 1 s: {sum}");

    // By name, as a program without generated code sends it.
    let client = tasks.client();
    let id = client.send(GROUP, "add", (3, 4)).await?;
    let result = client.get_result(&id, timeout, timeout).await?;
    println!("add(3, 4) by name: {}", result.get_int64(0)?);

    let pause = Backoff::Fixed(Duration::from_millis(200));
    let failing = math.fail("no disk").retry(2).backoff(pause).send().await?;
    if let Err(error) = failing.result(timeout).await {
        let retries = failing.state().await?.retries();
        println!("fail: {error}, after {retries} retries");
    }

    let work = math.work(10_000).send().await?;
    while work.state().await?.record().percent < 10 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    work.abort().await?;
    if let Err(error) = work.result(timeout).await {
        println!("work: {error}");
    }
    Ok(())
}
