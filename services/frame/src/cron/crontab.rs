//! The scheduler of a crontab: it waits for the lease, and runs the jobs while it has it.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::{
    lease::{Lease, LeaseError, boot_time},
    run::{Finished, JobLog, Run, log_folder},
    token::JobState,
};
use crate::{
    broker::{Broker, Publisher, pause},
    clock::unix_ms,
    config::{CrontabSettings, JobSettings, Overlap},
    idl::frame::{self, Job},
    process::KILL_TIME,
    schedule::DueTicks,
};

/// How often an agent that waits tells the holder that it is there.
const ANNOUNCE_TIME: Duration = Duration::from_secs(60);
/// How often the holder renews the token: far more often than `consumer_timeout` of the broker.
const RENEW_TIME: Duration = Duration::from_secs(5);
/// So long before a tick the holder proves that it still is one.
const PROVE_AHEAD_MS: i64 = 2000;
/// A proof this young is not renewed before a tick.
const FRESH_PROOF: Duration = Duration::from_millis(1500);
/// The time from taking up a tick to its start. What takes longer was stopped on the way.
const START_TIME: Duration = Duration::from_secs(2);
/// How long the jobs of a holder that was lost may run on.
const LEASE_TIME: Duration = Duration::from_secs(10);
/// The longest sleep: changes of the clock are noticed by then.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);
/// Runs of one job at once.
const MAX_RUNS: usize = 4;
/// Ends of runs that wait for the scheduler.
const MAX_FINISHED: usize = 256;

