//! Workers: they take the tasks of groups and run them on servants.

use std::{
    borrow::Cow,
    collections::HashMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use parking_lot::Mutex;
use serde_json::Value;
use tce_dynamic::{CallTarget, TargetError, UndecodedBytes, find_operation, marshal_values};
use tce_idl::model::{Model, Type};
use tce_runtime::{
    Adapter, Communicator, ErrorCode, MemoryBroker, Proxy, RpcError, Servant,
    config::{MqConfig, Options},
    wire::{DecodeError, Raw, Reader},
};
use tokio::{
    sync::{Semaphore, watch},
    task::JoinSet,
    time::{Instant, timeout, timeout_at},
};

use crate::{
    broker::QueueError,
    client::{JSON, MARSHALLED, result_type},
    clock::unix_ms,
    control::{ATTEMPT_KEY, Attempt},
    idl::tasks::{Lease, Outcome},
    limits::{Limits, Rate},
    metrics,
    model::{FinishAnswer, Status, TaskOptions},
    tasks::Tasks,
};

/// How long one look for tasks lasts.
const LEASE_WAIT: Duration = Duration::from_secs(1);
/// How long handing back may take once the time for a shutdown is over.
const HAND_BACK_TIME: Duration = Duration::from_secs(2);
/// How long all slots are taken before what was delivered in advance may run elsewhere.
const BUSY_TIME: Duration = Duration::from_secs(1);
/// The pause after the queue has failed.
const FAILURE_PAUSE: Duration = Duration::from_millis(500);
/// How often an outcome is stored again before it is given up, and the lease ends by itself.
const FINISH_ATTEMPTS: u32 = 60;

/// Servants are called over a queue in memory, so that they are those of calls.
const CALLS: &str = "
worker:
  endpoints:
    - {name: calls, host: localhost, port: 1, address: 'calls;{create:always,node:{type:queue}}', type: qpid, af_mode: AF_READ}
    - {name: returns, host: localhost, port: 1, address: 'returns;{create:always,node:{type:queue}}', type: qpid, af_mode: AF_WRITE}
sender:
  endpoints:
    - {name: calls, host: localhost, port: 1, address: 'calls;{create:always,node:{type:queue}}', type: qpid, af_mode: AF_WRITE}
    - {name: returns, host: localhost, port: 1, address: 'returns;{create:always,node:{type:queue}}', type: qpid, af_mode: AF_READ}
  endpoint_pairs:
    - {call: calls, return: returns}
";

/// Why a worker does not start.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// A servant was generated without its IDL, or the IDL is not valid.
    #[error("a servant of the group `{0}` has no valid IDL: generate it again")]
    NoIdl(String),
    /// The servants of a group can't be called.
    #[error("{0}")]
    Servants(#[from] RpcError),
    /// The broker would give a running task to a second worker.
    #[error(
        "the time limit of an attempt, {limit:?}, is not below the broker's consumer timeout, {timeout:?}: lower Worker::time_limit, or raise consumer_timeout of RabbitMQ and AmqpConfig::broker_consumer_timeout"
    )]
    TimeLimit {
        /// The worker's time limit.
        limit: Duration,
        /// What was said of the broker.
        timeout: Duration,
    },
    /// A limit names no operation of its group: the group, and why.
    #[error("a limit of the group `{0}`: {1}")]
    Limit(String, TargetError),
    /// The configuration of the calls is wrong.
    #[error("{0}")]
    Config(#[from] tce_runtime::config::problem::Problems),
}

/// Adds a servant to the adapter of its group.
type AddServant = Box<dyn FnOnce(&Adapter) + Send>;

/// A group and its servants, before the worker starts.
pub struct Group {
    name: String,
    concurrency: usize,
    servants: Vec<AddServant>,
    models: Vec<Option<Model>>,
    /// By the name that the program has given.
    limits: Limits,
}

impl Group {
    /// Tasks that run at once; by default the number of cores.
    #[must_use]
    pub fn concurrency(mut self, concurrency: usize) -> Self {
        self.concurrency = concurrency.clamp(1, 1024);
        self
    }

    /// Attempts of an operation, `add` or `Math.add`, that run at once in this worker. An attempt that
    /// would wait longer than 1 s for others is delayed again, and holds no slot of the group.
    #[must_use]
    pub fn limit(mut self, operation: &str, count: u32) -> Self {
        self.limits
            .entry(operation.to_owned())
            .or_default()
            .at_once(count);
        self
    }

