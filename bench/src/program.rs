//! Programs that the benchmark starts beside its own processes, and kills in the end.

use std::{
    fs::{self, File},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};
use tempfile::TempDir;

use crate::process::pin;

/// A running program; killed when dropped.
pub(crate) struct Program {
    process: Child,
    home: TempDir,
}

impl Program {
    /// Starts a program with a directory of its own, which takes its output, too; on one core,
    /// where one is given.
    pub(crate) fn start(home: TempDir, mut command: Command, core: Option<usize>) -> Result<Self> {
        let output = File::create(home.path().join("output"))?;
        command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        let name = command.get_program().to_owned();
        let spawn = move || {
            core.map_or(Ok(()), pin)?;
            Ok(command.spawn()?)
        };
        // It inherits the core of the thread that starts it.
        let spawned = thread::spawn(spawn).join();
        let process = spawned
            .map_err(|_| anyhow!("the thread that starts it has ended"))
            .flatten()
            .with_context(|| format!("starting {}", name.display()))?;
        Ok(Self { process, home })
    }

    /// Waits until `is_up`, and fails with the program's output when it has ended or takes longer.
    pub(crate) fn wait_until(&mut self, limit: Duration, is_up: impl Fn() -> bool) -> Result<()> {
        let started = Instant::now();
        while !is_up() {
            let ended = self.process.try_wait()?;
            if ended.is_some() || started.elapsed() > limit {
                let output = fs::read_to_string(self.home.path().join("output"))?;
                bail!("it did not come up:\n{output}");
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // There is nothing to be done about a process that can't be killed.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Writes a file of that text.
pub(crate) fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

/// An address that nobody listens at.
pub(crate) fn free_port() -> Result<SocketAddr> {
    let port = tce_test_rabbitmq::free_port().context("no port is free")?;
    Ok(SocketAddr::from(([127, 0, 0, 1], port)))
}

/// Whether somebody listens there.
pub(crate) fn accepts(address: SocketAddr) -> bool {
    TcpStream::connect(address).is_ok()
}