/// What the crontabs of an agent share.
#[derive(Debug, Clone)]
pub(crate) struct CrontabContext {
    pub(crate) broker: Broker,
    pub(crate) publisher: Arc<Publisher>,
    pub(crate) agent: String,
    pub(crate) install_root: PathBuf,
    pub(crate) log_keep: usize,
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JobLogError {
    #[error("the crontab has no job {0}")]
    NoJob(i32),
    #[error("there is no log of this run here: {0}")]
    Read(#[from] std::io::Error),
}

/// What a crontab runs.
#[derive(Debug, Clone)]
struct Plan {
    folder: PathBuf,
    settings: CrontabSettings,
}

/// What is known of a crontab at this agent.
#[derive(Debug, Default)]
struct Status {
    is_active: bool,
    epoch: u64,
    jobs: BTreeMap<String, JobState>,
}

/// A crontab of this agent, which waits for the lease or holds it.
pub(crate) struct Crontab {
    name: String,
    plan: watch::Sender<Arc<Plan>>,
    status: Arc<Mutex<Status>>,
    log: JobLog,
    stop: watch::Sender<bool>,
    task: Mutex<Option<JoinHandle<()>>>,
}

/// Names a job in the token, so that a job that is changed begins anew.
fn key_of(job: &JobSettings) -> String {
    format!("{}\t{}", job.schedule, job.command)
}

impl Crontab {
    pub(crate) fn start(
        context: &CrontabContext,
        name: &str,
        folder: PathBuf,
        settings: CrontabSettings,
    ) -> Arc<Self> {
        let log = JobLog {
            folder: log_folder(&context.install_root, name),
            keep: context.log_keep,
        };
        let (plan, _) = watch::channel(Arc::new(Plan { folder, settings }));
        let (stop, stopped) = watch::channel(false);
        let status = Arc::new(Mutex::new(Status::default()));
        let scheduler = Scheduler {
            context: context.clone(),
            name: name.to_owned(),
            plan: plan.subscribe(),
            status: Arc::clone(&status),
            log: log.clone(),
            stopped,
        };
        Arc::new(Self {
            name: name.to_owned(),
            plan,
            status,
            log,
            stop,
            task: Mutex::new(Some(tokio::spawn(scheduler.run()))),
        })
    }

    /// Runs other jobs from now on; those that run go on.
    pub(crate) fn replace(&self, folder: PathBuf, settings: CrontabSettings) {
        self.plan.send_replace(Arc::new(Plan { folder, settings }));
    }

    /// Gives the lease up, and ends the jobs.
    pub(crate) async fn shutdown(&self) {
        self.stop.send_replace(true);
        let task = self.task.lock().take();
        if let Some(task) = task {
            let _ = timeout(2 * LEASE_TIME, task).await;
        }
    }

    pub(crate) fn describe(&self, version: &str, agent: &str) -> frame::Crontab {
        let (plan, status) = (self.plan.borrow().clone(), self.status.lock());
        let zone = &plan.settings.time_zone;
        let now = unix_ms();
        let describe = |job: &JobSettings| {
            let state = status.jobs.get(&key_of(job)).copied().unwrap_or_default();
            Job {
                time: job.schedule.to_string(),
                command: job.command.clone(),
                last_tick_ms: state.last_ms,
                last_exit: state.exit,
                next_tick_ms: job.schedule.next_after_ms(now, zone).unwrap_or(0),
                missed: i32::try_from(state.missed).unwrap_or(i32::MAX),
            }
        };
        frame::Crontab {
            name: self.name.clone(),
            version: version.to_owned(),
            path: plan.folder.display().to_string(),
            active: status.is_active,
            holder: if status.is_active {
                agent.to_owned()
            } else {
                String::new()
            },
            epoch: i64::try_from(status.epoch).unwrap_or(i64::MAX),
            jobs: plan.settings.jobs.iter().map(describe).collect(),
        }
    }

    /// The log of a run of a job, by its place in the list; of the latest one if `tick_ms` is 0.
    pub(crate) fn log(&self, job: i32, tick_ms: i64) -> Result<Vec<u8>, JobLogError> {
        let plan = self.plan.borrow().clone();
        let index = usize::try_from(job).map_err(|_| JobLogError::NoJob(job))?;
        let settings = plan
            .settings
            .jobs
            .get(index)
            .ok_or(JobLogError::NoJob(job))?;
        Ok(self.log.read(&key_of(settings), tick_ms)?)
    }
}

/// The task of a crontab.
struct Scheduler {
    context: CrontabContext,
    name: String,
    plan: watch::Receiver<Arc<Plan>>,
    status: Arc<Mutex<Status>>,
    log: JobLog,
    stopped: watch::Receiver<bool>,
}

async fn was_stopped(stopped: &mut watch::Receiver<bool>) {
    let _ = stopped.wait_for(|is_stopped| *is_stopped).await;
}

impl Scheduler {
    async fn run(self) {
        let crontab = self.name.clone();
        let mut stopped = self.stopped.clone();
        while !*stopped.borrow() {
            let holding = async {
                let lease = self.wait_for_lease().await?;
                self.hold(lease).await
            };
            match holding.await {
                Ok(()) => {}
                Err(LeaseError::Lost) => tracing::warn!(crontab, "the lease is lost"),
                Err(error) => tracing::warn!(crontab, "no lease: {error}"),
            }
            tokio::select! {
                () = pause() => {}
                () = was_stopped(&mut stopped) => {}
            }
        }
    }

    /// Waits until the broker makes this agent the active consumer. `None` after a stop.
    async fn wait_for_lease(&self) -> Result<Option<Lease>, LeaseError> {
        let mut stopped = self.stopped.clone();
        let Self { context, name, .. } = self;
        let mut lease =
            Lease::open(&context.broker, &context.publisher, name, &context.agent).await?;
        loop {
            tokio::select! {
                received = lease.receive() => {
                    received?;
                    return Ok(Some(lease));
                }
                () = sleep(ANNOUNCE_TIME) => lease.announce().await?,
                () = was_stopped(&mut stopped) => return Ok(None),
            }
        }
    }

    /// Runs the jobs until the lease is lost or the agent stops.
    async fn hold(&self, lease: Option<Lease>) -> Result<(), LeaseError> {
        let Some(mut lease) = lease else {
            return Ok(());
        };
        let was_released = lease.acquire().await?;
        let (crontab, epoch) = (&self.name, lease.token().epoch);
        tracing::info!(crontab, epoch, "this agent runs the jobs");
        let mut stopped = self.stopped.clone();
        let (sender, finished) = mpsc::channel(MAX_FINISHED);
        let mut holder = Holder {
            scheduler: self,
            lease,
            running: BTreeMap::new(),
            queued: BTreeMap::new(),
            sender,
            finished,
            end: watch::Sender::new(false),
            // Jobs of the previous holder may still run.
            blocked_until: if was_released {
                Duration::ZERO
            } else {
                boot_time() + LEASE_TIME
            },
        };
        holder.count_lost_ticks();
        let result = tokio::select! {
            result = holder.run() => result,
            () = was_stopped(&mut stopped) => Ok(()),
        };
        self.status.lock().is_active = false;
        holder.end(result.is_ok()).await;
        result
    }
}

/// This agent while it has the lease.
struct Holder<'a> {
    scheduler: &'a Scheduler,
    lease: Lease,
    /// Runs by job.
    running: BTreeMap<String, usize>,
    /// Jobs that run again when they end, with the tick.
    queued: BTreeMap<String, i64>,
    sender: mpsc::Sender<Finished>,
    finished: mpsc::Receiver<Finished>,
    /// Ends the runs of jobs that must not overlap.
    end: watch::Sender<bool>,
    /// Until when jobs that must not overlap are not started, as [`boot_time`].
    blocked_until: Duration,
}

/// A job with a tick that is to be run.
struct DueJob {
    job: JobSettings,
    key: String,
    tick_ms: i64,
}

impl Holder<'_> {
    fn plan(&self) -> Arc<Plan> {
        self.scheduler.plan.borrow().clone()
    }

