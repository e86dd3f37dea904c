//! Celery as a peer, by a script that this program starts.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};

use crate::{
    Servers,
    report::Latency,
    worker::{Measured, WorkerProcess},
};

/// The pools of a worker that the best one of is reported.
const POOLS: [&str; 3] = ["prefork", "threads", "gevent"];
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tasks/celery_peer.py");

/// A python that has Celery.
#[derive(Debug)]
pub(crate) struct Celery {
    python: PathBuf,
}

impl Celery {
    /// Checks that it has what is needed.
    pub(crate) fn new(python: &Path) -> Result<Self> {
        let check = [
            "-c",
            "import celery, gevent, redis; print(celery.__version__)",
        ];
        let output = Command::new(python).args(check).output()?;
        ensure!(
            output.status.success(),
            "{} lacks celery[redis] or gevent",
            python.display()
        );
        eprintln!("Celery {}", String::from_utf8_lossy(&output.stdout).trim());
        Ok(Self {
            python: python.to_owned(),
        })
    }

    fn command(&self, servers: &Servers, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.python);
        command
            .arg(SCRIPT)
            .args(arguments)
            .env("BENCH_AMQP", servers.amqp.replace("%2f", "/"))
            .env("BENCH_REDIS", &servers.redis)
            .stderr(Stdio::null());
        command
    }

    /// Runs the script to its end, and reads the line that it prints.
    fn run(&self, servers: &Servers, arguments: &[&str]) -> Result<Measured> {
        let output = self.command(servers, arguments).output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let line = text
            .lines()
            .last()
            .with_context(|| format!("celery {arguments:?}"))?;
        Measured::parse(line)
    }

    pub(crate) async fn send(
        &self,
        servers: &Servers,
        count: usize,
        in_flight: usize,
    ) -> Result<f64> {
        let (count, in_flight) = (count.to_string(), in_flight.to_string());
        let arguments = ["send", &count, &in_flight];
        let rate = self.run(servers, &arguments)?.rate;
        self.run(servers, &["purge"])?;
        Ok(rate)
    }

    /// Tasks in a second through the best pool.
    pub(crate) async fn work(
        &self,
        servers: &Servers,
        count: usize,
        has_results: bool,
    ) -> Result<f64> {
        let mut best = 0.0_f64;
        let (number, results) = (count.to_string(), u8::from(has_results).to_string());
        for pool in POOLS {
            self.run(servers, &["send", &number, "64"])?;
            let worked = self.run(servers, &["work", &number, pool, &results])?;
            // What was not acknowledged when the worker ended.
            self.run(servers, &["purge"])?;
            eprintln!("  celery, {pool}: {:.0} tasks/s", worked.rate);
            best = best.max(worked.rate);
        }
        Ok(best)
    }

    pub(crate) async fn start(&self, servers: &Servers, count: usize) -> Result<Latency> {
        let number = count.to_string();
        let worker = WorkerProcess::run(self.command(servers, &["work", &number, "threads", "0"]))?;
        worker.wait_until_idle()?;
        self.run(servers, &["send", &number, "1"])?;
        Ok(worker.finish()?.latency)
    }

    pub(crate) async fn answer(&self, servers: &Servers, count: usize) -> Result<Latency> {
        let number = count.to_string();
        let worker = WorkerProcess::run(self.command(servers, &["work", &number, "threads", "1"]))?;
        worker.wait_until_idle()?;
        let latency = self.run(servers, &["answer", &number])?.latency;
        worker.finish()?;
        Ok(latency)
    }

    /// The growth of a worker by tasks that wait, in KiB.
    pub(crate) async fn memory(&self, servers: &Servers, count: usize) -> Result<u64> {
        let worker = WorkerProcess::run(self.command(servers, &["work", "1", "threads", "0"]))?;
        worker.wait_until_idle()?;
        let before = worker.memory()?;
        self.run(servers, &["delay", &count.to_string()])?;
        let grown = worker.memory()?.saturating_sub(before);
        drop(worker);
        self.run(servers, &["purge"])?;
        Ok(grown)
    }
}