    /// Attempts of an operation that begin in a time in this worker. An attempt that would wait longer
    /// than 1 s is delayed again, and holds no slot of the group.
    #[must_use]
    pub fn rate(mut self, operation: &str, rate: Rate) -> Self {
        self.limits
            .entry(operation.to_owned())
            .or_default()
            .rate(rate);
        self
    }

    /// Adds a servant as code generation gives it for calls.
    #[must_use]
    pub fn servant(mut self, servant: impl Servant) -> Self {
        let model = servant
            .idl()
            .and_then(|idl| tce_idl::compile_str(idl).model);
        self.models.push(model);
        self.servants.push(Box::new(move |adapter| {
            adapter.add_servant(servant);
        }));
        self
    }
}

/// A worker of one or several groups, before it starts.
pub struct Worker {
    tasks: Tasks,
    groups: Vec<Group>,
    time_limit: Duration,
}

impl Worker {
    /// A worker for the tasks of a queue.
    #[must_use]
    pub fn new(tasks: &Tasks) -> Self {
        Self {
            tasks: tasks.clone(),
            groups: Vec::new(),
            time_limit: TaskOptions::default().time_limit,
        }
    }

    /// The longest time limit of an attempt, 25 min by default; a task may set a shorter one.
    #[must_use]
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = limit;
        self
    }

    /// Adds a group, which `build` gives its servants.
    #[must_use]
    pub fn group(mut self, name: &str, build: impl FnOnce(Group) -> Group) -> Self {
        let cores = std::thread::available_parallelism();
        self.groups.push(build(Group {
            name: name.to_owned(),
            concurrency: cores.map_or(1, usize::from),
            servants: Vec::new(),
            models: Vec::new(),
            limits: Limits::new(),
        }));
        self
    }

    /// Starts to run tasks. Must run within a tokio runtime.
    ///
    /// # Errors
    /// A servant has no IDL, or the time limit is not below the broker's consumer timeout.
    pub async fn start(self) -> Result<RunningWorker, WorkerError> {
        let limit = self.time_limit;
        if let Some(timeout) = self.tasks.0.consumer_timeout()
            && limit >= timeout
        {
            return Err(WorkerError::TimeLimit { limit, timeout });
        }
        let (phase, _) = watch::channel(Phase::Running);
        let mut loops = JoinSet::new();
        for group in self.groups {
            let executor = Executor::new(self.tasks.clone(), group, limit).await?;
            loops.spawn(Arc::new(executor).run(phase.subscribe()));
        }
        Ok(RunningWorker { phase, loops })
    }
}

/// How a worker ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Running,
    /// Takes no further task; those that run may end.
    Draining,
    /// Hands back what still runs.
    HandingBack,
}

/// A worker that runs. Dropping it ends its tasks without an outcome.
#[derive(Debug)]
pub struct RunningWorker {
    phase: watch::Sender<Phase>,
    loops: JoinSet<()>,
}

impl RunningWorker {
    /// Takes no further task, hands back those that have not begun, and waits at most `timeout` for
    /// those that run; then it hands these back, too, within 2 s. What is handed back runs again at
    /// once elsewhere, and counts neither as an attempt nor as a death. Returns whether all have
    /// ended by themselves.
    pub async fn shutdown(mut self, timeout: Duration) -> bool {
        self.phase.send_replace(Phase::Draining);
        if self.wait(timeout).await {
            return true;
        }
        self.phase.send_replace(Phase::HandingBack);
        self.wait(HAND_BACK_TIME).await;
        false
    }

    /// Waits for the end of all groups; returns false after the timeout.
    async fn wait(&mut self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        while !self.loops.is_empty() {
            if timeout_at(deadline, self.loops.join_next()).await.is_err() {
                return false;
            }
        }
        true
    }

    /// Waits for SIGTERM or Ctrl-C, then [shuts down](Self::shutdown).
    ///
    /// # Errors
    /// The signals can't be caught.
    pub async fn wait_for_shutdown(self, timeout: Duration) -> std::io::Result<bool> {
        tce_runtime::termination_signal().await?;
        Ok(self.shutdown(timeout).await)
    }
}

/// Waits until the worker has come to a phase, or was dropped.
async fn reached(phase: &mut watch::Receiver<Phase>, wanted: Phase) {
    let _ = phase.wait_for(|phase| *phase >= wanted).await;
}

