//! The life of one job: made, started, and watched to its end.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::RwLock;
use tokio::process::Child;
use tokio::sync::{AcquireError, Notify, Semaphore, SemaphorePermit};

use crate::machine::RunnerEvent;
use crate::state::Flag;
use crate::template::{Flavor, Script, TemplateError, Variables, command};

use super::files::{FileLoader, JobFiles, Trace};
use super::link::Reports;
use super::wrapper;

/// How often a job that is not our child is looked at: first often, then more seldom.
const WATCH_TIMES: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(5)];
/// How long a mark may take from its creation to its content.
const MARK_TIME: Duration = Duration::from_secs(2);

/// How far jobs have come, by password.
pub(super) type Phases = BTreeMap<Box<str>, Phase>;

/// How far a job has come.
#[derive(Debug)]
pub(super) enum Phase {
    /// It waits to be started, unless it is killed meanwhile.
    Waiting(Arc<Kill>),
    /// Its command runs.
    Running(Running),
}

/// Tells a job that waits that it was killed.
#[derive(Debug, Default)]
pub(super) struct Kill {
    is_killed: AtomicBool,
    killed: Notify,
}

impl Kill {
    pub(super) fn kill(&self) {
        self.is_killed.store(true, Ordering::SeqCst);
        self.killed.notify_one();
    }
}

/// The process of a job.
#[derive(Debug, Clone)]
pub(super) struct Running {
    pub(super) pid: u32,
    pub(super) token: String,
}

/// What all jobs have in common.
pub(super) struct Shared {
    pub(super) reports: Reports,
    /// The folder of the programs that jobs call, put first in their PATH.
    pub(super) programs: Option<PathBuf>,
    /// Held while a job is made and started.
    pub(super) starting: Semaphore,
    /// Held while a command that kills or asks runs. One that hangs keeps no job from starting.
    pub(super) ordering: Semaphore,
    /// Held while the command of a job runs as our child.
    pub(super) running: Semaphore,
    /// Starting a process takes the lock for writing, and writing a job takes it for reading: a
    /// process that inherits a job open for writing would keep it from being run (ETXTBSY).
    pub(super) phases: RwLock<Phases>,
}

/// A job that is to be started, or to be found again.
pub(super) struct Job {
    pub(super) path: String,
    pub(super) password: Box<str>,
    /// Tells it that it was killed before it was started.
    pub(super) kill: Arc<Kill>,
    /// Whether it may have been started by a server before this one.
    pub(super) is_resumed: bool,
    /// Whether it is known to have started.
    pub(super) is_started: bool,
}

/// Why a job has not started.
struct StartError {
    flag: Flag,
    reason: String,
}

impl From<TemplateError> for StartError {
    fn from(error: TemplateError) -> Self {
        let flag = match error {
            TemplateError::NoScript(_) => Flag::NoScript,
            TemplateError::Edit { .. } => Flag::EditFailed,
        };
        let reason = error.to_string();
        Self { flag, reason }
    }
}

impl StartError {
    fn file(files: &JobFiles, error: &io::Error) -> Self {
        Self {
            flag: Flag::EditFailed,
            reason: format!("{}: {error}", files.job.display()),
        }
    }

    fn command(reason: impl Into<String>) -> Self {
        Self {
            flag: Flag::JobCommandFailed,
            reason: reason.into(),
        }
    }
}

impl Job {
    /// Starts the job unless it was started before, and reports how its command ends.
    pub(super) async fn run(self, shared: Arc<Shared>) {
        if !(self.is_resumed && self.take_over(&shared).await) {
            tokio::select! {
                biased;
                () = self.kill.killed.notified() => self.failed(&shared, killed()).await,
                permits = permits(&shared) => {
                    if let Ok((_running, starting)) = permits {
                        self.start(&shared, starting).await;
                    }
                }
            }
        }
        shared.phases.write().remove(&self.password);
    }

