//! The processes of a run: gateway and servers, which are this program with another argument.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, UNIX_EPOCH},
};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};

use crate::ledger::Ledger;

/// What a process holds.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    /// Resident memory, in KiB.
    pub(crate) memory: u64,
    pub(crate) descriptors: usize,
    pub(crate) tasks: usize,
}

/// A running process; killed when dropped.
#[derive(Debug)]
pub(crate) struct ChildProcess {
    process: Child,
    tasks: Arc<AtomicUsize>,
    arguments: Vec<String>,
    ledger: Arc<Ledger>,
}

impl ChildProcess {
    /// Starts this program with `arguments`. A thread reads its reports.
    pub(crate) fn start(arguments: &[String], ledger: &Arc<Ledger>) -> Result<Self> {
        let tasks = Arc::default();
        let process = spawn(arguments, ledger, &tasks)?;
        Ok(Self {
            process,
            tasks,
            arguments: arguments.to_vec(),
            ledger: Arc::clone(ledger),
        })
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_child(&self.process);
        Ok(kill_process(pid, signal)?)
    }

    /// Ends the process by a signal, and starts it again.
    pub(crate) fn restart(&mut self, signal: Signal) -> Result<()> {
        self.signal(signal)?;
        self.process.wait()?;
        self.process = spawn(&self.arguments, &self.ledger, &self.tasks)?;
        Ok(())
    }

    pub(crate) fn usage(&self) -> Result<Usage> {
        let mut usage = usage_of(&self.process.id().to_string())?;
        usage.tasks = self.tasks.load(Ordering::Relaxed);
        Ok(usage)
    }
}

impl Drop for ChildProcess {
    fn drop(&mut self) {
        // Both fail only if the process has already been reaped.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Memory and descriptors of a process, `self` for this one.
pub(crate) fn usage_of(process: &str) -> Result<Usage> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let memory = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.trim().strip_suffix("kB"))
        .and_then(|number| number.trim().parse().ok())
        .context("no VmRSS in the status of a process")?;
    let descriptors = fs::read_dir(format!("/proc/{process}/fd"))?.count();
    Ok(Usage {
        memory,
        descriptors,
        tasks: 0,
    })
}

fn spawn(arguments: &[String], ledger: &Arc<Ledger>, tasks: &Arc<AtomicUsize>) -> Result<Child> {
    let mut process = Command::new(std::env::current_exe()?)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("starting a process of the run")?;
    let output = process.stdout.take().context("the output is a pipe")?;
    let (ledger, tasks) = (Arc::clone(ledger), Arc::clone(tasks));
    thread::spawn(move || {
        for line in BufReader::new(output).lines() {
            // The last line of a killed process may be incomplete.
            let Some(()) = line.ok().and_then(|line| take(&line, &ledger, &tasks)) else {
                continue;
            };
        }
    });
    Ok(process)
}

/// Takes a line that a process has reported.
fn take(line: &str, ledger: &Ledger, tasks: &AtomicUsize) -> Option<()> {
    let mut words = line.split(' ');
    match words.next()? {
        "run" => {
            let id = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
            let at = UNIX_EPOCH + Duration::from_millis(words.next()?.parse().ok()?);
            ledger.run(id, at, words.next()? == "1");
        }
        "tasks" => tasks.store(words.next()?.parse().ok()?, Ordering::Relaxed),
        _ => return None,
    }
    Some(())
}