/// Runs the tasks of one group.
struct Executor {
    tasks: Tasks,
    group: String,
    concurrency: usize,
    time_limit: Duration,
    /// Leaked, as the targets borrow from them: a program has few workers.
    models: &'static [Model],
    /// By the name that senders use. Only names that were found: their number is bounded.
    targets: Mutex<HashMap<String, Arc<CallTarget<'static>>>>,
    /// By the full name of the operation.
    limits: Limits,
    servants: Proxy,
    _communicators: [Communicator; 2],
}

impl Drop for Executor {
    /// A worker that is dropped must not hold what a broker has delivered in advance.
    fn drop(&mut self) {
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (tasks, group) = (self.tasks.clone(), std::mem::take(&mut self.group));
            runtime.spawn(async move { tasks.0.leave(&group).await });
        }
    }
}

/// An outcome that leaves the task's retries as they are.
fn outcome(status: Status) -> Outcome {
    Outcome {
        status: status.number(),
        retries: -1,
        pause_ms: -1,
        ..Outcome::default()
    }
}

/// An outcome that no retry can change.
fn permanent(error: &impl ToString) -> Outcome {
    Outcome {
        error: error.to_string(),
        ..outcome(Status::Failure)
    }
}

/// The attempt does not count: another worker begins it again.
fn handed_back() -> Outcome {
    outcome(Status::Sent)
}

/// The attempt does not count: it is tried again after a pause.
fn delayed_again(pause: Duration) -> Outcome {
    Outcome {
        pause_ms: i64::try_from(pause.as_millis()).unwrap_or(i64::MAX),
        ..handed_back()
    }
}

impl Executor {
    async fn new(tasks: Tasks, group: Group, time_limit: Duration) -> Result<Self, WorkerError> {
        let models = group.models.into_iter().collect::<Option<Vec<_>>>();
        let models = models.ok_or_else(|| WorkerError::NoIdl(group.name.clone()))?;
        let models: &'static [Model] = models.leak();
        let mut limits = Limits::new();
        for (name, limit) in group.limits {
            let target = find_operation(models, &name);
            let target = target.map_err(|error| WorkerError::Limit(group.name.clone(), error))?;
            limits.insert(target.operation.name().to_owned(), limit);
        }
        let broker = MemoryBroker::new();
        let (worker, sender) = (
            open(&broker, "worker").await?,
            open(&broker, "sender").await?,
        );
        let adapter = Adapter::listen(&worker, "mq:calls").await?;
        for add in group.servants {
            add(&adapter);
        }
        adapter.start();
        Ok(Self {
            tasks,
            group: group.name,
            concurrency: group.concurrency,
            time_limit,
            models,
            targets: Mutex::default(),
            limits,
            servants: Proxy::connect(&sender, "mq:calls").await?,
            _communicators: [worker, sender],
        })
    }

    /// Takes and runs tasks until the worker drains, then waits for those that run.
    async fn run(self: Arc<Self>, mut phase: watch::Receiver<Phase>) {
        let permits = Arc::new(Semaphore::new(self.concurrency));
        let mut running = JoinSet::new();
        loop {
            while running.try_join_next().is_some() {}
            let mut take = std::pin::pin!(self.take(&permits));
            let taken = tokio::select! {
                biased;
                () = reached(&mut phase, Phase::Draining) => None,
                leases = &mut take => Some(leases),
            };
            let Some(leases) = taken else {
                // Not dropped: it may have leases already. If all permits are taken it has none.
                if permits.available_permits() > 0 {
                    self.hand_back(take.await).await;
                }
                break;
            };
            let leases = match leases {
                Ok(leases) => leases,
                Err(error) => {
                    metrics::queue_failed(&self.group);
                    tracing::warn!(group = self.group, "can't take tasks: {error}");
                    tokio::time::sleep(FAILURE_PAUSE).await;
                    continue;
                }
            };
            for lease in leases {
                // `take` asks for no more leases than there are permits.
                let permit = Arc::clone(&permits).try_acquire_owned();
                let executor = Arc::clone(&self);
                let phase = phase.clone();
                running.spawn(async move {
                    executor.execute(lease, phase).await;
                    drop(permit);
                });
            }
        }
        let leaving = self.tasks.0.leave(&self.group);
        let running = async { while running.join_next().await.is_some() {} };
        tokio::join!(leaving, running);
    }

