//! The two processes of one measurement, each on a core of its own: how they are started, what
//! they are told, and what they tell.
//!
//! A server prints its [`Address`] once it listens, and ends when its standard input does: so it
//! outlives nobody who started it. A client prints its [`Measurement`].

use std::{
    fmt::Debug,
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use core_affinity::CoreId;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::{io::AsyncReadExt, runtime, time::timeout};

use crate::{
    case::Case,
    control::{self, Received},
    load::Load,
    meter::Measurement,
    payload::Payload,
    peers::{Peer, Stand},
};

/// How much longer than it measures a client may take before it counts as hung.
const GRACE: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ServerJob {
    pub(crate) peer: Peer,
    pub(crate) case: Case,
    pub(crate) core: usize,
    /// Where the broker listens, if one was started.
    pub(crate) broker: Option<SocketAddr>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ClientJob {
    pub(crate) peer: Peer,
    pub(crate) case: Case,
    pub(crate) core: usize,
    pub(crate) warm_up: Duration,
    pub(crate) measured: Duration,
    pub(crate) server: Address,
}

/// Where a server is reached.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Address {
    /// As the peer's clients write it.
    pub(crate) endpoint: String,
    /// Where it is asked what it has received.
    pub(crate) control: SocketAddr,
}

impl FromStr for ServerJob {
    type Err = serde_json::Error;

    fn from_str(text: &str) -> serde_json::Result<Self> {
        serde_json::from_str(text)
    }
}

impl FromStr for ClientJob {
    type Err = serde_json::Error;

    fn from_str(text: &str) -> serde_json::Result<Self> {
        serde_json::from_str(text)
    }
}

/// A server that listens.
pub(crate) struct Server {
    child: Child,
    address: Address,
}

impl Server {
    pub(crate) fn start(job: &ServerJob) -> Result<Self> {
        let mut child = start("serve", job, Stdio::piped())?;
        let address = read_line(&mut child).with_context(|| format!("server of {job:?}"))?;
        Ok(Self { child, address })
    }

    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// Lets it end, and tells whether anything went wrong in it.
    pub(crate) fn stop(mut self) -> Result<()> {
        drop(self.child.stdin.take());
        let status = self.child.wait()?;
        ensure!(status.success(), "the server failed: {status}");
        Ok(())
    }
}

/// Runs a client to its end.
pub(crate) fn run_client(job: &ClientJob) -> Result<Measurement> {
    let mut child = start("drive", job, Stdio::null())?;
    let measurement = read_line(&mut child);
    let status = child.wait()?;
    ensure!(status.success(), "the client failed: {status}");
    measurement
}

fn start(role: &str, job: &impl Serialize, stdin: Stdio) -> Result<Child> {
    let program = std::env::current_exe()?;
    let job = serde_json::to_string(job)?;
    let mut command = Command::new(program);
    command
        .args([role, &job])
        .stdin(stdin)
        .stdout(Stdio::piped());
    command
        .spawn()
        .context("starting a process of the benchmark")
}

fn read_line<T: DeserializeOwned>(child: &mut Child) -> Result<T> {
    let stdout = child
        .stdout
        .take()
        .context("the process's output was read before")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    serde_json::from_str(&line).context("the process told no result")
}

fn print_line(value: &impl Serialize) -> Result<()> {
    let mut line = serde_json::to_string(value)?;
    line.push('\n');
    Ok(std::io::stdout().write_all(line.as_bytes())?)
}

/// Lets a server say that it listens.
pub(crate) struct Ready {
    control: SocketAddr,
}

impl Ready {
    pub(crate) fn announce(&self, endpoint: &str) -> Result<()> {
        print_line(&Address {
            endpoint: endpoint.to_owned(),
            control: self.control,
        })
    }
}

/// The server process.
pub(crate) fn serve(job: &ServerJob) -> Result<()> {
    pin(job.core)?;
    let received = Arc::new(Received::new(Payload::new(0, job.case.payload)));
    let ready = Ready {
        control: control::answer_in_background(Arc::clone(&received))?,
    };
    let stand = Stand {
        case: job.case,
        broker: job.broker,
        received,
        ready,
    };
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let outcome = runtime.block_on(async {
        tokio::select! {
            outcome = job.peer.server(stand) => outcome,
            outcome = end_of_input() => outcome,
        }
    });
    // Standard input is read on a thread of tokio's that no one can wake.
    runtime.shutdown_background();
    outcome.with_context(|| format!("server of {job:?}"))
}

async fn end_of_input() -> Result<()> {
    tokio::io::stdin().read_to_end(&mut Vec::new()).await?;
    Ok(())
}

/// The client process.
pub(crate) fn drive(job: &ClientJob) -> Result<()> {
    pin(job.core)?;
    let load = Load {
        case: job.case,
        warm_up: job.warm_up,
        measured: job.measured,
    };
    let limit = job.warm_up + job.measured + GRACE;
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let measurement = runtime
        .block_on(async { timeout(limit, job.peer.client(&job.server, &load)).await })
        .with_context(|| format!("hung for {limit:?}"))
        .flatten()
        .with_context(|| format!("client of {job:?}"))?;
    print_line(&measurement)
}

/// Pins this thread, and all that it starts, to one core.
pub(crate) fn pin(core: usize) -> Result<()> {
    let core = CoreId { id: core };
    // Asked for a core that is not there, `set_for_current` may panic.
    let exists = core_affinity::get_core_ids().is_some_and(|cores| cores.contains(&core));
    ensure!(
        exists && core_affinity::set_for_current(core),
        "this process can't be pinned to core {}: choose cores with --server-core, \
         --client-core and --gateway-core",
        core.id
    );
    Ok(())
}
