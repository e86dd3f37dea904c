//! Workers: they take the tasks of groups and run them on servants.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use serde_json::Value;
use tce_dynamic::{CallTarget, UndecodedBytes, find_operation, marshal_values};
use tce_idl::model::{Model, Type};
use tce_runtime::{
    Adapter, Communicator, ErrorCode, MemoryBroker, Proxy, RpcError, Servant,
    config::{MqConfig, Options},
    wire::{Operation, Raw, Reader},
};
use tokio::{
    sync::{Semaphore, watch},
    task::JoinSet,
    time::{Instant, timeout_at},
};

use crate::{
    client::JSON,
    idl::tasks::{Lease, Record},
    model::{Status, TaskOptions},
    queue::QueueError,
    tasks::Tasks,
};

/// How long one look for tasks lasts.
const LEASE_WAIT: Duration = Duration::from_secs(1);
/// How often the lease of a running task is extended.
const EXTEND_INTERVAL: Duration = Duration::from_secs(10);
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
}

impl Group {
    /// Tasks that run at once; by default the number of cores.
    #[must_use]
    pub fn concurrency(mut self, concurrency: usize) -> Self {
        self.concurrency = concurrency.clamp(1, 1024);
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
}

impl Worker {
    /// A worker for the tasks of a queue.
    #[must_use]
    pub fn new(tasks: &Tasks) -> Self {
        Self {
            tasks: tasks.clone(),
            groups: Vec::new(),
        }
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
        }));
        self
    }

    /// Starts to run tasks. Must run within a tokio runtime.
    ///
    /// # Errors
    /// A servant has no IDL.
    pub async fn start(self) -> Result<RunningWorker, WorkerError> {
        let (stop, _) = watch::channel(false);
        let mut loops = JoinSet::new();
        for group in self.groups {
            let executor = Executor::new(self.tasks.clone(), group).await?;
            loops.spawn(Arc::new(executor).run(stop.subscribe()));
        }
        Ok(RunningWorker { stop, loops })
    }
}

/// A worker that runs. Dropping it ends its tasks without an outcome.
#[derive(Debug)]
pub struct RunningWorker {
    stop: watch::Sender<bool>,
    loops: JoinSet<()>,
}

impl RunningWorker {
    /// Takes no further task, and waits at most `timeout` for those that run. Returns whether all
    /// have ended; the others run again: in this process when the queue is opened again, and
    /// elsewhere when their leases end.
    pub async fn shutdown(mut self, timeout: Duration) -> bool {
        self.stop.send_replace(true);
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

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that the worker was dropped.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Runs the tasks of one group.
struct Executor {
    tasks: Tasks,
    group: String,
    concurrency: usize,
    models: Vec<Model>,
    servants: Proxy,
    /// By the name that senders use. Only names that were found: their number is bounded.
    operations: Mutex<HashMap<String, Operation>>,
    _communicators: [Communicator; 2],
}

/// How an attempt failed.
struct Failure {
    text: String,
    can_retry: bool,
}

impl Failure {
    fn permanent(error: impl Into<String>) -> Self {
        Self {
            text: error.into(),
            can_retry: false,
        }
    }
}

impl Executor {
    async fn new(tasks: Tasks, group: Group) -> Result<Self, WorkerError> {
        let models = group.models.into_iter().collect::<Option<Vec<_>>>();
        let models = models.ok_or_else(|| WorkerError::NoIdl(group.name.clone()))?;
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
            models,
            servants: Proxy::connect(&sender, "mq:calls").await?,
            operations: Mutex::default(),
            _communicators: [worker, sender],
        })
    }

    /// Takes and runs tasks until `stop`, then waits for those that run.
    async fn run(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let permits = Arc::new(Semaphore::new(self.concurrency));
        let mut running = JoinSet::new();
        loop {
            while running.try_join_next().is_some() {}
            let mut take = std::pin::pin!(self.take(&permits));
            let taken = tokio::select! {
                biased;
                () = stopped(&mut stop) => None,
                leases = &mut take => Some(leases),
            };
            let Some(leases) = taken else {
                // Not dropped: it may have leases already.
                self.hand_back(take.await).await;
                break;
            };
            let leases = match leases {
                Ok(leases) => leases,
                Err(error) => {
                    tracing::warn!(group = self.group, "can't take tasks: {error}");
                    tokio::time::sleep(FAILURE_PAUSE).await;
                    continue;
                }
            };
            for lease in leases {
                // `take` asks for no more leases than there are permits.
                let permit = Arc::clone(&permits).try_acquire_owned();
                let executor = Arc::clone(&self);
                running.spawn(async move {
                    executor.execute(lease).await;
                    drop(permit);
                });
            }
        }
        while running.join_next().await.is_some() {}
    }

    /// Leases as many tasks as there are permits.
    async fn take(&self, permits: &Semaphore) -> Result<Vec<Lease>, QueueError> {
        // Waits for one permit; `run` takes it again for the task.
        if let Ok(permit) = permits.acquire().await {
            drop(permit);
        }
        let max = permits.available_permits();
        self.tasks.lease(&self.group, max, LEASE_WAIT).await
    }

