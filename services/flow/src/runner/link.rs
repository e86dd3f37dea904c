//! How the server and the runner talk.

use std::future::Future;
use std::pin::Pin;

use tokio::sync::{mpsc, oneshot};

use crate::machine::{Effect, RunnerEvent};
use crate::template::Variables;

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
        /// The password that the job presents.
        password: Box<str>,
        /// Whether the job has called, or the journal says that its command has started: then it is
        /// not started again, whatever has become of its files.
        is_started: bool,
    },
}

/// What the runner tells and asks.
#[derive(Debug)]
pub enum Report {
    /// What has become of a job. The answer comes when it is in the journal.
    Event(RunnerEvent, oneshot::Sender<()>),
    /// The variables of a task.
    Variables {
        /// The path of the task.
        path: String,
        /// The password of the job: there is no answer if the task no longer runs this one. With
        /// an empty one the answer is what the task, or if it is gone the server, has now.
        password: Box<str>,
        /// Where the answer goes.
        answer: oneshot::Sender<Option<Box<Variables>>>,
    },
}

/// The runner's end of the link.
#[derive(Debug)]
pub struct RunnerLink {
    /// What to do, in order. It ends when the server ends.
    pub orders: mpsc::Receiver<Order>,
    /// Where reports go.
    pub reports: Reports,
}

/// Where the runner's reports go. Clones lead to the same server.
#[derive(Debug, Clone)]
pub struct Reports(mpsc::Sender<Report>);

impl Reports {
    /// Reports that the server receives from this channel.
    #[must_use]
    pub fn new(sender: mpsc::Sender<Report>) -> Self {
        Self(sender)
    }

    /// Tells what has become of a job, and waits until it is in the journal.
    pub async fn report(&self, event: RunnerEvent) {
        let (done, is_done) = oneshot::channel();
        if self.0.send(Report::Event(event, done)).await.is_ok() {
            // Fails if the server ends: after a restart it asks for the task again.
            let _ = is_done.await;
        }
    }

    /// The variables of a task; `None` if it is gone, or runs another job than that of a password
    /// that is not empty.
    pub async fn variables(&self, path: &str, password: &str) -> Option<Box<Variables>> {
        let (answer, answered) = oneshot::channel();
        let question = Report::Variables {
            path: path.to_owned(),
            password: password.into(),
            answer,
        };
        self.0.send(question).await.ok()?;
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
