//! The processes that run the code of a service, and their connections to the agent.

use std::{
    collections::{HashMap, VecDeque},
    path::PathBuf,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tce_runtime::{
    Adapter, Communicator, Connection, Context, ErrorCode, Fault, Proxy, RpcError,
    wire::{DecodeError, Operation, Raw, Reader, Unmarshal},
};
use tokio::{
    sync::{Notify, oneshot, watch},
    task::JoinSet,
    time::{Instant, sleep, timeout, timeout_at},
};
use uuid::Uuid;

use crate::{
    config::{Program, ServiceSettings},
    idl::frame::{Hosts, HostsServant},
    manifest::hex,
    process::{ProcessGroup, describe, each_line},
};

/// The time for a process to load its code and to connect.
const READY_TIME: Duration = Duration::from_secs(30);
/// The pauses before a process that has ended is started again.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(10);
/// A package whose processes end this often within [`FAILURE_WINDOW`] has failed.
const MAX_ENDS: usize = 5;
const FAILURE_WINDOW: Duration = Duration::from_secs(60);
/// How long a replaced process may finish its calls.
pub(crate) const DRAIN_TIME: Duration = Duration::from_secs(30);
/// How long a call waits to learn how its process has ended.
const STATUS_TIME: Duration = Duration::from_millis(500);
/// A process runs a call as long as it takes, unless its package says otherwise; its caller waits
/// until its own deadline.
const CALL_TIME: Duration = Duration::from_secs(30 * 86_400);

/// The loopback port by which processes connect.
pub(crate) struct HostEndpoint {
    adapter: Adapter,
    waiting: Arc<WaitingHosts>,
}

/// The processes that have not connected, by their tokens.
#[derive(Default)]
struct WaitingHosts(Mutex<HashMap<String, oneshot::Sender<ReadyHost>>>);

/// What a process says when its code is loaded, or can't be.
type ReadyHost = Result<Connection, String>;

/// The servant of the loopback port. A token admits one process.
struct HostsImpl(Arc<WaitingHosts>);

impl Hosts for HostsImpl {
    async fn ready(&self, token: String, problem: String, context: &Context) -> Result<(), Fault> {
        let waiting = self.0.0.lock().remove(&token);
        let Some(waiting) = waiting else {
            tracing::warn!(
                peer = context.connection().peer(),
                "a process without a token was refused"
            );
            context.connection().close();
            return Err(Fault::new(
                ErrorCode::ConnectReject,
                "no process with this token is awaited",
            ));
        };
        let ready = match problem.is_empty() {
            true => Ok(context.connection().clone()),
            false => Err(problem),
        };
        // The process that was waited for too long is killed.
        let _ = waiting.send(ready);
        Ok(())
    }
}

impl HostEndpoint {
    pub(crate) async fn open(communicator: &Communicator) -> Result<Self, RpcError> {
        let adapter = Adapter::listen(communicator, "tcp://127.0.0.1:0").await?;
        let waiting = Arc::new(WaitingHosts::default());
        adapter.add_servant(HostsServant::new(HostsImpl(Arc::clone(&waiting))));
        adapter.start();
        Ok(Self { adapter, waiting })
    }

    fn expect(&self) -> (String, oneshot::Receiver<ReadyHost>) {
        let token = hex(&[Uuid::new_v4().into_bytes(), Uuid::new_v4().into_bytes()].concat());
        let (sender, receiver) = oneshot::channel();
        self.waiting.0.lock().insert(token.clone(), sender);
        (token, receiver)
    }

    fn forget(&self, token: &str) {
        self.waiting.0.lock().remove(token);
    }
}

/// What processes of a package run.
#[derive(Debug, Clone)]
pub(crate) struct HostCommand {
    pub(crate) name: String,
    pub(crate) folder: PathBuf,
    pub(crate) settings: ServiceSettings,
    pub(crate) processes: usize,
}

impl HostCommand {
    fn command(&self, endpoint: &str, token: &str) -> Command {
        let mut command = match &self.settings.program {
            Program::Python => {
                let python =
                    std::env::var_os("TCE_FRAME_PYTHON").unwrap_or_else(|| "python3".into());
                let mut command = Command::new(python);
                let functions: Vec<_> =
                    self.settings.functions.keys().map(String::as_str).collect();
                command
                    .args(["-m", "tce.frame_host", "--base", &self.name, "--package"])
                    .arg(&self.folder)
                    .args(["--functions", &functions.join(",")])
                    .args(["--concurrency", &self.settings.concurrency.to_string()])
                    .env("PYTHONUNBUFFERED", "1");
                command
            }
            Program::Tce { run, .. } => {
                let mut command = Command::new("/bin/sh");
                // The shell is replaced, so that a signal reaches the program itself.
                command.args(["-c", &format!("exec {run}")]);
                command
            }
        };
        command
            .current_dir(&self.folder)
            .env("TCE_FRAME_ENDPOINT", endpoint)
            .env("TCE_FRAME_TOKEN", token);
        command
    }
}

/// The result or the parameters of a call as they are on the wire.
pub(crate) struct MarshalledBytes(pub(crate) Vec<u8>);

impl Unmarshal for MarshalledBytes {
    const MIN_SIZE: usize = 0;

    fn unmarshal(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let length = input.remaining().len();
        Ok(Self(input.take(length)?.to_vec()))
    }
}

/// A running process.
struct Host {
    connection: Connection,
    calls: AtomicUsize,
    /// A function has run for longer than its package permits.
    overdue: Notify,
    /// How it has ended.
    ended: watch::Receiver<Option<String>>,
}

/// The processes of one generation of a package's code.
pub(crate) struct Generation {
    command: HostCommand,
    endpoint: Arc<HostEndpoint>,
    hosts: Mutex<Vec<Arc<Host>>>,
    /// A process has become free, has come or has ended.
    changed: Notify,
    /// No process is started again, and each ends when its calls have.
    is_retired: watch::Sender<bool>,
    /// Why no process is started any more.
    failure: Mutex<Option<String>>,
    ends: Mutex<VecDeque<Instant>>,
    /// How often a process has ended by itself.
    pub(crate) restarts: AtomicU64,
}

/// The right to make one call to a process.
pub(crate) struct CallPermit {
    generation: Arc<Generation>,
    host: Arc<Host>,
}

impl Drop for CallPermit {
    fn drop(&mut self) {
        self.host.calls.fetch_sub(1, Ordering::AcqRel);
        self.generation.changed.notify_waiters();
    }
}

impl Generation {
    /// Starts all processes, and returns when their code is loaded.
    ///
    /// # Errors
    /// Why it can't be loaded; all processes are ended then.
    pub(crate) async fn start(
        command: HostCommand,
        endpoint: Arc<HostEndpoint>,
    ) -> Result<Arc<Self>, String> {
        let generation = Arc::new(Self {
            command,
            endpoint,
            hosts: Mutex::default(),
            changed: Notify::new(),
            is_retired: watch::Sender::new(false),
            failure: Mutex::default(),
            ends: Mutex::default(),
            restarts: AtomicU64::new(0),
        });
        let mut starting = JoinSet::new();
        for _ in 0..generation.command.processes {
            let generation = Arc::clone(&generation);
            starting.spawn(async move { generation.start_host().await });
        }
        let mut running = Vec::new();
        while let Some(started) = starting.join_next().await {
            match started {
                Ok(Ok(process)) => running.push(process),
                Ok(Err(problem)) => return Err(problem),
                Err(error) => return Err(error.to_string()),
            }
        }
        for (host, process, ended) in running {
            generation.hosts.lock().push(Arc::clone(&host));
            let generation = Arc::clone(&generation);
            tokio::spawn(generation.supervise(host, process, ended));
        }
        generation.changed.notify_waiters();
        Ok(generation)
    }

    /// Starts one process, and waits until its code is loaded.
    async fn start_host(
        &self,
    ) -> Result<(Arc<Host>, ProcessGroup, watch::Sender<Option<String>>), String> {
        let (token, ready) = self.endpoint.expect();
        let address = self.endpoint.adapter.endpoint().to_string();
        let started = ProcessGroup::start(self.command.command(&address, &token));
        let mut process = started.map_err(|error| {
            self.endpoint.forget(&token);
            format!("can't start a process of `{}`: {error}", self.command.name)
        })?;
        self.log_output(&mut process);
        let outcome = tokio::select! {
            biased;
            ready = timeout(READY_TIME, ready) => match ready {
                Ok(Ok(ready)) => ready,
                Ok(Err(_)) => Err("the agent ends".to_owned()),
                Err(_) => Err(format!("its process did not connect within {} s", READY_TIME.as_secs())),
            },
            status = process.wait() => {
                Err(format!("its process has ended with {} before its code was loaded; its output is in the agent's log", describe(&status)))
            }
        };
        self.endpoint.forget(&token);
        let connection = outcome?;
        let (sender, ended) = watch::channel(None);
        let host = Host {
            connection,
            calls: AtomicUsize::new(0),
            overdue: Notify::new(),
            ended,
        };
        Ok((Arc::new(host), process, sender))
    }

    fn log_output(&self, process: &mut ProcessGroup) {
        let (output, errors) = process.output();
        let package = self.command.name.clone();
        tokio::spawn(async move {
            each_line(output, |line| tracing::info!(package, "{line}")).await;
        });
        let package = self.command.name.clone();
        tokio::spawn(async move {
            each_line(errors, |line| tracing::warn!(package, "{line}")).await;
        });
    }

    /// Keeps a process running until the generation is retired.
    async fn supervise(
        self: Arc<Self>,
        mut host: Arc<Host>,
        mut process: ProcessGroup,
        mut ended: watch::Sender<Option<String>>,
    ) {
        let mut retired = self.is_retired.subscribe();
        let mut pause = FIRST_PAUSE;
        loop {
            let began = Instant::now();
            let mut is_overdue = false;
            let status = tokio::select! {
                status = process.wait() => describe(&status),
                () = host.overdue.notified() => {
                    is_overdue = true;
                    describe(&process.end().await)
                }
                () = self.until_drained(&host, &mut retired) => {
                    host.connection.close();
                    describe(&process.end().await)
                }
            };
            process.signal(rustix::process::Signal::KILL);
            self.hosts.lock().retain(|other| !Arc::ptr_eq(other, &host));
            ended.send_replace(Some(status.clone()));
            // Calls in flight end now, and not when the loss of the connection is noticed.
            host.connection.close();
            self.changed.notify_waiters();
            if *retired.borrow() {
                return;
            }
            let package = &self.command.name;
            tracing::warn!(package, "a process has ended with {status}");
            self.restarts.fetch_add(1, Ordering::Relaxed);
            if !is_overdue && self.has_failed(&status) {
                return;
            }
            if began.elapsed() > FAILURE_WINDOW {
                pause = FIRST_PAUSE;
            }
            loop {
                tokio::select! {
                    () = sleep(pause) => {}
                    _ = retired.wait_for(|is_retired| *is_retired) => return,
                }
                pause = (2 * pause).min(LAST_PAUSE);
                match self.start_host().await {
                    Ok(started) => {
                        (host, process, ended) = started;
                        break;
                    }
                    Err(problem) => {
                        tracing::warn!(package, "{problem}");
                        if self.has_failed(&problem) {
                            return;
                        }
                    }
                }
            }
            self.hosts.lock().push(Arc::clone(&host));
            self.changed.notify_waiters();
        }
    }

    /// Notes that a process has ended. Returns whether it happened too often.
    fn has_failed(&self, reason: &str) -> bool {
        let now = Instant::now();
        let mut ends = self.ends.lock();
        ends.push_back(now);
        while ends
            .front()
            .is_some_and(|first| now.duration_since(*first) > FAILURE_WINDOW)
        {
            ends.pop_front();
        }
        // Each of the processes may end of one cause.
        let limit = MAX_ENDS.max(self.command.processes);
        if ends.len() < limit {
            return false;
        }
        let text = format!(
            "its processes have ended {} times within a minute, the last one: {reason}",
            ends.len()
        );
        self.failure.lock().get_or_insert(text);
        self.changed.notify_waiters();
        true
    }

    async fn until_drained(&self, host: &Host, retired: &mut watch::Receiver<bool>) {
        let _ = retired.wait_for(|is_retired| *is_retired).await;
        let deadline = Instant::now() + DRAIN_TIME;
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if host.calls.load(Ordering::Acquire) == 0
                || timeout_at(deadline, changed).await.is_err()
            {
                return;
            }
        }
    }

    /// Why the package has failed, if it has.
    pub(crate) fn failure(&self) -> Option<String> {
        let failure = self.failure.lock().clone();
        failure.filter(|_| self.hosts.lock().is_empty())
    }

    /// Lets the processes finish their calls, at most 30 s, and ends them.
    pub(crate) fn retire(&self) {
        self.is_retired.send_replace(true);
        self.changed.notify_waiters();
    }

    /// Waits until all processes have ended.
    pub(crate) async fn ended(&self) {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if self.hosts.lock().is_empty() {
                return;
            }
            changed.await;
        }
    }

    pub(crate) fn command(&self) -> &HostCommand {
        &self.command
    }

    /// Waits for a process with capacity; `None` if the generation is retired or has failed.
    pub(crate) async fn permit(self: &Arc<Self>) -> Option<CallPermit> {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if *self.is_retired.borrow() || self.failure().is_some() {
                return None;
            }
            if let Some(host) = self.free_host() {
                return Some(CallPermit {
                    generation: Arc::clone(self),
                    host,
                });
            }
            changed.await;
        }
    }

    /// The process with the fewest calls, if it takes another one.
    fn free_host(&self) -> Option<Arc<Host>> {
        let hosts = self.hosts.lock();
        let calls = |host: &&Arc<Host>| host.calls.load(Ordering::Acquire);
        let host = hosts.iter().min_by_key(calls)?;
        if calls(&host) >= self.command.settings.concurrency {
            return None;
        }
        host.calls.fetch_add(1, Ordering::AcqRel);
        Some(Arc::clone(host))
    }
}

