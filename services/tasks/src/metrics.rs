//! The metrics of senders and workers, by the `metrics` crate. They have the labels `group` and
//! `operation`.

use std::time::Duration;

use metrics::{Label, counter, gauge, histogram};

use crate::{
    idl::tasks::{Outcome, Task},
    model::{FinishAnswer, Status},
};

/// The operation of a task that names none of its group: senders choose the names, and their number
/// must not grow without a bound.
pub(crate) const UNKNOWN: &str = "unknown";

fn labels(group: &str, operation: &str) -> Vec<Label> {
    vec![
        Label::new("group", group.to_owned()),
        Label::new("operation", operation.to_owned()),
    ]
}

/// This process has sent a task.
pub(crate) fn sent(task: &Task) {
    counter!("tce_tasks_sent_total", labels(&task.group, &task.operation)).increment(1);
}

/// The queue failed where a worker used it.
pub(crate) fn queue_failed(group: &str) {
    counter!("tce_tasks_queue_errors_total", "group" => group.to_owned()).increment(1);
}

/// A limit of its operation has not admitted a task.
pub(crate) fn limited(group: &str, operation: &str) {
    counter!("tce_tasks_limited_total", labels(group, operation)).increment(1);
}

/// An attempt that runs; counted until it is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    labels: Vec<Label>,
}

impl Running {
    /// The attempt begins, the first one of a delayed task `late` after it was due.
    pub(crate) fn start(group: &str, operation: &str, late: Option<Duration>) -> Self {
        let labels = labels(group, operation);
        counter!("tce_tasks_started_total", labels.clone()).increment(1);
        gauge!("tce_tasks_running", labels.clone()).increment(1);
        if let Some(late) = late {
            histogram!("tce_tasks_late_seconds", labels.clone()).record(late);
        }
        Self { labels }
    }

    /// The outcome of the attempt, and what the queue made of it.
    pub(crate) fn finished(&self, outcome: &Outcome, answer: FinishAnswer, ran: Duration) {
        let labels = || self.labels.clone();
        histogram!("tce_tasks_run_seconds", labels()).record(ran);
        match (answer, Status::from_number(outcome.status)) {
            (FinishAnswer::Stale, _) => {
                counter!("tce_tasks_stale_outcomes_total", labels()).increment(1);
            }
            (FinishAnswer::Again, Some(Status::Sent)) => {
                counter!("tce_tasks_handed_back_total", labels()).increment(1);
            }
            (FinishAnswer::Again, Some(Status::Success)) => {
                counter!("tce_tasks_steps_total", labels()).increment(1);
            }
            (FinishAnswer::Again, _) => counter!("tce_tasks_retries_total", labels()).increment(1),
            (FinishAnswer::Ended, status) => {
                if status == Some(Status::Failure) {
                    // It is kept with its arguments: a retry can't help.
                    let mut labels = labels();
                    labels.push(Label::new("reason", "permanent"));
                    counter!("tce_tasks_dead_total", labels).increment(1);
                }
                let status = match status {
                    Some(Status::WaitingRetry) | None => Status::Failure,
                    Some(status) => status,
                };
                let mut labels = labels();
                labels.push(Label::new("status", status.to_string()));
                counter!("tce_tasks_finished_total", labels).increment(1);
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        gauge!("tce_tasks_running", self.labels.clone()).decrement(1);
    }
}
