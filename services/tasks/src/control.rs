//! What a running task may ask and tell: `ctx.task()`.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Weak},
    time::{Duration, SystemTime},
};

use parking_lot::Mutex;
use tce_runtime::{Context, ErrorCode, Fault};
use tokio::{
    sync::Notify,
    time::{Instant, sleep, sleep_until},
};

use crate::{
    broker::{Broker, QueueError},
    idl::tasks::{Lease, Outcome},
    model::Status,
};

/// The entry of the extra by which a servant finds its attempt.
pub(crate) const ATTEMPT_KEY: &str = "__task__";
/// How often the lease of a running task is extended if it has no end, to learn of aborts.
const EXTEND_INTERVAL: Duration = Duration::from_secs(10);
/// The shortest time between two writes of the progress, and the age up to which the answer to "is it
/// aborted" is used again.
const WRITE_INTERVAL: Duration = Duration::from_millis(250);
/// The code of a failure that is not retried.
const NO_RETRY: ErrorCode = ErrorCode::Other(65_010_422);
/// The code of a task that has ended itself.
const ABORTED: ErrorCode = ErrorCode::Other(65_010_410);

/// The attempts that run in this process, by the random token in the extra of their calls, so that a
/// caller of a servant can't pretend to be a task.
static ATTEMPTS: LazyLock<Mutex<HashMap<String, Weak<Attempt>>>> = LazyLock::new(Mutex::default);

/// An attempt that runs.
#[derive(Debug)]
pub(crate) struct Attempt {
    lease: Lease,
    broker: Broker,
    token: String,
    retries: i32,
    deadline: Option<SystemTime>,
    state: Mutex<State>,
    /// Notified when the progress has changed.
    progressed: Notify,
}

#[derive(Debug)]
struct State {
    /// What the servant has set; negative: as before.
    retries: i32,
    pause_ms: i64,
    /// What is not yet stored.
    progress: Option<(i32, String)>,
    should_stop: bool,
    /// When the queue was asked whether to stop.
    asked_at: Instant,
}

impl Attempt {
    pub(crate) fn new(broker: &Broker, lease: &Lease, retries: u32, limit: Duration) -> Arc<Self> {
        let token = format!("{:032x}", fastrand::u128(..));
        let attempt = Arc::new(Self {
            lease: lease.clone(),
            broker: broker.clone(),
            token,
            retries: i32::try_from(retries).unwrap_or(i32::MAX),
            deadline: SystemTime::now().checked_add(limit),
            state: Mutex::new(State {
                retries: -1,
                pause_ms: -1,
                progress: None,
                should_stop: false,
                asked_at: Instant::now(),
            }),
            progressed: Notify::new(),
        });
        let mut attempts = ATTEMPTS.lock();
        attempts.insert(attempt.token.clone(), Arc::downgrade(&attempt));
        drop(attempts);
        attempt
    }

    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// Extends the lease in time, and stores the progress; never returns.
    pub(crate) async fn keep_lease(&self) {
        let interval = match u64::try_from(self.lease.lease_ms) {
            Ok(ms @ 1..) => Duration::from_millis(ms / 3),
            _ => EXTEND_INTERVAL,
        };
        let mut extend_at = Instant::now() + interval;
        loop {
            tokio::select! {
                () = sleep_until(extend_at) => {}
                () = self.progressed.notified() => {}
            }
            if let Err(error) = self.extend().await {
                let id = &self.lease.task.id;
                tracing::warn!(id, "can't extend a lease: {error}");
            }
            extend_at = Instant::now() + interval;
            sleep(WRITE_INTERVAL).await;
        }
    }

    /// Stores the progress, and asks whether to stop.
    async fn extend(&self) -> Result<bool, QueueError> {
        let progress = self.state.lock().progress.take();
        let (percent, note) = progress.unwrap_or((-1, String::new()));
        let goes_on = self.broker.extend(&self.lease, percent, &note).await?;
        let mut state = self.state.lock();
        state.should_stop |= !goes_on;
        state.asked_at = Instant::now();
        Ok(!state.should_stop)
    }

