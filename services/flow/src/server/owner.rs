//! The owner of the machine and of the store: applies commands one after the other.
//!
//! What waits at the same moment is applied together and shares one commit. Only then are commands
//! answered, changes told and jobs started; questions are answered from what is committed.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::machine::{
    Applied, Change, Code, Command, JobIdentity, Machine, Record, Refusal, ServerState,
};
use crate::runner::{Order, Report};
use crate::state::State;
use crate::store::{Opened, Store, StoreError};
use crate::template::Variables;
use crate::tree::{NodeId, Tree};

use super::clock::{fill_random, now};
use super::describe::describe;
use super::log::{Kind, Log};
use super::waits::{Wait, Waits};
use super::watchers::Watchers;

/// Requests that wait for the owner; callers wait beyond it.
const QUEUED_REQUESTS: usize = 1024;
/// Requests, and reports of the runner, that share one commit.
const MAX_BATCH: usize = 256;
/// How long the owner sleeps at most before it looks at the wall clock.
const MAX_SLEEP: Duration = Duration::from_secs(60);

/// The owner has ended.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the server is ending")]
pub(crate) struct OwnerEnded;

/// What a command has led to, or why it was refused.
pub(crate) type CommandResult = Result<Applied, Refusal>;

/// Reads the machine, and hands the answer out.
type Query = Box<dyn FnOnce(&Machine) + Send>;

/// What is asked of the owner.
enum Request {
    Command {
        user: Box<str>,
        command: Command,
        reply: oneshot::Sender<CommandResult>,
    },
    Wait(Wait),
    Query(Query),
    /// Writes a snapshot.
    Checkpoint(oneshot::Sender<Result<(), Refusal>>),
    /// Ends the owner, after a snapshot.
    End,
}

/// Where requests go. Clones lead to the same owner.
#[derive(Clone)]
pub(crate) struct OwnerHandle(mpsc::Sender<Request>);

impl OwnerHandle {
    /// Applies a command; when this returns it is in effect, and durable.
    pub(crate) async fn apply(
        &self,
        user: &str,
        command: Command,
    ) -> Result<CommandResult, OwnerEnded> {
        let (reply, replied) = oneshot::channel();
        let user = user.into();
        self.send(Request::Command {
            user,
            command,
            reply,
        })
        .await?;
        replied.await.map_err(|_| OwnerEnded)
    }

    /// Waits until an expression of a job is true, or for 25 s.
    pub(super) async fn wait(
        &self,
        job: JobIdentity,
        expression: Box<str>,
    ) -> Result<CommandResult, OwnerEnded> {
        let (reply, replied) = oneshot::channel();
        self.send(Request::Wait(Wait::new(job, expression, reply)))
            .await?;
        replied.await.map_err(|_| OwnerEnded)
    }

    /// Reads the machine after all commands that were sent before.
    pub(crate) async fn query<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Machine) -> T + Send + 'static,
    ) -> Result<T, OwnerEnded> {
        let (reply, replied) = oneshot::channel();
        // The caller may have gone.
        let query = move |machine: &Machine| drop(reply.send(read(machine)));
        self.send(Request::Query(Box::new(query))).await?;
        replied.await.map_err(|_| OwnerEnded)
    }

    /// Writes a snapshot.
    pub(crate) async fn checkpoint(&self) -> Result<Result<(), Refusal>, OwnerEnded> {
        let (reply, replied) = oneshot::channel();
        self.send(Request::Checkpoint(reply)).await?;
        replied.await.map_err(|_| OwnerEnded)
    }

    /// Ends the owner once what was sent before is done.
    pub(crate) async fn end(&self) {
        // It may have ended before.
        let _ = self.send(Request::End).await;
    }

    async fn send(&self, request: Request) -> Result<(), OwnerEnded> {
        self.0.send(request).await.map_err(|_| OwnerEnded)
    }
}

/// The owner of the machine.
pub(crate) struct Owner {
    machine: Machine,
    /// The number of the last record.
    sequence: u64,
    store: Store,
    /// Why the store takes nothing, after it has failed.
    failure: Option<String>,
    requests: mpsc::Receiver<Request>,
    reports: mpsc::Receiver<Report>,
    orders: mpsc::Sender<Order>,
    /// Orders that the runner has no capacity for yet.
    pending: VecDeque<Order>,
    waits: Waits,
    watchers: Arc<Watchers>,
    log: Arc<Log>,
}

