//! Tasks of tce, by typed clients.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt, stream};
use hdrhistogram::Histogram;
use tce_runtime::Fault;
use tce_tasks::{AmqpConfig, TaskHandle, Tasks, TasksConfig, Worker};

use crate::{
    Servers,
    floor::rate,
    report::Latency,
    stamp,
    task::{Echo, EchoServant, EchoTasks},
    worker::Arrivals,
};

/// The queue of tasks without results.
pub(crate) const QUEUE: &str = "bench.tasks.group.bench";
/// How long an outcome may take.
const WAIT: Duration = Duration::from_secs(60);
/// Attempts of a worker at once.
const CONCURRENCY: usize = 64;

/// Opens the queue, with results or without.
pub(crate) async fn open(servers: &Servers, has_results: bool) -> Result<Tasks> {
    connect(&servers.amqp, has_results.then_some(servers.redis.as_str())).await
}

async fn connect(amqp: &str, redis: Option<&str>) -> Result<Tasks> {
    let config = AmqpConfig::new(amqp);
    let config = match redis {
        // Records of other measurements must not be in the way.
        Some(redis) => config.store(redis).prefix("bench.results."),
        None => config.prefix("bench.tasks."),
    };
    Ok(Tasks::open(TasksConfig::Amqp(config)).await?)
}

/// Sends tasks; returns their handles.
pub(crate) async fn send_all(
    tasks: &Tasks,
    count: usize,
    in_flight: usize,
) -> Result<Vec<TaskHandle<String>>> {
    let echo = EchoTasks::new(tasks);
    let send = async |()| anyhow::Ok(echo.echo(&stamp()?).send().await?);
    let sent = stream::repeat(()).take(count).map(send);
    sent.buffer_unordered(in_flight).try_collect().await
}

/// Sends tasks without results; returns how many were confirmed in a second.
pub(crate) async fn send(servers: &Servers, count: usize, in_flight: usize) -> Result<f64> {
    let tasks = open(servers, false).await?;
    // Declares the queue.
    let began = Instant::now();
    send_all(&tasks, count, in_flight).await?;
    Ok(rate(count, began))
}

/// The time from a send to its result, of one task after the other.
pub(crate) async fn answer(servers: &Servers, count: usize) -> Result<Latency> {
    let echo = EchoTasks::new(&open(servers, true).await?);
    let mut times = Histogram::new(3)?;
    for _ in 0..count {
        let began = Instant::now();
        echo.echo(&stamp()?).send().await?.result(WAIT).await?;
        times.record(u64::try_from(began.elapsed().as_nanos())?)?;
    }
    Ok(Latency::of(&times))
}

/// Sends tasks that are delayed by the same time.
pub(crate) async fn send_delayed(servers: &Servers, count: usize, delay: Duration) -> Result<()> {
    let echo = EchoTasks::new(&open(servers, false).await?);
    let send = async |()| {
        let task = echo.echo(&stamp()?).run_after(delay);
        task.send().await?;
        anyhow::Ok(())
    };
    let sent = stream::repeat(()).take(count).map(send);
    let sent = sent.buffer_unordered(crate::IN_FLIGHT);
    sent.try_collect::<()>().await
}

/// Sends tasks with the times at which they are due, 1 to 5 s from now.
pub(crate) async fn send_late(servers: &Servers, count: usize) -> Result<()> {
    let echo = EchoTasks::new(&open(servers, false).await?);
    let send = async |number: usize| {
        let share = u64::try_from(number)? * 4000 / u64::try_from(count)?;
        let delay = Duration::from_millis(1000 + share);
        let now = u128::from_str_radix(&stamp()?, 16)?;
        let due = format!("{:016x}", now + delay.as_nanos());
        let task = echo.echo(&due).run_after(delay);
        task.send().await?;
        anyhow::Ok(())
    };
    let sent = stream::iter(0..count).map(send);
    let sent = sent.buffer_unordered(crate::IN_FLIGHT);
    sent.try_collect::<()>().await
}

struct EchoImpl(Arrivals);

impl Echo for EchoImpl {
    async fn echo(&self, text: String, _: &tce_runtime::Context) -> Result<String, Fault> {
        self.0.record(&text);
        Ok(text)
    }
}

/// Runs tasks until all have arrived.
pub(crate) async fn work(amqp: &str, redis: Option<&str>, arrivals: Arrivals) -> Result<()> {
    let tasks = connect(amqp, redis).await?;
    let servant = EchoServant::new(EchoImpl(arrivals.clone()));
    let worker = Worker::new(&tasks).group("bench", |group| {
        group.concurrency(CONCURRENCY).servant(servant)
    });
    let running = worker.start().await.context("the worker")?;
    arrivals.announce();
    arrivals.all().await;
    running.shutdown(WAIT).await;
    Ok(())
}