    /// The outcome of a failure of the servant.
    pub(crate) fn failure(&self, code: ErrorCode, text: &str) -> Outcome {
        let status = match code {
            ABORTED => Status::Aborted,
            NO_RETRY | ErrorCode::UnserializeFailed | ErrorCode::InterfaceNotFound => {
                Status::Failure
            }
            _ => Status::WaitingRetry,
        };
        let state = self.state.lock();
        Outcome {
            status: status.number(),
            error: text.to_owned(),
            retries: state.retries,
            pause_ms: state.pause_ms,
            ..Outcome::default()
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        ATTEMPTS.lock().remove(&self.token);
    }
}

/// Finds the task that a call runs.
///
/// ```no_run
/// use tce_runtime::{Context, Fault};
/// use tce_tasks::TaskContext;
///
/// async fn resize(ctx: &Context) -> Result<(), Fault> {
///     for percent in 0..100 {
///         if let Some(task) = ctx.task() {
///             if task.is_aborted().await? {
///                 return Err(task.abort("stopped halfway"));
///             }
///             task.progress(percent, "resizing");
///         }
///     }
///     Ok(())
/// }
/// ```
pub trait TaskContext {
    /// The task that the call runs; `None` in a plain call.
    fn task(&self) -> Option<TaskControl>;
}

impl TaskContext for Context {
    fn task(&self) -> Option<TaskControl> {
        let token = self.extra().get(ATTEMPT_KEY)?;
        let attempt = ATTEMPTS.lock().get(token)?.upgrade();
        attempt.map(TaskControl)
    }
}

/// A fault that ends the task with the status `failure`: it is not retried.
pub fn no_retry(text: impl Into<String>) -> Fault {
    Fault::new(NO_RETRY, text)
}

/// The running attempt of a task, for its servant.
#[derive(Debug, Clone)]
pub struct TaskControl(Arc<Attempt>);

impl TaskControl {
    /// The id of the task.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.0.lease.task.id
    }

    /// Attempts that have failed before this one.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        u32::try_from(self.0.lease.attempt).unwrap_or(0)
    }

    /// Retries left after this attempt.
    #[must_use]
    pub fn retries_left(&self) -> u32 {
        let set = self.0.state.lock().retries;
        let retries = if set < 0 { self.0.retries } else { set };
        u32::try_from(retries.saturating_sub(self.0.lease.attempt)).unwrap_or(0)
    }

    /// Sets the number of retries that are left if this attempt fails.
    pub fn set_retries(&self, left: u32) {
        let left = i32::try_from(left).unwrap_or(i32::MAX);
        self.0.state.lock().retries = self.0.lease.attempt.saturating_add(left);
    }

    /// Sets the pause before the next attempt if this one fails.
    pub fn retry_in(&self, pause: Duration) {
        let pause_ms = i64::try_from(pause.as_millis()).unwrap_or(i64::MAX);
        self.0.state.lock().pause_ms = pause_ms;
    }

    /// Whether the task should stop: an abort is requested, or another worker has it. The answer is
    /// at most 250 ms old.
    ///
    /// # Errors
    /// The queue can't be asked.
    pub async fn is_aborted(&self) -> Result<bool, QueueError> {
        {
            let state = self.0.state.lock();
            if state.should_stop || state.asked_at.elapsed() < WRITE_INTERVAL {
                return Ok(state.should_stop);
            }
        }
        Ok(!self.0.extend().await?)
    }

    /// Waits until [`is_aborted`](Self::is_aborted) is true. An error of the queue counts as "no".
    pub async fn aborted(&self) {
        while !self.is_aborted().await.unwrap_or(false) {
            sleep(WRITE_INTERVAL).await;
        }
    }

    /// A fault that ends the task with the status `abort` and this text.
    #[must_use = "the servant must return it"]
    pub fn abort(&self, text: impl Into<String>) -> Fault {
        Fault::new(ABORTED, text)
    }

    /// Sets the progress, in percent and as a text. It is stored at most 4 times a second; the last
    /// one counts.
    pub fn progress(&self, percent: u8, text: impl Into<String>) {
        self.0.state.lock().progress = Some((percent.min(100).into(), text.into()));
        self.0.progressed.notify_one();
    }

    /// When the time limit of the attempt ends.
    #[must_use]
    pub fn deadline(&self) -> Option<SystemTime> {
        self.0.deadline
    }

    /// A number that grows with each attempt and each repetition of one: a database that refuses a
    /// smaller one than it has seen is safe from a worker that wakes up late.
    #[must_use]
    pub fn fence(&self) -> u64 {
        u64::try_from(self.0.lease.delivery).unwrap_or(0)
    }
}
