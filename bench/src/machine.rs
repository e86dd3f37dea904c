//! The machine and the time of a run.

use std::{fs, num::NonZero, thread, time::SystemTime};

use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Machine {
    cores: usize,
    cpu: String,
    kernel: String,
    rustc: String,
    date: String,
}

impl Machine {
    /// The machine that this process runs on, now.
    pub(crate) fn here() -> Self {
        Self {
            cores: thread::available_parallelism().map_or(0, NonZero::get),
            cpu: cpu().unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            kernel: kernel().unwrap_or_else(|| std::env::consts::OS.to_owned()),
            rustc: env!("BENCH_RUSTC_VERSION").to_owned(),
            date: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
        }
    }
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            cores,
            cpu,
            kernel,
            rustc,
            date,
        } = self;
        write!(f, "{date}, {cores} cores of {cpu}, {kernel}, {rustc}")
    }
}

fn cpu() -> Option<String> {
    let facts = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = facts.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn kernel() -> Option<String> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
    Some(format!("Linux {}", release.trim()))
}