    /// Ticks that the previous holder has taken up, and of whose start it could not tell.
    fn count_lost_ticks(&mut self) {
        for state in self.lease.token_mut().jobs.values_mut() {
            if std::mem::take(&mut state.is_pending) {
                state.missed += 1;
            }
        }
    }

    async fn run(&mut self) -> Result<(), LeaseError> {
        loop {
            self.publish_status();
            let now = unix_ms();
            if self.has_due(now) {
                self.run_due(now).await?;
            } else {
                self.renew(now).await?;
                let next = self.next_tick(now);
                let until =
                    Duration::from_millis(u64::try_from(next.saturating_sub(now)).unwrap_or(0));
                self.idle(until.clamp(Duration::from_millis(1), LONGEST_SLEEP))
                    .await?;
            }
        }
    }

    /// Waits, merges tokens and notes runs that have ended.
    async fn idle(&mut self, time: Duration) -> Result<(), LeaseError> {
        tokio::select! {
            received = self.lease.receive() => received.map(|_| ()),
            Some(finished) = self.finished.recv() => self.note_end(&finished).await,
            () = sleep(time) => Ok(()),
        }
    }

    async fn renew(&mut self, now: i64) -> Result<(), LeaseError> {
        let age = self.lease.proof_age();
        let is_near = self.next_tick(now).saturating_sub(now) <= PROVE_AHEAD_MS;
        if age >= RENEW_TIME || (is_near && age >= FRESH_PROOF) {
            self.lease.round_trip().await?;
        }
        Ok(())
    }

    fn next_tick(&self, now: i64) -> i64 {
        let plan = self.plan();
        let zone = &plan.settings.time_zone;
        let next = plan
            .settings
            .jobs
            .iter()
            .filter_map(|job| job.schedule.next_after_ms(now, zone));
        next.min().unwrap_or(i64::MAX)
    }

    /// Whether a job has a tick since its last one. Jobs that are seen for the first time begin now.
    fn has_due(&mut self, now: i64) -> bool {
        let plan = self.plan();
        let CrontabSettings {
            jobs,
            time_zone,
            overlap,
            ..
        } = &plan.settings;
        let first = JobState {
            last_ms: now,
            ..JobState::default()
        };
        let states = &mut self.lease.token_mut().jobs;
        let mut has_due = false;
        for job in jobs {
            let state = states.entry(key_of(job)).or_insert(first);
            let next = job.schedule.next_after_ms(state.last_ms, time_zone);
            has_due |= next.is_some_and(|next| next <= now);
        }
        has_due && (*overlap == Overlap::Allow || boot_time() >= self.blocked_until)
    }

    /// Takes the latest tick of each job up in the token, and counts the others as missed.
    fn take_up(&mut self, plan: &Plan, now: i64) -> Vec<DueJob> {
        let CrontabSettings {
            jobs,
            time_zone,
            catch_up,
            ..
        } = &plan.settings;
        let catch_up = i64::try_from(catch_up.as_millis()).unwrap_or(i64::MAX);
        let mut due_jobs = Vec::new();
        for job in jobs {
            let key = key_of(job);
            let Some(state) = self.lease.token_mut().jobs.get_mut(&key) else {
                continue;
            };
            let due = DueTicks::between(&job.schedule, time_zone, state.last_ms, now);
            let Some(tick_ms) = due.latest_ms else {
                continue;
            };
            let starts = now - tick_ms <= catch_up;
            state.missed += u64::from(due.count - u32::from(starts));
            state.last_ms = tick_ms;
            state.is_pending = starts;
            if starts {
                due_jobs.push(DueJob {
                    job: job.clone(),
                    key,
                    tick_ms,
                });
            }
        }
        due_jobs
    }