    /// Queues tasks again that were taken and have not begun.
    async fn hand_back(&self, leases: Result<Vec<Lease>, QueueError>) {
        for lease in leases.unwrap_or_default() {
            // Status 0: neither an attempt nor a death.
            self.store(&lease, &Record::default()).await;
        }
    }

    /// Runs one attempt, extends its lease meanwhile, and stores the outcome.
    async fn execute(&self, lease: Lease) {
        let outcome = tokio::select! {
            outcome = self.attempt(&lease) => outcome,
            () = self.extend(&lease) => return,
        };
        let mut record = Record {
            id: lease.task.id.clone(),
            ..Record::default()
        };
        match outcome {
            Ok((content_type, result)) => {
                record.status = Status::Success.number();
                record.content_type = content_type;
                record.result = result;
            }
            Err(Failure { text, can_retry }) => {
                let status = match can_retry {
                    true => Status::WaitingRetry,
                    false => Status::Failure,
                };
                record.status = status.number();
                record.error = text;
            }
        }
        self.store(&lease, &record).await;
    }

    /// Stores an outcome.
    async fn store(&self, lease: &Lease, outcome: &Record) {
        for _ in 0..FINISH_ATTEMPTS {
            match self.tasks.finish(lease, outcome).await {
                Ok(()) => return,
                Err(error) => {
                    tracing::warn!(id = lease.task.id, "can't store an outcome: {error}");
                    tokio::time::sleep(FAILURE_PAUSE).await;
                }
            }
        }
    }

    /// Extends the lease in time; never returns.
    async fn extend(&self, lease: &Lease) {
        loop {
            tokio::time::sleep(EXTEND_INTERVAL).await;
            // `false` says that the task is aborted or another worker has it: the servant can't be
            // stopped, and a stale outcome is dropped by the queue.
            if let Err(error) = self.tasks.extend(lease).await {
                tracing::warn!(id = lease.task.id, "can't extend a lease: {error}");
            }
        }
    }

    async fn attempt(&self, lease: &Lease) -> Result<(String, Vec<u8>), Failure> {
        let task = &lease.task;
        let options = TaskOptions::from_pairs(&task.options)
            .map_err(|error| Failure::permanent(error.to_string()))?;
        if task.content_type != JSON {
            let text = format!("the body is `{}`: expected {JSON}", task.content_type);
            return Err(Failure::permanent(text));
        }
        let target = find_operation(&self.models, &task.operation)
            .map_err(|error| Failure::permanent(format!("the group `{}`: {error}", self.group)))?;
        let operation = *self
            .operations
            .lock()
            .entry(task.operation.clone())
            .or_insert(target.operation);
        let arguments: Vec<Value> = serde_json::from_slice(&task.body).map_err(|error| {
            Failure::permanent(format!("the body is not a JSON array: {error}"))
        })?;
        let parameters = marshal_values(&target, &arguments)
            .map_err(|error| Failure::permanent(error.to_string()))?;
        let called = self
            .servants
            .with_timeout(options.time_limit)
            .with_extra(options.extra)
            .call::<_, UndecodedBytes>(&operation, Raw(&parameters))
            .await;
        match called {
            Ok(UndecodedBytes(bytes)) => result(&target, &bytes),
            Err(error) => Err(Failure {
                text: error.text().to_owned(),
                can_retry: !matches!(
                    error.code(),
                    ErrorCode::UnserializeFailed | ErrorCode::InterfaceNotFound
                ),
            }),
        }
    }
}

async fn open(broker: &MemoryBroker, process: &str) -> Result<Communicator, WorkerError> {
    let communicator = Communicator::with_options(Options::default());
    let config = MqConfig::parse(CALLS, "the calls of a worker", process)?;
    communicator.open_mq_in_memory(config, broker).await?;
    Ok(communicator)
}

/// The result as JSON, with its type.
fn result(target: &CallTarget<'_>, bytes: &[u8]) -> Result<(String, Vec<u8>), Failure> {
    let Some(ty) = target.returns else {
        return Ok((JSON.to_owned(), Vec::new()));
    };
    let value = tce_dynamic::decode(target.model, ty, &mut Reader::new(bytes));
    let value = value.map_err(|error| Failure::permanent(error.to_string()))?;
    let content_type = format!("{JSON}; type=\"{}\"", type_name(target.model, ty));
    Ok((content_type, value.to_string().into_bytes()))
}

fn type_name(model: &Model, ty: Type) -> String {
    match ty {
        Type::Byte => "byte".to_owned(),
        Type::Bool => "bool".to_owned(),
        Type::Short => "short".to_owned(),
        Type::Int => "int".to_owned(),
        Type::Long => "long".to_owned(),
        Type::Float => "float".to_owned(),
        Type::Double => "double".to_owned(),
        Type::String => "string".to_owned(),
        Type::Sequence(id) => model.sequence(id).name.clone(),
        Type::Dictionary(id) => model.dictionary(id).name.clone(),
        Type::Struct(id) => format!("struct {}", model.struct_(id).name),
    }
}
