//! How the server and the runner talk.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;

use tokio::sync::{mpsc, oneshot};

use crate::machine::{Effect, RunnerEvent};

/// What the runner has to do. All of it is in the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// What a command has led to.
    Effect(Effect),
    /// The server has started with this task submitted or active: its job may run, may have ended,
    /// or may never have been started.
    Resume {
        /// The path of the task.
        path: String,
        /// The number of the try.
        try_no: u32,
        /// The password that the job presents.
        password: Box<str>,
        /// The id that the job has given; empty if it has not called.
        rid: Box<str>,
    },
}

/// The variables that a task sees: its own before those of its parents.
pub type JobVariables = BTreeMap<Box<str>, Box<str>>;

/// What the runner tells and asks.
#[derive(Debug)]
pub enum Report {
    /// What has become of a job. The answer comes when it is in the journal.
    Event(RunnerEvent, oneshot::Sender<()>),
    /// The variables of a task, unless it is gone, or no longer runs this try.
    Variables {
        /// The path of the task.
        path: String,
        /// The number of the try.
        try_no: u32,
        /// Where the answer goes.
        answer: oneshot::Sender<Option<JobVariables>>,
    },
}

/// The runner's end of the link.
#[derive(Debug)]
pub struct RunnerLink {
    /// What to do, in order. It ends when the server ends.
    pub orders: mpsc::Receiver<Order>,
    /// Where reports go.
    pub reports: mpsc::Sender<Report>,
}

impl RunnerLink {
    /// Tells what has become of a job, and waits until it is in the journal.
    pub async fn report(&self, event: RunnerEvent) {
        let (done, is_done) = oneshot::channel();
        if self.reports.send(Report::Event(event, done)).await.is_ok() {
            // Fails if the server ends: after a restart it asks for the task again.
            let _ = is_done.await;
        }
    }

    /// The variables of a task; `None` if it is gone or no longer runs this try.
    pub async fn variables(&self, path: &str, try_no: u32) -> Option<JobVariables> {
        let (answer, answered) = oneshot::channel();
        let path = path.to_owned();
        let question = Report::Variables {
            path,
            try_no,
            answer,
        };
        self.reports.send(question).await.ok()?;
        answered.await.ok()?
    }
}

/// Starts and watches jobs.
pub trait Runner: Send + 'static {
    /// Runs until the orders end. Jobs go on.
    fn run(self: Box<Self>, link: RunnerLink) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

/// Starts no jobs: tasks stay submitted until something else calls for them.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoJobs;

impl Runner for NoJobs {
    fn run(self: Box<Self>, mut link: RunnerLink) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move { while link.orders.recv().await.is_some() {} })
    }
}
