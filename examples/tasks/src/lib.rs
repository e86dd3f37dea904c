//! The servant whose operations run as tasks. It is one as for calls.

tce_runtime::include_idl!(math);

use std::time::Duration;

use math::{Both, Math};
use tce_runtime::{Context, ErrorCode, Fault};
use tce_tasks::{TaskContext, Tasks, TasksConfig};

/// The group of the tasks.
pub const GROUP: &str = "group1";

/// Implements `math.Math`.
#[derive(Debug)]
pub struct MathImpl;

impl Math for MathImpl {
    async fn add(&self, a: i32, b: i32, _: &Context) -> Result<i64, Fault> {
        Ok(i64::from(a) + i64::from(b))
    }

    async fn add_ok(&self, a: i32, b: i32, _: &Context) -> Result<Both, Fault> {
        let sum = i64::from(a) + i64::from(b);
        let ok = i32::try_from(sum).is_ok();
        Ok(Both { sum, ok })
    }

    async fn fail(&self, text: String, _: &Context) -> Result<(), Fault> {
        Err(Fault::new(ErrorCode::RemoteException, text))
    }

    async fn work(&self, ms: i32, ctx: &Context) -> Result<(), Fault> {
        let part = Duration::from_millis(u64::try_from(ms)? / 10);
        for percent in (0..100).step_by(10) {
            if let Some(task) = ctx.task() {
                if task.is_aborted().await? {
                    return Err(task.abort(format!("stopped at {percent} %")));
                }
                task.progress(percent, "working");
            }
            tokio::time::sleep(part).await;
        }
        Ok(())
    }
}

/// Opens the queue that the command line names: an endpoint, RabbitMQ and the Redis of its results, or
/// a file.
///
/// # Errors
/// There is no argument, or the queue can't be opened.
pub async fn open() -> Result<Tasks, Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let usage = "name the queue: tcp://host:port, amqp://host redis://host, or a file";
    let uri = arguments.next().ok_or(usage)?;
    let store = arguments.next();
    let config = TasksConfig::from_uri(&uri, store.as_deref());
    Ok(Tasks::open(config).await?)
}
