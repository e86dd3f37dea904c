//! The owner of the machine: applies commands one after the other.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::machine::{Applied, Command, Machine, Record, Refusal};
use crate::runner::{Order, Report};
use crate::template::Variables;
use crate::tree::{NodeId, Tree};

use super::clock::now;

/// Requests that wait for the owner; callers wait beyond it.
const QUEUED_REQUESTS: usize = 1024;
/// Requests that share one commit.
const MAX_BATCH: usize = 256;

/// How long the owner sleeps at most before it looks at the wall clock.
const MAX_SLEEP: Duration = Duration::from_secs(60);

/// The owner has ended.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the server is ending")]
pub(crate) struct OwnerEnded;

/// What a command has led to, or why it was refused.
pub(crate) type CommandResult = Result<Applied, Refusal>;

/// Reads the machine, and gives what hands the answer out once it may be seen.
type Query = Box<dyn FnOnce(&Machine) -> Delivery + Send>;
/// Hands an answer out.
type Delivery = Box<dyn FnOnce() + Send>;

/// What is asked of the owner.
enum Request {
    Command {
        user: Box<str>,
        command: Command,
        reply: oneshot::Sender<CommandResult>,
    },
    Query(Query),
}

/// Where requests go. Clones lead to the same owner.
#[derive(Clone)]
pub(crate) struct OwnerHandle(mpsc::Sender<Request>);

impl OwnerHandle {
    /// Applies a command; when this returns it is in effect.
    pub(crate) async fn apply(
        &self,
        user: &str,
        command: Command,
    ) -> Result<CommandResult, OwnerEnded> {
        let (reply, replied) = oneshot::channel();
        let request = Request::Command {
            user: user.into(),
            command,
            reply,
        };
        self.0.send(request).await.map_err(|_| OwnerEnded)?;
        replied.await.map_err(|_| OwnerEnded)
    }

    /// Reads the machine after all commands that were sent before.
    pub(crate) async fn query<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Machine) -> T + Send + 'static,
    ) -> Result<T, OwnerEnded> {
        let (reply, replied) = oneshot::channel();
        let query = move |machine: &Machine| -> Delivery {
            let answer = read(machine);
            // The caller may have gone.
            Box::new(move || drop(reply.send(answer)))
        };
        let request = Request::Query(Box::new(query));
        self.0.send(request).await.map_err(|_| OwnerEnded)?;
        replied.await.map_err(|_| OwnerEnded)
    }
}

/// The owner of the machine.
pub(crate) struct Owner {
    machine: Machine,
    sequence: u64,
    requests: mpsc::Receiver<Request>,
    reports: mpsc::Receiver<Report>,
    orders: mpsc::Sender<Order>,
    /// Orders that the runner has no capacity for yet.
    pending: VecDeque<Order>,
}

impl Owner {
    /// An owner, and the handle to it.
    pub(crate) fn new(
        machine: Machine,
        orders: mpsc::Sender<Order>,
        reports: mpsc::Receiver<Report>,
    ) -> (Self, OwnerHandle) {
        let (sender, requests) = mpsc::channel(QUEUED_REQUESTS);
        let owner = Self {
            machine,
            sequence: 0,
            requests,
            reports,
            orders,
            pending: VecDeque::new(),
        };
        (owner, OwnerHandle(sender))
    }

    /// Serves requests until all handles are gone.
    pub(crate) async fn run(mut self) {
        let mut batch = Vec::with_capacity(MAX_BATCH);
        let orders = self.orders.clone();
        loop {
            let wake = self.next_tick();
            tokio::select! {
                received = self.requests.recv_many(&mut batch, MAX_BATCH) => {
                    if received == 0 {
                        return;
                    }
                    self.serve(&mut batch);
                }
                Ok(permit) = orders.reserve(), if !self.pending.is_empty() => {
                    if let Some(order) = self.pending.pop_front() {
                        permit.send(order);
                    }
                }
                Some(report) = self.reports.recv() => self.report(report),
                () = sleep_until(wake) => self.tick(),
            }
        }
    }

    fn serve(&mut self, batch: &mut Vec<Request>) {
        let mut deliveries: Vec<Delivery> = Vec::with_capacity(batch.len());
        for request in batch.drain(..) {
            match request {
                Request::Command {
                    user,
                    command,
                    reply,
                } => {
                    let result = self.apply(&user, command);
                    if let Ok(applied) = &result {
                        let effects = applied.effects.iter().cloned();
                        self.pending.extend(effects.map(Order::Effect));
                    }
                    deliveries.push(Box::new(move || drop(reply.send(result))));
                }
                Request::Query(query) => deliveries.push(query(&self.machine)),
            }
        }
        for deliver in deliveries {
            deliver();
        }
    }

    fn apply(&mut self, user: &str, command: Command) -> CommandResult {
        let mut secret = [0; 16];
        fill_random(&mut secret);
        let record = Record {
            sequence: self.sequence + 1,
            moment: now(),
            user: user.into(),
            secret,
            command,
        };
        let applied = self.machine.apply(&record)?;
        if applied.is_changed {
            self.sequence = record.sequence;
        }
        Ok(applied)
    }

    fn apply_and_order(&mut self, command: Command) {
        match self.apply("", command) {
            Ok(applied) => {
                let effects = applied.effects.into_iter();
                self.pending.extend(effects.map(Order::Effect));
            }
            Err(refusal) => tracing::debug!("{refusal}"),
        }
    }

    fn report(&mut self, report: Report) {
        match report {
            Report::Event(event, done) => {
                self.apply_and_order(Command::Runner(event));
                let _ = done.send(());
            }
            Report::Variables {
                path,
                password,
                answer,
            } => {
                let _ = answer.send(job_variables(self.machine.tree(), &path, &password));
            }
        }
    }

    fn tick(&mut self) {
        self.apply_and_order(Command::Tick);
    }

    /// When the machine may change by itself.
    fn next_tick(&self) -> Option<Instant> {
        let wake = self.machine.next_wake()?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
        let wake = Duration::from_secs(u64::try_from(wake).unwrap_or(0));
        // The wall clock may be set meanwhile: it is looked at each minute.
        let wait = wake.saturating_sub(now).min(MAX_SLEEP);
        Some(Instant::now() + wait)
    }
}

async fn sleep_until(wake: Option<Instant>) {
    match wake {
        Some(wake) => tokio::time::sleep_until(wake).await,
        None => std::future::pending().await,
    }
}

fn fill_random(bytes: &mut [u8]) {
    let mut filled = 0;
    while filled < bytes.len() {
        match rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty()) {
            Ok(count) => filled += count,
            // Interrupted by a signal; nothing else can happen to a request this small.
            Err(error) => tracing::debug!("getrandom: {error}"),
        }
    }
}

/// The variables of a task, unless it runs another job than that of the password. With an empty
/// one, those that it has now, or that the server has if it is gone.
fn job_variables(tree: &Tree, path: &str, password: &str) -> Option<Box<Variables>> {
    let found = tree.find(path);
    let is_present = |id: &NodeId| {
        let job = tree[*id].job();
        tree[*id].state.is_running() && job.is_some_and(|job| &*job.password == password)
    };
    let id = if password.is_empty() {
        found.unwrap_or(NodeId::ROOT)
    } else {
        found.filter(is_present)?
    };
    Some(Box::new(Variables::of(tree, id)))
}
