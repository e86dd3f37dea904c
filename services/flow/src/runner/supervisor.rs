//! Takes orders, and has jobs started, killed and asked for.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use parking_lot::RwLock;
use rustix::process::{Resource, getrlimit};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::machine::{Effect, RunnerEvent};

use super::job::{Job, Phase, Phases, Shared};
use super::link::{Order, Runner, RunnerLink};
use super::order::{self, OrderKind};
use super::wrapper;

/// How many commands that kill or ask run at the same time.
const MAX_ORDERS: usize = 16;

/// How the runner starts jobs.
#[derive(Debug, Clone)]
pub struct RunnerOptions {
    /// How many jobs are made and started at the same time; 16 by default.
    pub max_starting: usize,
    /// How many commands of jobs run at the same time; others wait as submitted. By default 4,000,
    /// or half of the files that the process may open: each takes one.
    pub max_running: usize,
    /// The folder of `takler_client` and `ecflow_client`, put first in the PATH of jobs.
    pub programs: Option<PathBuf>,
}

impl Default for RunnerOptions {
    fn default() -> Self {
        let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let files = usize::try_from(files).unwrap_or(usize::MAX);
        Self {
            max_starting: 16,
            max_running: (files / 2).clamp(1, 4000),
            programs: None,
        }
    }
}

/// Runs jobs as processes of this machine.
#[derive(Debug, Clone, Default)]
pub struct JobRunner {
    options: RunnerOptions,
}

impl JobRunner {
    /// A runner with these options.
    #[must_use]
    pub fn new(options: RunnerOptions) -> Self {
        Self { options }
    }
}

impl Runner for JobRunner {
    fn run(self: Box<Self>, link: RunnerLink) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(run(self.options, link))
    }
}

async fn run(options: RunnerOptions, mut link: RunnerLink) {
    let shared = Arc::new(Shared {
        reports: link.reports,
        programs: options.programs,
        starting: Semaphore::new(options.max_starting),
        ordering: Semaphore::new(MAX_ORDERS),
        running: Semaphore::new(options.max_running),
        phases: RwLock::new(Phases::new()),
    });
    let mut tasks = JoinSet::new();
    loop {
        tokio::select! {
            order = link.orders.recv() => match order {
                Some(order) => obey(order, &shared, &mut tasks),
                None => return,
            },
            Some(_) = tasks.join_next() => {}
        }
    }
}

fn obey(order: Order, shared: &Arc<Shared>, tasks: &mut JoinSet<()>) {
    let effect = match order {
        // A server that has read its journal again asks for jobs that are in our care.
        Order::Resume { password, .. } if shared.phases.read().contains_key(&password) => return,
        Order::Resume {
            path,
            password,
            is_started,
        } => {
            let job = Job {
                path,
                password,
                kill: Arc::default(),
                is_resumed: true,
                is_started,
            };
            return start(job, shared, tasks);
        }
        Order::Effect(effect) => effect,
    };
    match effect {
        Effect::Submit { path, password, .. } => {
            let job = Job {
                path,
                password,
                kill: Arc::default(),
                is_resumed: false,
                is_started: false,
            };
            start(job, shared, tasks);
        }
        Effect::Kill {
            path,
            password,
            rid,
        } if rid.is_empty() => {
            let shared = Arc::clone(shared);
            tasks.spawn(async move {
                if let Err(reason) = kill_group(&password, &shared).await {
                    fail(OrderKind::Kill, path, &reason, &shared).await;
                }
            });
        }
        Effect::Kill { path, rid, .. } => {
            tasks.spawn(run_order(OrderKind::Kill, path, rid, Arc::clone(shared)));
        }
        Effect::Status { path, rid } => {
            tasks.spawn(run_order(OrderKind::Status, path, rid, Arc::clone(shared)));
        }
    }
}

fn start(job: Job, shared: &Arc<Shared>, tasks: &mut JoinSet<()>) {
    let phase = Phase::Waiting(Arc::clone(&job.kill));
    shared.phases.write().insert(job.password.clone(), phase);
    tasks.spawn(job.run(Arc::clone(shared)));
}

/// Kills a job that has not told its id.
async fn kill_group(password: &str, shared: &Shared) -> Result<(), String> {
    let job = match shared.phases.read().get(password) {
        Some(Phase::Waiting(waiting)) => {
            waiting.kill();
            return Ok(());
        }
        Some(Phase::Running(job)) => job.clone(),
        None => return Err("its process is not known".to_owned()),
    };
    let result = wrapper::terminate(job.pid, &job.token).await;
    result.map_err(|error| error.to_string())
}

async fn run_order(kind: OrderKind, path: String, rid: Box<str>, shared: Arc<Shared>) {
    let Ok(_permit) = shared.ordering.acquire().await else {
        return;
    };
    let Some(mut variables) = shared.reports.variables(&path, "").await else {
        return;
    };
    variables.set_rid(&rid);
    let result = if order::is_safe_rid(&rid) {
        order::run(kind, &variables, shared.programs.as_deref()).await
    } else {
        Err("the id of the job is not safe in a command".to_owned())
    };
    if let Err(reason) = result {
        fail(kind, path, &reason, &shared).await;
    }
}

async fn fail(kind: OrderKind, path: String, reason: &str, shared: &Shared) {
    tracing::warn!(path, "{reason}");
    let event = RunnerEvent::CommandFailed {
        path: path.into(),
        flag: kind.flag(),
    };
    shared.reports.report(event).await;
}
