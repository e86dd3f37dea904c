//! Workers, each a process of its own, and what they say of the tasks that they ran.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdout, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, Result, ensure};
use clap::Subcommand;
use hdrhistogram::Histogram;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{Servers, floor, ours, report::Latency};

/// The time after the start of a worker in which its connections become idle.
const IDLE_TIME: Duration = Duration::from_millis(500);

/// The process of a worker.
#[derive(Debug, Subcommand)]
pub(crate) enum Role {
    #[command(hide = true)]
    Worker {
        kind: String,
        amqp: String,
        redis: String,
        count: usize,
    },
    #[command(hide = true)]
    Embedded { delayed: usize },
}

impl Role {
    pub(crate) async fn run(self) -> Result<()> {
        match self {
            Self::Worker {
                kind,
                amqp,
                redis,
                count,
            } => {
                let arrivals = Arrivals::new(count)?;
                match kind.as_str() {
                    "floor" => floor::work(&amqp, &arrivals).await?,
                    "results" => ours::work(&amqp, Some(&redis), arrivals.clone()).await?,
                    _ => ours::work(&amqp, None, arrivals.clone()).await?,
                }
                arrivals.print()
            }
            Self::Embedded { delayed } => crate::embedded::fill(delayed).await,
        }
    }
}

/// The tasks that a worker has run.
#[derive(Debug, Clone)]
pub(crate) struct Arrivals(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    expected: usize,
    seen: Mutex<Seen>,
    all: Notify,
}

#[derive(Debug)]
struct Seen {
    count: usize,
    first: Option<Instant>,
    last: Instant,
    times: Histogram<u64>,
}

impl Arrivals {
    fn new(expected: usize) -> Result<Self> {
        Ok(Self(Arc::new(Shared {
            expected,
            seen: Mutex::new(Seen {
                count: 0,
                first: None,
                last: Instant::now(),
                times: Histogram::new(3)?,
            }),
            all: Notify::new(),
        })))
    }

    /// How many tasks arrive.
    pub(crate) fn expected(&self) -> usize {
        self.0.expected
    }

    /// The worker is ready.
    pub(crate) fn announce(&self) {
        println!("ready");
    }

    /// A task that was sent at the time of its text has begun. Returns whether it is the last one.
    pub(crate) fn record(&self, text: &str) -> bool {
        let sent = u128::from_str_radix(text, 16).unwrap_or(0);
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        let took = u64::try_from(now.as_nanos().saturating_sub(sent)).unwrap_or(u64::MAX);
        let mut seen = self.0.seen.lock();
        // The histogram grows; nothing is beyond 64 bits.
        let _ = seen.times.record(took);
        seen.count += 1;
        seen.last = Instant::now();
        let last = seen.last;
        seen.first.get_or_insert(last);
        let is_last = seen.count >= self.0.expected;
        if is_last {
            self.0.all.notify_one();
        }
        is_last
    }

    /// Waits until all have arrived.
    pub(crate) async fn all(&self) {
        self.0.all.notified().await;
    }

    fn print(&self) -> Result<()> {
        let seen = self.0.seen.lock();
        ensure!(seen.count == self.0.expected, "{} tasks ran", seen.count);
        let first = seen.first.context("no task ran")?;
        let latency = Latency::of(&seen.times);
        #[expect(clippy::cast_precision_loss, reason = "a count far below 2^53")]
        let rate = seen.count as f64 / (seen.last - first).as_secs_f64();
        println!("{rate} {} {}", latency.p50, latency.p99);
        Ok(())
    }
}

/// What a worker has measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measured {
    /// Tasks in a second, from the first to the last one.
    pub(crate) rate: f64,
    /// From the time in the text of a task to its start.
    pub(crate) latency: Latency,
}

impl Measured {
    /// Reads the line that a worker prints at its end.
    pub(crate) fn parse(line: &str) -> Result<Self> {
        let mut numbers = line.split_whitespace().map(str::parse);
        let mut next = || anyhow::Ok::<f64>(numbers.next().context("a number is missing")??);
        let parsed = (|| -> Result<Self> {
            Ok(Self {
                rate: next()?,
                latency: Latency {
                    p50: next()?,
                    p99: next()?,
                },
            })
        })();
        parsed.with_context(|| format!("a worker has printed `{line}`"))
    }
}

/// A running worker; killed when dropped.
#[derive(Debug)]
pub(crate) struct WorkerProcess {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl WorkerProcess {
    /// Starts a worker of this program that ends after `count` tasks.
    pub(crate) fn start(kind: &str, servers: &Servers, count: usize) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args([
            "worker",
            kind,
            &servers.amqp,
            &servers.redis,
            &count.to_string(),
        ]);
        Self::run(command)
    }

    /// Starts a worker, and waits until it is ready.
    pub(crate) fn run(mut command: Command) -> Result<Self> {
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let output = child.stdout.take().context("the output is a pipe")?;
        let mut process = Self {
            child,
            output: BufReader::new(output),
        };
        let line = process.line()?;
        ensure!(line.trim() == "ready", "a worker has printed `{line}`");
        Ok(process)
    }

    /// The next line of its output.
    pub(crate) fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        ensure!(self.output.read_line(&mut line)? > 0, "a worker has failed");
        Ok(line)
    }

    /// Waits until it does nothing.
    pub(crate) fn wait_until_idle(&self) -> Result<()> {
        std::thread::sleep(IDLE_TIME);
        std::io::stderr().flush()?;
        Ok(())
    }

    /// Its resident memory, in KiB.
    pub(crate) fn memory(&self) -> Result<u64> {
        resident(&self.child.id().to_string())
    }

    /// What it has measured, once all tasks have run.
    pub(crate) fn finish(mut self) -> Result<Measured> {
        let line = self.line()?;
        self.child.wait()?;
        Measured::parse(&line)
    }
}

impl Drop for WorkerProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The resident memory of a process, in KiB.
pub(crate) fn resident(process: &str) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let line = line.context("the process has no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