    /// Watches a job that a server before this one has started; false if none has.
    async fn take_over(&self, shared: &Shared) -> bool {
        let Ok(starting) = shared.starting.acquire().await else {
            return true;
        };
        // Without variables the task is gone, or runs another job.
        let variables = shared.reports.variables(&self.path, &self.password).await;
        let Some(variables) = variables else {
            return true;
        };
        let files = JobFiles::new(&variables, &self.password);
        let trace = self.find(&files).await;
        drop(starting);
        match trace {
            Ok(Trace::Started(pid) | Trace::Ended(pid, _)) => {
                self.watch(shared, &files, pid).await;
            }
            Ok(Trace::None) if self.is_started => self.failed(shared, self.lost()).await,
            Ok(Trace::None) => return false,
            Err(error) => self.failed(shared, StartError::file(&files, &error)).await,
        }
        true
    }

    async fn start(&self, shared: &Arc<Shared>, starting: SemaphorePermit<'_>) {
        let variables = shared.reports.variables(&self.path, &self.password).await;
        let Some(variables) = variables else {
            return;
        };
        let files = JobFiles::new(&variables, &self.password);
        let (to_make, shared_too) = (files.clone(), Arc::clone(shared));
        let (password, kill) = (self.password.clone(), Arc::clone(&self.kill));
        let started = tokio::task::spawn_blocking(move || {
            make_and_start(&shared_too, &to_make, &variables, &password, &kill)
        });
        let started = started.await;
        drop(starting);
        match started {
            Ok(Ok((child, command))) => self.wait(shared, &files, *child, &command).await,
            Ok(Err(error)) => self.failed(shared, error).await,
            Err(error) => {
                let error = StartError::command(error.to_string());
                self.failed(shared, error).await;
            }
        }
    }

    fn lost(&self) -> StartError {
        let path = &self.path;
        StartError::command(format!(
            "ECF_JOB_CMD path({path}) has ended while the server was down; its status is not known"
        ))
    }

    /// What is known of a job that a server before this one may have started. Its wrapper may be
    /// about to write the mark.
    async fn find(&self, files: &JobFiles) -> io::Result<Trace> {
        let deadline = tokio::time::Instant::now() + MARK_TIME;
        while files.has_open_mark() && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        on_disk(files, JobFiles::trace).await
    }

    /// Waits for the end of our child.
    async fn wait(&self, shared: &Shared, files: &JobFiles, mut child: Child, command: &str) {
        let pid = child.id().unwrap_or_default();
        let event = RunnerEvent::Started {
            path: self.path.as_str().into(),
            password: self.password.clone(),
            pid,
        };
        shared.reports.report(event).await;
        let status = child.wait().await;
        let said = on_disk(files, JobFiles::finish_command_output).await;
        let said = match said {
            Ok(line) if !line.is_empty() => format!(": {line}"),
            _ => String::new(),
        };
        let path = &self.path;
        match (status, on_disk(files, JobFiles::trace).await) {
            // Another wrapper of the same job was first.
            (_, Ok(Trace::Started(other) | Trace::Ended(other, _))) if other != pid => {
                self.watch(shared, files, other).await;
            }
            (Ok(status), Ok(Trace::None) | Err(_)) if status.code() == Some(wrapper::NO_MARK) => {
                let job = files.job.display();
                let reason = format!("ECF_JOB_CMD path({path}) was not run: no {job}.pid{said}");
                self.failed(shared, StartError::command(reason)).await;
            }
            (Ok(status), _) => match wrapper::failure(status) {
                None => self.ended(shared).await,
                Some(failure) => {
                    let reason = format!(
                        "ECF_JOB_CMD PID({pid}) path({path}) {failure} [ {command} ]{said}"
                    );
                    self.failed(shared, StartError::command(reason)).await;
                }
            },
            (Err(error), _) => {
                let reason = format!("ECF_JOB_CMD PID({pid}) path({path}): {error}");
                self.failed(shared, StartError::command(reason)).await;
            }
        }
    }

