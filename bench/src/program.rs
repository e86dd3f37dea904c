//! Programs that the benchmark starts beside its own processes and kills when a measurement or run
//! ends: the broker, gateways and proxies.

use std::{
    fs::{self, File},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail, ensure};
use core_affinity::CoreId;
use rustix::process::{Pid, Signal};
use tempfile::TempDir;

/// How often [`ChildProgram::wait_until`] checks.
const CHECK_INTERVAL: Duration = Duration::from_millis(20);

/// A running program; killed when dropped.
pub(crate) struct ChildProgram {
    process: Child,
    home: TempDir,
}

impl ChildProgram {
    /// Starts a program, pinned to `core` if one is given. Its output goes to a file in `home`,
    /// which is deleted with the program.
    ///
    /// # Errors
    /// The program can't be started, or not on that core.
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
        // A process inherits the affinity of the thread that starts it, so that a thread of its own
        // leaves the affinity of this one as it is.
        let process = thread::spawn(spawn)
            .join()
            .map_err(|_| anyhow!("the starting thread panicked"))
            .flatten()
            .with_context(|| format!("starting {}", name.display()))?;
        Ok(Self { process, home })
    }

    /// Waits until `is_up` returns true.
    ///
    /// # Errors
    /// The program has ended, or `limit` has passed; the error contains the program's output.
    pub(crate) fn wait_until(&mut self, limit: Duration, is_up: impl Fn() -> bool) -> Result<()> {
        let started = Instant::now();
        while !is_up() {
            let exit = self.process.try_wait()?;
            if exit.is_some() || started.elapsed() > limit {
                bail!("the program did not become ready:\n{}", self.output()?);
            }
            thread::sleep(CHECK_INTERVAL);
        }
        Ok(())
    }

    /// Asks the program to end, and waits until it has ended.
    ///
    /// # Errors
    /// The program has not ended within `limit`; the error contains its output.
    pub(crate) fn terminate(mut self, limit: Duration) -> Result<()> {
        rustix::process::kill_process(Pid::from_child(&self.process), Signal::TERM)?;
        let started = Instant::now();
        while self.process.try_wait()?.is_none() {
            if started.elapsed() > limit {
                bail!("the program did not end:\n{}", self.output()?);
            }
            thread::sleep(CHECK_INTERVAL);
        }
        Ok(())
    }

    fn output(&self) -> Result<String> {
        let output = fs::read(self.home.path().join("output"))?;
        Ok(String::from_utf8_lossy(&output).into_owned())
    }
}

impl Drop for ChildProgram {
    fn drop(&mut self) {
        // Both fail only if the process has already been reaped.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Pins this thread, and all threads and processes that it starts, to one core.
///
/// # Errors
/// The core does not exist or is not available to this process.
pub(crate) fn pin(core: usize) -> Result<()> {
    let core = CoreId { id: core };
    // `set_for_current` may panic for a core that does not exist.
    let exists = core_affinity::get_core_ids().is_some_and(|cores| cores.contains(&core));
    ensure!(
        exists && core_affinity::set_for_current(core),
        "this process can't be pinned to core {}: choose cores with --server-core, \
         --client-core and --gateway-core",
        core.id
    );
    Ok(())
}

/// Writes `text` to the file at `path`.
pub(crate) fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

/// A loopback address with a port that is free at the moment.
pub(crate) fn free_address() -> Result<SocketAddr> {
    let port = tce_test_rabbitmq::free_port().context("no port is free")?;
    Ok(SocketAddr::from(([127, 0, 0, 1], port)))
}

/// Whether a listener at `address` accepts connections.
pub(crate) fn accepts(address: SocketAddr) -> bool {
    TcpStream::connect(address).is_ok()
}