/// What the owner talks to.
pub(super) struct Links {
    pub(super) orders: mpsc::Sender<Order>,
    pub(super) reports: mpsc::Receiver<Report>,
    pub(super) watchers: Arc<Watchers>,
    pub(super) log: Arc<Log>,
}

/// What was applied and is not committed yet.
#[derive(Default)]
struct Step {
    records: Vec<Record>,
    replies: Vec<(oneshot::Sender<CommandResult>, CommandResult)>,
    reported: Vec<oneshot::Sender<()>>,
    orders: Vec<Order>,
    changes: Vec<Change>,
    lines: Vec<(Kind, String)>,
}

impl Owner {
    /// An owner of an opened store, and the handle to it.
    pub(super) fn new(opened: Opened, links: Links) -> (Self, OwnerHandle) {
        let (sender, requests) = mpsc::channel(QUEUED_REQUESTS);
        let mut owner = Self {
            machine: opened.machine,
            sequence: opened.summary.last,
            store: opened.store,
            failure: None,
            requests,
            reports: links.reports,
            orders: links.orders,
            pending: VecDeque::new(),
            waits: Waits::default(),
            watchers: links.watchers,
            log: links.log,
        };
        owner.resume_jobs();
        (owner, OwnerHandle(sender))
    }

    /// Serves requests until it is told to end.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store can't even be read any more.
    pub(super) async fn run(mut self) -> Result<(), StoreError> {
        let orders = self.orders.clone();
        let mut requests = Vec::with_capacity(MAX_BATCH);
        let mut reports = Vec::with_capacity(MAX_BATCH);
        // A runner that has nothing to tell may drop its end.
        let mut are_reports_open = true;
        // Time has passed since the server ran last.
        self.tick()?;
        loop {
            let is_well = self.failure.is_none();
            let takes_reports = is_well && are_reports_open;
            let has_orders = is_well && !self.pending.is_empty();
            let is_writing = self.store.is_writing_snapshot();
            let tick = self.next_tick().filter(|_| is_well);
            let wait = self.waits.next_deadline();
            let snapshot = self.store.snapshot_due_at().filter(|_| is_well);
            tokio::select! {
                received = self.requests.recv_many(&mut requests, MAX_BATCH) => {
                    if received == 0 || self.serve(&mut requests)? {
                        return self.end();
                    }
                }
                Ok(permit) = orders.reserve(), if has_orders => {
                    if let Some(order) = self.pending.pop_front() {
                        permit.send(order);
                    }
                }
                received = self.reports.recv_many(&mut reports, MAX_BATCH), if takes_reports => {
                    are_reports_open = received > 0;
                    self.report(&mut reports)?;
                }
                () = sleep_until(tick) => self.tick()?,
                () = sleep_until(wait) => self.expire_waits()?,
                () = std::future::ready(()), if is_writing => self.finish(Step::default())?,
                () = sleep_until(snapshot) => self.begin_snapshot()?,
            }
        }
    }

    /// Writes a snapshot before the server ends, so that the next start is quick.
    fn end(mut self) -> Result<(), StoreError> {
        if self.failure.is_none()
            && let Err(error) = self.store.write_snapshot(&self.machine, self.sequence)
        {
            // The journal has everything.
            self.note(Kind::Error, &format!("no snapshot was written: {error}"));
        }
        self.log.flush();
        Ok(())
    }

    /// Tells whether it is time to end.
    fn serve(&mut self, requests: &mut Vec<Request>) -> Result<bool, StoreError> {
        let mut step = Step::default();
        let mut queries = Vec::new();
        let mut checkpoints = Vec::new();
        let mut is_end = false;
        for request in requests.drain(..) {
            match request {
                Request::Command {
                    user,
                    command,
                    reply,
                } => {
                    let result = self.apply(&mut step, &user, command);
                    step.replies.push((reply, result));
                }
                Request::Wait(wait) => self.ask(&mut step, wait, true),
                Request::Query(query) => queries.push(query),
                Request::Checkpoint(reply) => checkpoints.push(reply),
                Request::End => is_end = true,
            }
        }
        self.finish(step)?;
        for query in queries {
            query(&self.machine);
        }
        for reply in checkpoints {
            let result = self.checkpoint();
            let _ = reply.send(result);
        }
        Ok(is_end)
    }