    /// Watches a job that is no child of ours to its end.
    async fn watch(&self, shared: &Shared, files: &JobFiles, pid: u32) {
        let running = Running {
            pid,
            token: files.token.clone(),
        };
        let phase = Phase::Running(running);
        shared.phases.write().insert(self.password.clone(), phase);
        if self.kill.is_killed.load(Ordering::SeqCst)
            && let Err(error) = wrapper::terminate(pid, &files.token).await
        {
            tracing::debug!(path = self.path, "killed while it was looked for: {error}");
        }
        let [mut pause, longest] = WATCH_TIMES;
        loop {
            // The process is looked at first: it writes the mark before it ends.
            let is_alive = wrapper::is_alive(pid, &files.token);
            match on_disk(files, JobFiles::trace).await {
                Ok(Trace::Ended(pid, status)) => {
                    return match wrapper::failure_of_code(status) {
                        None => self.ended(shared).await,
                        Some(failure) => {
                            let path = &self.path;
                            let reason = format!("ECF_JOB_CMD PID({pid}) path({path}) {failure}");
                            self.failed(shared, StartError::command(reason)).await;
                        }
                    };
                }
                _ if is_alive => {}
                _ => return self.failed(shared, self.lost()).await,
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(longest);
        }
    }

    async fn ended(&self, shared: &Shared) {
        let event = RunnerEvent::Ended {
            path: self.path.as_str().into(),
            password: self.password.clone(),
        };
        shared.reports.report(event).await;
    }

    async fn failed(&self, shared: &Shared, error: StartError) {
        tracing::warn!(path = self.path, "{}", error.reason);
        let event = RunnerEvent::Failed {
            path: self.path.as_str().into(),
            password: self.password.clone(),
            flag: error.flag,
            reason: error.reason.into(),
        };
        shared.reports.report(event).await;
    }
}

/// Reads files on a thread that may wait for a slow disk.
async fn on_disk<T: Send + 'static>(
    files: &JobFiles,
    read: impl FnOnce(&JobFiles) -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let files = files.clone();
    tokio::task::spawn_blocking(move || read(&files)).await?
}

async fn permits(
    shared: &Shared,
) -> Result<(SemaphorePermit<'_>, SemaphorePermit<'_>), AcquireError> {
    Ok((
        shared.running.acquire().await?,
        shared.starting.acquire().await?,
    ))
}

fn killed() -> StartError {
    StartError::command("killed before it was started")
}

/// Makes the files of a job, and starts its command.
fn make_and_start(
    shared: &Shared,
    files: &JobFiles,
    variables: &Variables,
    password: &str,
    kill: &Kill,
) -> Result<(Box<Child>, String), StartError> {
    let at_file = |error| StartError::file(files, &error);
    let command = job_command(variables)?;
    if variables.get("ECF_NO_SCRIPT").is_none() {
        let script = Script::find(variables, &FileLoader)?;
        let job = script.job(variables, &FileLoader)?;
        files.make_folders().map_err(at_file)?;
        let _no_process_starts = shared.phases.read();
        files.write_job(&job).map_err(at_file)?;
    } else {
        files.make_folders().map_err(at_file)?;
    }
    let mut phases = shared.phases.write();
    if kill.is_killed.load(Ordering::SeqCst) {
        return Err(killed());
    }
    files.remove_old_mark().map_err(at_file)?;
    let programs = shared.programs.as_deref();
    let child = wrapper::spawn(files, &command, variables, programs);
    let child = child.map_err(|error| StartError::command(format!("{command}: {error}")))?;
    let running = Running {
        pid: child.id().unwrap_or_default(),
        token: files.token.clone(),
    };
    phases.insert(password.into(), Phase::Running(running));
    Ok((Box::new(child), command))
}

fn job_command(variables: &Variables) -> Result<String, TemplateError> {
    if variables.is_takler() {
        let name = "TAKLER_SHELL_JOB_CMD";
        let default = "{{TAKLER_JOB}} 1> {{TAKLER_JOBOUT}} 2>&1";
        let text = variables.get(name).unwrap_or(default);
        return command(Flavor::Takler, name, text, variables);
    }
    let name = "ECF_JOB_CMD";
    let text = variables.get(name).unwrap_or_default();
    command(Flavor::Ecflow, name, text, variables)
}
