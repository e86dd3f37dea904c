//! The server and the client process of one measurement, each pinned to a core of its own.
//!
//! A process gets its job as JSON on its command line. A server prints its [`ServerAddress`] when
//! it listens, and exits at the end of its standard input, so that it never outlives the process
//! that started it. A client prints its [`Measurement`].

use std::{
    fmt::Debug,
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    str::FromStr,
    sync::Arc,
};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::{io::AsyncReadExt, runtime, time::timeout};

use crate::{
    callgrind::Profile,
    case::Case,
    control::{self, ReceiveCounter},
    endpoint::{ReadyNotifier, ServerAddress, ServerSetup, print_line},
    load::LoadGenerator,
    meter::{LoadExtent, Measurement},
    payload::Payload,
    peers::Peer,
    program::pin,
};

/// What a server process has to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ServerJob {
    pub(crate) peer: Peer,
    pub(crate) case: Case,
    pub(crate) core: usize,
    /// The broker's address, if one was started.
    pub(crate) broker: Option<SocketAddr>,
}

/// What a client process has to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ClientJob {
    pub(crate) peer: Peer,
    pub(crate) case: Case,
    pub(crate) core: usize,
    pub(crate) extent: LoadExtent,
    pub(crate) server: ServerAddress,
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

/// A running server process that listens.
pub(crate) struct ServerProcess {
    child: Child,
    address: ServerAddress,
}

impl ServerProcess {
    /// Starts a server, under callgrind if a `profile` is given, and waits until it listens.
    pub(crate) fn start(job: &ServerJob, profile: Option<&Profile>) -> Result<Self> {
        let mut child = start("serve", job, Stdio::piped(), profile)?;
        let address = read_line(&mut child).with_context(|| format!("server of {job:?}"))?;
        Ok(Self { child, address })
    }

    pub(crate) fn address(&self) -> &ServerAddress {
        &self.address
    }

    /// Ends the server and waits for its exit.
    ///
    /// # Errors
    /// The server failed.
    pub(crate) fn stop(mut self) -> Result<()> {
        drop(self.child.stdin.take());
        let status = self.child.wait()?;
        ensure!(status.success(), "the server process failed: {status}");
        Ok(())
    }
}

/// Runs a client process to its end, under callgrind if a `profile` is given.
pub(crate) fn run_client(job: &ClientJob, profile: Option<&Profile>) -> Result<Measurement> {
    let mut child = start("drive", job, Stdio::null(), profile)?;
    let measurement = read_line(&mut child);
    let status = child.wait()?;
    ensure!(status.success(), "the client process failed: {status}");
    measurement
}

fn start(
    role: &str,
    job: &impl Serialize,
    stdin: Stdio,
    profile: Option<&Profile>,
) -> Result<Child> {
    let program = std::env::current_exe()?;
    let job = serde_json::to_string(job)?;
    let mut command = Command::new(program);
    command.args([role, &job]);
    if let Some(profile) = profile {
        command = profile.of(&command);
    }
    command
        .stdin(stdin)
        .stdout(Stdio::piped())
        .spawn()
        .context("starting a process of the benchmark")
}

fn read_line<T: DeserializeOwned>(child: &mut Child) -> Result<T> {
    let stdout = child
        .stdout
        .take()
        .context("the output of the process is not piped")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    serde_json::from_str(&line).context("the process printed no result")
}

/// Runs the server process.
pub(crate) fn serve(job: &ServerJob) -> Result<()> {
    pin(job.core)?;
    let received = Arc::new(ReceiveCounter::new(Payload::new(0, job.case.payload)));
    let ready = ReadyNotifier::new(control::serve_in_background(Arc::clone(&received))?);
    let setup = ServerSetup {
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
            outcome = job.peer.server(setup) => outcome,
            outcome = end_of_input() => outcome,
        }
    });
    // Standard input is read by a blocking thread of tokio's, which an ordinary shutdown would
    // wait for.
    runtime.shutdown_background();
    outcome.with_context(|| format!("server of {job:?}"))
}

async fn end_of_input() -> Result<()> {
    tokio::io::stdin().read_to_end(&mut Vec::new()).await?;
    Ok(())
}

/// Runs the client process.
pub(crate) fn drive(job: &ClientJob) -> Result<()> {
    pin(job.core)?;
    let load = LoadGenerator {
        case: job.case,
        extent: job.extent,
    };
    let limit = job.extent.limit();
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let measurement = runtime
        .block_on(async { timeout(limit, job.peer.client(&job.server, &load)).await })
        .with_context(|| format!("no result after {limit:?}"))
        .flatten()
        .with_context(|| format!("client of {job:?}"))?;
    print_line(&measurement)
}