    /// Applies a command as part of a step.
    fn apply(&mut self, step: &mut Step, user: &str, command: Command) -> CommandResult {
        if let Some(failure) = &self.failure {
            if command != Command::Server(ServerState::Running) {
                return Err(halted(&command, failure));
            }
            self.reopen()?;
        }
        if let Some(line) = describe(&command, user) {
            step.lines.push((Kind::Message, line));
        }
        let record = self.record(user, command);
        let applied = self.machine.apply(&record)?;
        for (node, state) in &applied.states {
            step.lines
                .extend(state_line(self.machine.tree(), *node, *state));
        }
        step.changes.extend(&applied.changes);
        let effects = applied.effects.iter().cloned();
        step.orders.extend(effects.map(Order::Effect));
        if applied.is_changed {
            self.sequence = record.sequence;
            step.records.push(record);
        }
        Ok(applied)
    }

    fn record(&self, user: &str, command: Command) -> Record {
        let mut secret = [0; 16];
        fill_random(&mut secret);
        Record {
            sequence: self.sequence + 1,
            moment: now(),
            user: user.into(),
            secret,
            command,
        }
    }

    /// Asks for a job whether its expression is true; lets it wait if not and if it may.
    fn ask(&mut self, step: &mut Step, wait: Wait, may_wait: bool) {
        let command = Command::Child(wait.job.clone(), wait.call());
        let result = self.apply(step, "", command);
        let is_false = matches!(&result, Err(refusal) if refusal.code == Code::NotYetTrue);
        if is_false && may_wait {
            match self.waits.add(wait, self.machine.tree()) {
                Ok(()) => {}
                Err(wait) => step.replies.push((wait.reply, result)),
            }
        } else {
            step.replies.push((wait.reply, result));
        }
    }

    /// Asks again for those that what has changed concerns.
    fn ask_affected(&mut self, step: &mut Step) {
        let mut seen = 0;
        while seen < step.changes.len() {
            let affected = self.waits.take_affected(&step.changes[seen..]);
            seen = step.changes.len();
            for wait in affected {
                self.ask(step, wait, true);
            }
        }
    }

    /// Commits a step, and then lets everybody know.
    fn finish(&mut self, mut step: Step) -> Result<(), StoreError> {
        self.ask_affected(&mut step);
        let must_write = !step.records.is_empty() || self.store.is_writing_snapshot();
        if must_write && let Err(error) = self.store.commit(&step.records) {
            return self.fail(&error, step);
        }
        for (reply, result) in step.replies {
            // The caller may have gone.
            let _ = reply.send(result);
        }
        for reported in step.reported {
            let _ = reported.send(());
        }
        self.pending.extend(step.orders);
        self.watchers.publish(&step.changes);
        let moment = now();
        for (kind, line) in &step.lines {
            self.log.add(*kind, moment, line);
        }
        self.log.flush();
        if self.store.is_snapshot_due() {
            self.begin_snapshot()?;
        }
        Ok(())
    }

    fn begin_snapshot(&mut self) -> Result<(), StoreError> {
        let begun = self.store.begin_snapshot(&self.machine, self.sequence);
        match begun {
            Ok(()) => Ok(()),
            Err(error) => self.fail(&error, Step::default()),
        }
    }

    fn checkpoint(&mut self) -> Result<(), Refusal> {
        if let Some(failure) = &self.failure {
            return Err(refusal(Code::Halted, failure.clone()));
        }
        let written = self.store.write_snapshot(&self.machine, self.sequence);
        written.map_err(|error| {
            let text = error.to_string();
            // What can't be read again ends the server with the next command.
            let _ = self.fail(&error, Step::default());
            refusal(Code::Halted, text)
        })
    }