    /// Leases as many tasks as there are permits.
    async fn take(&self, permits: &Semaphore) -> Result<Vec<Lease>, QueueError> {
        // Waits for one permit; `run` takes it again for the task.
        if timeout(BUSY_TIME, permits.acquire()).await.is_err() {
            self.tasks.0.rest(&self.group).await;
            let _ = permits.acquire().await;
        }
        let max = permits.available_permits();
        self.tasks.0.lease(&self.group, max, LEASE_WAIT, 0).await
    }

    /// Queues tasks again that were taken and have not begun.
    async fn hand_back(&self, leases: Result<Vec<Lease>, QueueError>) {
        for lease in leases.unwrap_or_default() {
            self.store(&lease, &handed_back()).await;
        }
    }

    /// Runs one attempt within the limits of its operation.
    async fn execute(&self, lease: Lease, mut phase: watch::Receiver<Phase>) {
        let target = self.target(&lease.task.operation);
        let name = target.as_ref().map(|target| target.operation.name());
        let limits = name.as_ref().ok().and_then(|name| self.limits.get(*name));
        let admitted = match limits {
            Some(limits) => tokio::select! {
                biased;
                () = reached(&mut phase, Phase::HandingBack) => Err(handed_back()),
                admitted = limits.admit() => admitted.map(Some).map_err(delayed_again),
            },
            None => Ok(None),
        };
        match admitted {
            // It counts until the attempt has ended.
            Ok(_admitted) => self.run_attempt(lease, target, phase).await,
            Err(outcome) => {
                metrics::limited(&self.group, name.unwrap_or(metrics::UNKNOWN));
                self.store(&lease, &outcome).await;
            }
        }
    }

    /// Runs one attempt, extends its lease meanwhile, and stores the outcome.
    async fn run_attempt(
        &self,
        lease: Lease,
        target: Result<Arc<CallTarget<'static>>, TargetError>,
        mut phase: watch::Receiver<Phase>,
    ) {
        let started = Instant::now();
        let operation = match &target {
            Ok(target) => target.operation.name(),
            Err(_) => metrics::UNKNOWN,
        };
        let options = TaskOptions::from_pairs(&lease.task.options);
        // A retry is due at another time, which the lease does not tell.
        let first = options.as_ref().ok().filter(|_| lease.attempt == 0);
        let due_ms = first.map_or(0, |options| options.run_at_ms);
        let late = match due_ms {
            0 => None,
            due_ms => Some(unix_ms(SystemTime::now()).saturating_sub(due_ms)),
        };
        let late = late.map(Duration::from_millis);
        let running = metrics::Running::start(&self.group, operation, late);
        let outcome = match (target, options) {
            (Err(error), _) => permanent(&format!("the group `{}`: {error}", self.group)),
            (_, Err(error)) => permanent(&error),
            (Ok(target), Ok(options)) => {
                tokio::select! {
                    biased;
                    () = reached(&mut phase, Phase::HandingBack) => handed_back(),
                    outcome = self.attempt(&lease, &target, options) => outcome,
                }
            }
        };
        if let Some(answer) = self.store(&lease, &outcome).await {
            running.finished(&outcome, answer, started.elapsed());
        }
    }

    fn target(&self, name: &str) -> Result<Arc<CallTarget<'static>>, TargetError> {
        if let Some(target) = self.targets.lock().get(name) {
            return Ok(Arc::clone(target));
        }
        let target = Arc::new(find_operation(self.models, name)?);
        let known = Arc::clone(&target);
        self.targets.lock().insert(name.to_owned(), known);
        Ok(target)
    }

    /// Stores an outcome. `None` if the queue fails for so long that the lease has ended.
    async fn store(&self, lease: &Lease, outcome: &Outcome) -> Option<FinishAnswer> {
        for _ in 0..FINISH_ATTEMPTS {
            match self.tasks.0.finish(lease, outcome).await {
                Ok(answer) => return Some(answer),
                Err(error) => {
                    metrics::queue_failed(&self.group);
                    tracing::warn!(id = lease.task.id, "can't store an outcome: {error}");
                    tokio::time::sleep(FAILURE_PAUSE).await;
                }
            }
        }
        None
    }

    async fn attempt(
        &self,
        lease: &Lease,
        target: &CallTarget<'_>,
        options: TaskOptions,
    ) -> Outcome {
        let parameters = match parameters(lease, target, options.signature.as_deref()) {
            Ok(parameters) => parameters,
            Err(error) => return permanent(&error),
        };
        let limit = options.time_limit.min(self.time_limit);
        let attempt = Attempt::new(&self.tasks.0, lease, options.retries, limit);
        let proxy = self
            .servants
            .with_timeout(limit)
            .with_extra(options.extra)
            .with_extra([(ATTEMPT_KEY, attempt.token())]);
        let call = proxy.call::<_, UndecodedBytes>(&target.operation, Raw(&parameters));
        let called = tokio::select! {
            called = call => called,
            // It never returns.
            () = attempt.keep_lease() => return handed_back(),
        };
        match called {
            Ok(UndecodedBytes(bytes)) => {
                success(target, &bytes).unwrap_or_else(|error| permanent(&error))
            }
            Err(error) if error.code() == ErrorCode::Timeout => attempt.failure(
                error.code(),
                &format!("exceeded its time limit of {limit:?}"),
            ),
            Err(error) => attempt.failure(error.code(), error.text()),
        }
    }
}

