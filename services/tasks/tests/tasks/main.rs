//! Tasks from the sender to the result: embedded, over an endpoint, and after `kill -9`.

#![expect(clippy::unwrap_used, reason = "a test fails if its set-up fails")]

tce_runtime::include_idl!(math);

/// Makes a test of each function for each queue.
macro_rules! for_each_queue {
    ($($name:ident,)*) => {
        for_each_queue!(memory: $($name)*);
        for_each_queue!(endpoint: $($name)*);
        for_each_queue!(rabbitmq: $($name)*);
    };
    ($queue:ident: $($name:ident)*) => {
        mod $queue {
            use crate::Setup;
            $(
                #[tokio::test]
                async fn $name() {
                    super::$name(Setup::$queue(stringify!($name)).await).await;
                }
            )*
        }
    };
}

mod behaviour;

mod crash;

mod embedded;

mod endpoint;

mod limits;

mod rabbitmq;

mod typed;

mod workflow;

use std::{
    io::Write,
    path::Path,
    sync::LazyLock,
    time::{Duration, SystemTime},
};

use math::{Both, Math, MathServant, Steps, StepsServant};
use tce_runtime::{Adapter, Communicator, Context, ErrorCode, Fault};
use tce_tasks::{
    RunningWorker, TaskClient, TaskContext, TaskResult, Tasks, TasksConfig, Worker, model::Status,
    no_retry,
};
use tce_test_rabbitmq::Node;
use tce_test_redis::RedisServer;

const LONG: Duration = Duration::from_secs(30);
/// Far longer than any test: the end of a task is told, not polled.
const POLL: Duration = Duration::from_secs(30);

struct MathImpl;

impl Math for MathImpl {
    async fn add(&self, a: i32, b: i32, _: &Context) -> Result<i64, Fault> {
        Ok(i64::from(a) + i64::from(b))
    }

    async fn add_ok(&self, a: i32, b: i32, _: &Context) -> Result<Both, Fault> {
        let sum = i64::from(a) + i64::from(b);
        let ok = i32::try_from(sum).is_ok();
        Ok(Both { sum, ok })
    }

    async fn flaky(&self, key: String, failures: i32, _: &Context) -> Result<i64, Fault> {
        record_run(Path::new(&key));
        let runs = runs(Path::new(&key)).len();
        if i32::try_from(runs).unwrap() <= failures {
            return Err(Fault::new(ErrorCode::RemoteException, "flaky failed"));
        }
        Ok(i64::try_from(runs).unwrap())
    }

    async fn sleep(&self, ms: i32, ctx: &Context) -> Result<(), Fault> {
        let task = ctx.task().unwrap();
        task.progress(40, "sleeping");
        let sleeping = tokio::time::sleep(Duration::from_millis(u64::try_from(ms).unwrap()));
        tokio::select! {
            () = sleeping => Ok(()),
            () = task.aborted() => Err(task.abort("stopped itself")),
        }
    }

    async fn sq(&self, x: i64, _: &Context) -> Result<i64, Fault> {
        x.checked_mul(x)
            .ok_or_else(|| no_retry("the square overflows"))
    }

    async fn die(&self, key: String, _: &Context) -> Result<(), Fault> {
        record_run(Path::new(&key));
        std::process::abort();
    }
}

impl Steps for MathImpl {
    async fn checked(&self, sum: i64, ok: bool, _: &Context) -> Result<i64, Fault> {
        match ok {
            true => Ok(sum),
            false => Err(Fault::new(ErrorCode::RemoteException, "not ok")),
        }
    }

    async fn sum_of(&self, both: Both, _: &Context) -> Result<i64, Fault> {
        Ok(both.sum)
    }
}

fn record_run(file: &Path) {
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(file)
        .unwrap();
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    writeln!(file, "{}", since.unwrap().as_millis()).unwrap();
}

/// When `flaky` ran, in milliseconds of Unix time.
fn runs(file: &Path) -> Vec<u128> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.lines().map(|line| line.parse().unwrap()).collect()
}

/// A queue for one test.
struct Setup {
    tasks: Tasks,
    client: TaskClient,
    /// Tests of RabbitMQ share the broker.
    group: String,
    _serving: Option<Communicator>,
}

impl Setup {
    fn new(tasks: Tasks, group: &str) -> Self {
        Self {
            client: tasks.client(),
            tasks,
            group: group.to_owned(),
            _serving: None,
        }
    }

    async fn memory(group: &str) -> Self {
        Self::new(Tasks::open(TasksConfig::in_memory()).await.unwrap(), group)
    }

    /// Another process is not needed: the queue is used by its endpoint only.
    async fn endpoint(group: &str) -> Self {
        let queue = Tasks::open(TasksConfig::in_memory()).await.unwrap();
        let (communicator, endpoint) = serve(&queue).await;
        let tasks = Tasks::open(TasksConfig::endpoint(endpoint)).await.unwrap();
        Self {
            _serving: Some(communicator),
            ..Self::new(tasks, group)
        }
    }

    async fn rabbitmq(group: &str) -> Self {
        let tasks = Tasks::open(TasksConfig::amqp(amqp(), redis()))
            .await
            .unwrap();
        Self::new(tasks, group)
    }
}

/// The URI of the node that the tests share.
fn amqp() -> String {
    format!("amqp://127.0.0.1:{}/%2f", Node::shared().port())
}

/// The URL of the Redis server that the tests share.
fn redis() -> String {
    static SHARED: LazyLock<RedisServer> = LazyLock::new(RedisServer::start);
    SHARED.url()
}

/// Serves a queue at an endpoint.
async fn serve(queue: &Tasks) -> (Communicator, String) {
    serve_with_lease(queue, Duration::from_secs(30)).await
}

async fn serve_with_lease(queue: &Tasks, lease: Duration) -> (Communicator, String) {
    let communicator = Communicator::new();
    let adapter = Adapter::listen(&communicator, "tcp://127.0.0.1:0")
        .await
        .unwrap();
    let servant = queue.queue_servant_with_lease(lease).unwrap();
    adapter.add_servant(servant).start();
    (communicator, adapter.endpoint().to_string())
}

async fn start(tasks: &Tasks, group: &str) -> RunningWorker {
    let worker = Worker::new(tasks).group(group, |group| {
        let group = group.concurrency(3).servant(MathServant::new(MathImpl));
        group.servant(StepsServant::new(MathImpl))
    });
    worker.start().await.unwrap()
}

async fn finished(client: &TaskClient, id: &str) -> TaskResult {
    client.get_result(id, LONG, POLL).await.unwrap()
}

#[track_caller]
fn assert_status(result: &TaskResult, status: Status) {
    assert_eq!(result.status(), status, "{:?}", result.record());
}