    /// The store has failed: what is in it counts, and nothing else is taken until it works again.
    fn fail(&mut self, error: &StoreError, step: Step) -> Result<(), StoreError> {
        let failure = format!("{error}; the server is HALTED until it is restarted");
        self.note(Kind::Error, &failure);
        let (machine, summary) = self.store.read_again()?;
        self.machine = machine;
        self.sequence = summary.last;
        // In memory alone: a server that starts with this store has the state that it had before.
        let halt = self.record("", Command::Server(ServerState::Halted));
        let _ = self.machine.apply(&halt);
        self.pending.clear();
        self.watchers.reset(self.machine.version());
        for (reply, result) in step.replies {
            let is_lost = matches!(&result, Ok(applied) if applied.is_changed);
            let result = if is_lost {
                Err(refusal(Code::Halted, failure.clone()))
            } else {
                result
            };
            let _ = reply.send(result);
        }
        self.failure = Some(failure);
        Ok(())
    }

    /// Opens the store again, after a failure.
    fn reopen(&mut self) -> Result<(), Refusal> {
        match self.store.reopen() {
            Ok((machine, summary)) => {
                self.machine = machine;
                self.sequence = summary.last;
                self.failure = None;
                self.watchers.reset(self.machine.version());
                self.resume_jobs();
                Ok(())
            }
            Err(error) => {
                let text = error.to_string();
                self.note(Kind::Error, &text);
                Err(refusal(Code::Halted, text))
            }
        }
    }

    /// Has the runner look at all jobs that the journal says run.
    fn resume_jobs(&mut self) {
        let tree = self.machine.tree();
        for id in tree.subtree(NodeId::ROOT) {
            let node = &tree[id];
            let Some(job) = node.job().filter(|_| node.state.is_running()) else {
                continue;
            };
            // Of a command that has ended without a word there is no more to learn.
            if job.password.is_empty() || job.is_ended {
                continue;
            }
            self.pending.push_back(Order::Resume {
                path: tree.path(id),
                password: job.password.clone(),
                is_started: node.state == State::Active || job.pid != 0,
            });
        }
    }

    fn report(&mut self, reports: &mut Vec<Report>) -> Result<(), StoreError> {
        let mut step = Step::default();
        for report in reports.drain(..) {
            match report {
                Report::Event(event, done) => {
                    if let Err(refusal) = self.apply(&mut step, "", Command::Runner(event)) {
                        tracing::debug!("{refusal}");
                    }
                    step.reported.push(done);
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
        self.finish(step)
    }

    fn tick(&mut self) -> Result<(), StoreError> {
        let mut step = Step::default();
        if let Err(refusal) = self.apply(&mut step, "", Command::Tick) {
            tracing::debug!("{refusal}");
        }
        for wait in self.waits.take_timed() {
            self.ask(&mut step, wait, true);
        }
        self.finish(step)
    }

    fn expire_waits(&mut self) -> Result<(), StoreError> {
        let mut step = Step::default();
        for wait in self.waits.take_expired(Instant::now()) {
            self.ask(&mut step, wait, false);
        }
        self.finish(step)
    }

    /// When the machine may change by itself.
    fn next_tick(&self) -> Option<Instant> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
        let wake = self.machine.next_wake().map(|wake| {
            let wake = Duration::from_secs(u64::try_from(wake).unwrap_or(0));
            wake.saturating_sub(now)
        });
        let minute = (now.as_secs() / 60 + 1) * 60;
        let next_minute = Duration::from_secs(minute).saturating_sub(now);
        let timed = self.waits.has_timed().then_some(next_minute);
        // The wall clock may be set meanwhile.
        let wait = [wake, timed].into_iter().flatten().min()?.min(MAX_SLEEP);
        Some(Instant::now() + wait)
    }

    fn note(&self, kind: Kind, text: &str) {
        tracing::error!("{text}");
        self.log.add(kind, now(), text);
        self.log.flush();
    }
}

async fn sleep_until(wake: Option<Instant>) {
    match wake {
        Some(wake) => tokio::time::sleep_until(wake).await,
        None => std::future::pending().await,
    }
}

fn refusal(code: Code, text: String) -> Refusal {
    Refusal { code, text }
}

/// The answer to a command while the store does not work. Jobs ask again.
fn halted(command: &Command, failure: &str) -> Refusal {
    let text = match command {
        Command::Child(..) => "server is HALTED".to_owned(),
        _ => failure.to_owned(),
    };
    refusal(Code::Halted, text)
}

fn state_line(tree: &Tree, node: NodeId, state: State) -> Option<(Kind, String)> {
    tree.get(node)?;
    Some((Kind::Log, format!(" {}: {}", state.name(), tree.path(node))))
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