    /// Hands the ticks on with the token, and starts the jobs once the token has come back.
    async fn run_due(&mut self, now: i64) -> Result<(), LeaseError> {
        let taken_up = boot_time();
        if !self.lease.is_proven() {
            // The token of an agent that was stopped must not tell the next holder that ticks are done.
            self.lease.round_trip().await?;
        }
        let plan = self.plan();
        let due = self.take_up(&plan, now);
        self.lease.round_trip().await?;
        let is_late = boot_time().saturating_sub(taken_up) > START_TIME;
        for due in due {
            if is_late {
                tracing::warn!(
                    crontab = self.scheduler.name,
                    job = due.key,
                    "a tick is too late to start"
                );
                self.miss(&due.key);
            } else {
                self.start_or_wait(&plan, &due.job, due.key, due.tick_ms);
            }
        }
        // What follows a kill between the start and this is counted as missed, and does not run again.
        for state in self.lease.token_mut().jobs.values_mut() {
            state.is_pending = false;
        }
        self.lease.round_trip().await
    }

    fn miss(&mut self, key: &str) {
        if let Some(state) = self.lease.token_mut().jobs.get_mut(key) {
            state.missed += 1;
        }
        metrics::counter!("tce_frame_ticks_missed_total").increment(1);
    }

    fn start_or_wait(&mut self, plan: &Plan, job: &JobSettings, key: String, tick_ms: i64) {
        let running = self.running.get(&key).copied().unwrap_or(0);
        match plan.settings.overlap {
            Overlap::Allow if running >= MAX_RUNS => self.miss(&key),
            Overlap::Skip if running > 0 => {}
            Overlap::Queue if running > 0 => {
                self.queued.insert(key, tick_ms);
            }
            Overlap::Allow | Overlap::Skip | Overlap::Queue => self.start(plan, job, key, tick_ms),
        }
    }

    fn start(&mut self, plan: &Plan, job: &JobSettings, key: String, tick_ms: i64) {
        let run = Run {
            key: key.clone(),
            command: job.command.clone(),
            folder: plan.folder.clone(),
            log: self.scheduler.log.clone(),
            epoch: self.lease.token().epoch,
            tick_ms,
            timeout: plan.settings.timeout,
        };
        // A job that may overlap goes on with the next holder.
        let end = match plan.settings.overlap {
            Overlap::Allow => self.scheduler.stopped.clone(),
            Overlap::Skip | Overlap::Queue => self.end.subscribe(),
        };
        match run.start(self.sender.clone(), end) {
            Ok(()) => {
                *self.running.entry(key).or_default() += 1;
                metrics::counter!("tce_frame_ticks_total").increment(1);
            }
            Err(error) => {
                tracing::error!(
                    crontab = self.scheduler.name,
                    job = key,
                    "a job can't be started: {error}"
                );
                self.miss(&key);
            }
        }
    }

    async fn note_end(&mut self, finished: &Finished) -> Result<(), LeaseError> {
        let Finished { key, tick_ms, exit } = finished;
        if let Some(running) = self.running.get_mut(key) {
            *running = running.saturating_sub(1);
        }
        if let Some(state) = self.lease.token_mut().jobs.get_mut(key)
            && *tick_ms <= state.last_ms
        {
            state.exit = *exit;
        }
        let plan = self.plan();
        let job = plan.settings.jobs.iter().find(|job| key_of(job) == *key);
        if let Some(tick_ms) = self.queued.remove(key)
            && let Some(job) = job
        {
            self.lease.round_trip().await?;
            self.start(&plan, job, key.clone(), tick_ms);
        }
        Ok(())
    }

    fn publish_status(&self) {
        let token = self.lease.token();
        let mut status = self.scheduler.status.lock();
        status.is_active = true;
        status.epoch = token.epoch;
        status.jobs.clone_from(&token.jobs);
    }

    /// Ends the jobs that must not overlap with those of the next holder, all of them when the agent
    /// stops; then gives the lease up.
    async fn end(mut self, is_stopped: bool) {
        self.end.send_replace(true);
        let is_ended = |holder: &Self| holder.running.values().all(|running| *running == 0);
        let waiting = async {
            let must_wait = is_stopped || self.plan().settings.overlap != Overlap::Allow;
            while must_wait && !is_ended(&self) {
                let Some(finished) = self.finished.recv().await else {
                    return;
                };
                if let Some(running) = self.running.get_mut(&finished.key) {
                    *running = running.saturating_sub(1);
                }
            }
        };
        let all_ended = timeout(KILL_TIME + Duration::from_secs(1), waiting)
            .await
            .is_ok();
        if is_stopped && all_ended {
            self.lease.release().await;
        }
    }
}
