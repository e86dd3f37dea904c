//! Durable tasks: operations of an IDL interface that run later, with retries, delays and results.
//!
//! The sender of a task goes on as soon as the queue has it safe, a worker runs it later, and the
//! outcome can be read by its id.
//!
//! A module imports only from the modules before it in this list.

/// The interface of a queue: `idl/tasks.idl`.
pub mod idl {
    tce_runtime::include_idl!(tasks);
}

mod clock;

pub mod model;

mod metrics;

mod broker;

mod servant;

mod tasks;

mod from_json;

mod client;

mod workflow;

mod typed;

pub mod codegen;

mod control;

mod limits;

mod worker;

pub use broker::{AmqpConfig, BrokerError, Filter, QueueError, RecordsError, StoreError};
pub use client::{ResultError, SendError, TaskClient, TaskCtl, TaskResult, ValueError};
pub use control::{TaskContext, TaskControl, no_retry};
pub use from_json::FromJsonError;
pub use limits::Rate;
pub use tasks::{Tasks, TasksConfig};
pub use typed::{Progress, TaskCall, TaskError, TaskHandle, TaskStep};
pub use worker::{Group, RunningWorker, Worker, WorkerError};
pub use workflow::Workflow;
