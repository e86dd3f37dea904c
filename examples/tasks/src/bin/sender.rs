//! A sender: sends tasks, and prints their results.

use std::{error::Error, time::Duration};

use example_tasks::{GROUP, open};
use tce_tasks::{TaskCtl, model::Backoff};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let client = open().await?.client();
    let (timeout, poll) = (Duration::from_secs(10), Duration::from_millis(300));

    let id = client.send(GROUP, "add", (12, 33)).await?;
    let result = client.get_result(&id, timeout, poll).await?;
    println!("add(12, 33): {}", result.get_int64(0)?);

    let id = client.send(GROUP, "addOk", (12, 33)).await?;
    let (sum, ok): (i64, bool) = client.get_result(&id, timeout, poll).await?.gets()?;
    println!("addOk(12, 33): {sum}, {ok}");

    let delayed = client.set_task_ctl(TaskCtl::RunAfter(Duration::from_secs(1)));
    let id = delayed.send(GROUP, "add", (1, 2)).await?;
    let result = client.get_result(&id, timeout, poll).await?;
    println!("add(1, 2) after 1 s: {}", result.get_int64(0)?);

    let retried = client
        .set_task_ctl(TaskCtl::RetryCount(2))
        .set_task_ctl(TaskCtl::Backoff(Backoff::Fixed(Duration::from_millis(200))));
    let id = retried.send(GROUP, "fail", ("no disk",)).await?;
    let result = client.get_result(&id, timeout, poll).await?;
    let (status, retries, error) = (result.status(), result.retries(), result.error());
    println!("fail: {status} after {retries} retries: {error}");

    let id = client.send(GROUP, "work", (10_000,)).await?;
    client.get_result2(&id, timeout, poll).await?;
    client.abort(&id).await?;
    let result = client.get_result(&id, timeout, poll).await?;
    println!("work: {}", result.status());
    Ok(())
}