impl CallPermit {
    /// Forwards a call to the process. The error of a process that ends says how.
    pub(crate) async fn call(
        &self,
        ifidx: u16,
        opidx: u16,
        extra: &[(String, String)],
        params: &[u8],
    ) -> Result<Vec<u8>, RpcError> {
        let limit = self.generation.command.settings.timeout;
        let proxy = Proxy::new(&self.host.connection)
            .with_timeout(limit.unwrap_or(CALL_TIME))
            .with_extra(
                extra
                    .iter()
                    .map(|(key, value)| (key.as_str(), value.as_str())),
            );
        let operation = Operation::new("forwarded", ifidx, opidx);
        let calling = proxy.call::<_, MarshalledBytes>(&operation, Raw(params));
        match calling.await {
            Ok(MarshalledBytes(result)) => Ok(result),
            Err(error) if error.code() == ErrorCode::ConnectionLost => {
                Err(self.how_it_ended(error).await)
            }
            Err(error) if error.code() == ErrorCode::Timeout => Err(self.end_process(error, limit)),
            Err(error) => Err(error),
        }
    }

    /// Ends the process of a function that has run for too long: nothing else stops it.
    fn end_process(&self, error: RpcError, limit: Option<Duration>) -> RpcError {
        let Some(limit) = limit else {
            return error;
        };
        let mut hosts = self.generation.hosts.lock();
        hosts.retain(|other| !Arc::ptr_eq(other, &self.host));
        self.host.overdue.notify_one();
        let text = format!(
            "the function has run for {}, the `timeout` of its package, and its process was ended",
            humantime::format_duration(limit)
        );
        RpcError::new(ErrorCode::Timeout, text)
    }

    async fn how_it_ended(&self, error: RpcError) -> RpcError {
        let mut ended = self.host.ended.clone();
        let learned = timeout(STATUS_TIME, ended.wait_for(Option::is_some)).await;
        match learned {
            Ok(Ok(status)) => {
                let status = status.as_deref().unwrap_or_default();
                let text = format!("the process that ran the function has ended with {status}");
                RpcError::new(ErrorCode::RemoteMethodException, text)
            }
            _ => error,
        }
    }
}