/// The marshalled parameters of a task. `signature` is the layout of the operation as its sender knows
/// it.
fn parameters<'l>(
    lease: &'l Lease,
    target: &CallTarget<'_>,
    signature: Option<&str>,
) -> Result<Cow<'l, [u8]>, String> {
    let task = &lease.task;
    if let Some(signature) = signature {
        let own = target.model.layout(target.parameters, target.returns);
        if signature != own {
            return Err(format!(
                "{}: the sender has the layout `{signature}`, expected `{own}`: generate its code again from the IDL of this worker",
                target.signature
            ));
        }
    }
    let content_type = task.content_type.as_str();
    let arguments: Vec<Value> = match (content_type, result_type(content_type)) {
        (MARSHALLED, _) => return Ok(Cow::Borrowed(&task.body)),
        (JSON, _) => serde_json::from_slice(&task.body)
            .map_err(|error| format!("the body is not a JSON array: {error}"))?,
        (_, Some(ty)) => {
            let result = serde_json::from_slice(&task.body)
                .map_err(|error| format!("the result of the step before is no JSON: {error}"))?;
            result_as_arguments(result, ty, target)
        }
        _ => {
            return Err(format!(
                "the body is `{content_type}`: expected {JSON} or {MARSHALLED}"
            ));
        }
    };
    let marshalled = marshal_values(target, &arguments);
    Ok(Cow::Owned(marshalled.map_err(|error| error.to_string())?))
}

/// The result of the step before as arguments: the members of a struct if the operation has as many
/// parameters, else one argument.
fn result_as_arguments(result: Value, ty: &str, target: &CallTarget<'_>) -> Vec<Value> {
    match result {
        Value::Object(members) if ty.starts_with("struct ") => {
            let takes_struct = match target.parameters {
                [only] => matches!(only.ty, Type::Struct(_)),
                parameters => parameters.len() != members.len(),
            };
            match takes_struct {
                true => vec![Value::Object(members)],
                false => members.into_iter().map(|(_, value)| value).collect(),
            }
        }
        result => vec![result],
    }
}

async fn open(broker: &MemoryBroker, process: &str) -> Result<Communicator, WorkerError> {
    let communicator = Communicator::with_options(Options {
        cancel_expired: true,
        ..Options::default()
    });
    let config = MqConfig::parse(CALLS, "the calls of a worker", process)?;
    communicator.open_mq_in_memory(config, broker).await?;
    Ok(communicator)
}

/// The result as JSON, with its type.
fn success(target: &CallTarget<'_>, bytes: &[u8]) -> Result<Outcome, DecodeError> {
    let mut outcome = Outcome {
        content_type: JSON.to_owned(),
        ..outcome(Status::Success)
    };
    if let Some(ty) = target.returns {
        let value = tce_dynamic::decode(target.model, ty, &mut Reader::new(bytes))?;
        outcome.content_type = format!("{JSON}; type=\"{}\"", type_name(target.model, ty));
        outcome.result = value.to_string().into_bytes();
    }
    Ok(outcome)
}

fn type_name(model: &Model, ty: Type) -> String {
    let name = model
        .declared(ty)
        .map_or(ty.builtin_name(), |(_, name)| name);
    match ty {
        Type::Struct(_) => format!("struct {name}"),
        _ => name.to_owned(),
    }
}
