//! Durable tasks beside lapin used directly, as the floor, and Celery: how fast they are sent, run and
//! answered, and what waiting ones cost. Each number of tasks is checked.

tce_runtime::include_idl!(task);

mod celery;

mod embedded;

mod floor;

mod ours;

mod report;

mod worker;

use std::{path::PathBuf, time::Duration};

use anyhow::{Result, ensure};
use clap::{Parser, ValueEnum};
use tce_test_rabbitmq::Node;
use tce_test_redis::RedisServer;

use celery::Celery;
use report::Table;
use worker::WorkerProcess;

/// Measures durable tasks
#[derive(Debug, Parser)]
struct Cli {
    /// Tasks of one measurement of a rate
    #[arg(long, default_value_t = 10_000)]
    tasks: usize,
    /// Tasks, one after the other, of one measurement of a latency
    #[arg(long, default_value_t = 500)]
    single: usize,
    /// Tasks that wait for an hour while the memory is measured
    #[arg(long, default_value_t = 100_000)]
    delayed: usize,
    /// Rounds, each of which measures everything once
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// What is measured [default: everything]
    #[arg(long, value_delimiter = ',')]
    measures: Vec<Measure>,
    /// A python with celery[redis] and gevent, to measure Celery, too
    #[arg(long, value_name = "PYTHON")]
    celery: Option<PathBuf>,
    #[command(subcommand)]
    role: Option<worker::Role>,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Measure {
    /// Confirmed sends per second, 1 in flight
    Send1,
    /// Confirmed sends per second, 64 in flight
    Send64,
    /// Tasks per second through one worker process
    Work,
    /// The same with results in Redis
    Results,
    /// From the send to the start, of one task after the other
    Start,
    /// From the send to the result at the sender
    Answer,
    /// Growth of the worker's resident memory by tasks that wait
    Memory,
    /// How late tasks begin that were delayed by 1 to 5 s
    Late,
    /// Durable sends per second to a file, 64 in flight, beside commits of 64 rows
    Embedded,
}

/// How many tasks are being sent at once where many are.
const IN_FLIGHT: usize = 64;

/// Where the tasks of a run are queued.
#[derive(Debug)]
struct Servers {
    amqp: String,
    redis: String,
    celery: Option<Celery>,
}

/// The text of a task: the time, as 16 characters.
fn stamp() -> Result<String> {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed()?;
    Ok(format!("{:016x}", since.as_nanos()))
}

#[tokio::main]
async fn main() -> Result<()> {
    let cli = Cli::parse();
    if let Some(role) = cli.role {
        return role.run().await;
    }
    ensure!(
        cli.tasks > 0 && cli.rounds > 0,
        "there must be tasks and rounds"
    );
    let node = Node::start();
    let store = RedisServer::start();
    let servers = Servers {
        amqp: format!("amqp://127.0.0.1:{}/%2f", node.port()),
        redis: store.url(),
        celery: cli.celery.as_deref().map(Celery::new).transpose()?,
    };
    let mut table = Table::default();
    for round in 0..cli.rounds {
        eprintln!("round {} of {}", round + 1, cli.rounds);
        for measure in Measure::value_variants() {
            if cli.measures.is_empty() || cli.measures.contains(measure) {
                measure.run(&cli, &servers, &mut table).await?;
            }
        }
    }
    table.print();
    Ok(())
}

impl Measure {
    async fn run(self, cli: &Cli, servers: &Servers, table: &mut Table) -> Result<()> {
        match self {
            Self::Send1 => sends("sends/s, 1 in flight", cli.tasks / 10, 1, servers, table).await,
            Self::Send64 => {
                sends(
                    "sends/s, 64 in flight",
                    cli.tasks,
                    IN_FLIGHT,
                    servers,
                    table,
                )
                .await
            }
            Self::Work => work(cli, servers, table).await,
            Self::Results => work_with_results(cli, servers, table).await,
            Self::Start => start(cli, servers, table).await,
            Self::Answer => answer(cli, servers, table).await,
            Self::Memory => memory(cli, servers, table).await,
            Self::Late => late(servers, table).await,
            Self::Embedded => embedded::measure(cli.tasks, cli.delayed, table).await,
        }
    }
}

async fn sends(
    name: &'static str,
    count: usize,
    in_flight: usize,
    servers: &Servers,
    table: &mut Table,
) -> Result<()> {
    let rate = floor::send(servers, count, in_flight).await?;
    table.rate(name, "lapin", rate);
    floor::purge(servers, floor::QUEUE).await?;
    let rate = ours::send(servers, count, in_flight).await?;
    table.rate(name, "tce", rate);
    floor::purge(servers, ours::QUEUE).await?;
    if let Some(celery) = &servers.celery {
        table.rate(
            name,
            "celery",
            celery.send(servers, count, in_flight).await?,
        );
    }
    Ok(())
}

async fn work(cli: &Cli, servers: &Servers, table: &mut Table) -> Result<()> {
    let name = "tasks/s of a worker";
    floor::send(servers, cli.tasks, IN_FLIGHT).await?;
    let worker = WorkerProcess::start("floor", servers, cli.tasks)?;
    table.rate(name, "lapin", worker.finish()?.rate);
    ours::send(servers, cli.tasks, IN_FLIGHT).await?;
    let worker = WorkerProcess::start("tasks", servers, cli.tasks)?;
    table.rate(name, "tce", worker.finish()?.rate);
    if let Some(celery) = &servers.celery {
        table.rate(
            name,
            "celery",
            celery.work(servers, cli.tasks, false).await?,
        );
    }
    Ok(())
}

async fn work_with_results(cli: &Cli, servers: &Servers, table: &mut Table) -> Result<()> {
    let name = "tasks/s, results in Redis";
    floor::send(servers, cli.tasks, IN_FLIGHT).await?;
    let worker = WorkerProcess::start("floor", servers, cli.tasks)?;
    table.rate(name, "lapin", worker.finish()?.rate);
    let tasks = ours::open(servers, true).await?;
    let handles = ours::send_all(&tasks, cli.tasks, IN_FLIGHT).await?;
    let worker = WorkerProcess::start("results", servers, cli.tasks)?;
    table.rate(name, "tce", worker.finish()?.rate);
    let wait = Duration::from_secs(30);
    for handle in handles {
        ensure!(
            handle.result(wait).await?.len() == 16,
            "the result is the text"
        );
    }
    if let Some(celery) = &servers.celery {
        table.rate(name, "celery", celery.work(servers, cli.tasks, true).await?);
    }
    Ok(())
}

async fn start(cli: &Cli, servers: &Servers, table: &mut Table) -> Result<()> {
    let worker = WorkerProcess::start("floor", servers, cli.single)?;
    worker.wait_until_idle()?;
    floor::send(servers, cli.single, 1).await?;
    table.latency("send to start", "lapin", worker.finish()?.latency);
    let worker = WorkerProcess::start("tasks", servers, cli.single)?;
    worker.wait_until_idle()?;
    ours::send(servers, cli.single, 1).await?;
    table.latency("send to start", "tce", worker.finish()?.latency);
    if let Some(celery) = &servers.celery {
        let latency = celery.start(servers, cli.single).await?;
        table.latency("send to start", "celery", latency);
    }
    Ok(())
}

async fn answer(cli: &Cli, servers: &Servers, table: &mut Table) -> Result<()> {
    let worker = WorkerProcess::start("results", servers, cli.single)?;
    worker.wait_until_idle()?;
    let latency = ours::answer(servers, cli.single).await?;
    table.latency("send to result", "tce", latency);
    worker.finish()?;
    if let Some(celery) = &servers.celery {
        let latency = celery.answer(servers, cli.single).await?;
        table.latency("send to result", "celery", latency);
    }
    Ok(())
}

async fn memory(cli: &Cli, servers: &Servers, table: &mut Table) -> Result<()> {
    let worker = WorkerProcess::start("delayed", servers, 1)?;
    worker.wait_until_idle()?;
    let before = worker.memory()?;
    ours::send_delayed(servers, cli.delayed, Duration::from_secs(3600)).await?;
    let grown = worker.memory()?.saturating_sub(before);
    table.memory("growth of a worker by delayed tasks", "tce", grown);
    if let Some(celery) = &servers.celery {
        let grown = celery.memory(servers, cli.delayed).await?;
        table.memory("growth of a worker by delayed tasks", "celery", grown);
    }
    Ok(())
}

/// Tasks of a measurement of the lateness.
const LATE: usize = 1000;

async fn late(servers: &Servers, table: &mut Table) -> Result<()> {
    let worker = WorkerProcess::start("late", servers, LATE)?;
    worker.wait_until_idle()?;
    ours::send_late(servers, LATE).await?;
    table.latency(
        "lateness of a delayed task",
        "tce",
        worker.finish()?.latency,
    );
    Ok(())
}
