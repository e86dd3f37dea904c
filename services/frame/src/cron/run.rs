//! One run of a job, and its log.

use std::{
    io,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use serde::Serialize;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    sync::{mpsc, watch},
};

use crate::{
    clock::unix_ms,
    manifest::{HashingWriter, hex},
    process::{ProcessGroup, TIED, status_number},
};

/// The most bytes of the output of a run that are kept.
const MAX_OUTPUT: usize = 1 << 20;
/// Digits of a hash that name a job in file names.
const NAME_DIGITS: usize = 12;

/// A run that is to be started.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    /// Names the job in the token.
    pub(crate) key: String,
    pub(crate) command: String,
    pub(crate) folder: PathBuf,
    pub(crate) log: JobLog,
    pub(crate) epoch: u64,
    pub(crate) tick_ms: i64,
    pub(crate) timeout: Option<Duration>,
}

/// A run has ended.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) key: String,
    pub(crate) tick_ms: i64,
    pub(crate) exit: i32,
}

/// What begins the log of a run.
#[derive(Debug, Serialize)]
struct Heading<'a> {
    command: &'a str,
    tick_ms: i64,
    started_ms: i64,
    ended_ms: i64,
    exit: i32,
}

impl Run {
    /// Starts the command. `ended` is told when it has ended; `end` ends it before.
    pub(crate) fn start(
        self,
        ended: mpsc::Sender<Finished>,
        mut end: watch::Receiver<bool>,
    ) -> io::Result<()> {
        let started_ms = unix_ms();
        let mut process = ProcessGroup::start_tied(self.shell())?;
        tokio::spawn(async move {
            let (output, errors) = process.output();
            let reading =
                tokio::spawn(async move { tokio::join!(read_some(output), read_some(errors)) });
            let timeout = async {
                match self.timeout {
                    Some(timeout) => tokio::time::sleep(timeout).await,
                    None => std::future::pending().await,
                }
            };
            let status = tokio::select! {
                status = process.wait() => status,
                () = timeout => process.end().await,
                () = was_ended(&mut end) => process.end().await,
            };
            let exit = status_number(&status);
            // A process that it has left in the background may keep the pipes open.
            let output = match tokio::time::timeout(Duration::from_millis(200), reading).await {
                Ok(Ok((mut output, errors))) => {
                    output.extend(errors);
                    output
                }
                _ => b"(the output is not complete: a process of the job runs on)\n".to_vec(),
            };
            let heading = Heading {
                command: &self.command,
                tick_ms: self.tick_ms,
                started_ms,
                ended_ms: unix_ms(),
                exit,
            };
            let mut text = serde_json::to_vec(&heading).unwrap_or_default();
            text.push(b'\n');
            text.extend(output);
            let (log, key, tick_ms) = (self.log.clone(), self.key.clone(), self.tick_ms);
            let writing =
                tokio::task::spawn_blocking(move || log.write(&key, tick_ms, &text)).await;
            if let Ok(Err(error)) = writing {
                tracing::warn!("the log of a job can't be written: {error}");
            }
            // The crontab has ended if no one receives it.
            let _ = ended
                .send(Finished {
                    key: self.key,
                    tick_ms: self.tick_ms,
                    exit,
                })
                .await;
        });
        Ok(())
    }

    fn shell(&self) -> Command {
        let first = self.command.split_whitespace().next().unwrap_or_default();
        let command = match first.ends_with(".py") {
            true => {
                let python =
                    std::env::var("TCE_FRAME_PYTHON").unwrap_or_else(|_| "python3".to_owned());
                format!("exec {python} {}", self.command)
            }
            false => self.command.clone(),
        };
        let mut shell = Command::new("/bin/sh");
        shell
            .args(["-c", &format!("{TIED}{command}")])
            .current_dir(&self.folder)
            .env("TCE_FRAME_EPOCH", self.epoch.to_string())
            .env("TCE_FRAME_TICK", self.tick_ms.to_string());
        shell
    }
}

async fn was_ended(end: &mut watch::Receiver<bool>) {
    let _ = end.wait_for(|is_ended| *is_ended).await;
}

/// The first [`MAX_OUTPUT`] bytes; the rest is read, so that the job does not wait.
async fn read_some(mut pipe: impl AsyncRead + Unpin) -> Vec<u8> {
    let (mut kept, mut buffer) = (Vec::new(), vec![0; 8 << 10]);
    while let Ok(count @ 1..) = pipe.read(&mut buffer).await {
        let left = MAX_OUTPUT.saturating_sub(kept.len());
        kept.extend_from_slice(buffer.get(..count.min(left)).unwrap_or_default());
    }
    kept
}

/// The logs of the jobs of a crontab.
#[derive(Debug, Clone)]
pub(crate) struct JobLog {
    pub(crate) folder: PathBuf,
    /// Runs of each job that are kept.
    pub(crate) keep: usize,
}

impl JobLog {
    fn prefix(key: &str) -> String {
        let mut hasher = HashingWriter::default();
        // A hasher takes all bytes.
        let _ = io::Write::write_all(&mut hasher, key.as_bytes());
        let mut name = hasher.finish();
        name.truncate(NAME_DIGITS);
        debug_assert_eq!(name.len(), hex(&[0; NAME_DIGITS / 2]).len());
        name
    }

    /// The ticks of a job whose logs are kept, in their order.
    fn ticks(&self, key: &str) -> io::Result<Vec<i64>> {
        let prefix = Self::prefix(key);
        let mut ticks = Vec::new();
        for entry in std::fs::read_dir(&self.folder)? {
            let name = entry?.file_name();
            let tick = name.to_str().and_then(|name| {
                name.strip_prefix(&prefix)?
                    .strip_prefix('-')?
                    .strip_suffix(".log")
            });
            ticks.extend(tick.and_then(|tick| tick.parse::<i64>().ok()));
        }
        ticks.sort_unstable();
        Ok(ticks)
    }

    fn file(&self, key: &str, tick_ms: i64) -> PathBuf {
        self.folder
            .join(format!("{}-{tick_ms}.log", Self::prefix(key)))
    }

    fn write(&self, key: &str, tick_ms: i64, text: &[u8]) -> io::Result<()> {
        std::fs::create_dir_all(&self.folder)?;
        std::fs::write(self.file(key, tick_ms), text)?;
        let ticks = self.ticks(key)?;
        let old = ticks.len().saturating_sub(self.keep);
        for tick in &ticks[..old] {
            std::fs::remove_file(self.file(key, *tick))?;
        }
        Ok(())
    }

    /// The log of a run; of the latest one if `tick_ms` is 0.
    pub(crate) fn read(&self, key: &str, tick_ms: i64) -> io::Result<Vec<u8>> {
        let tick = match tick_ms {
            0 => self.ticks(key)?.pop().ok_or(io::ErrorKind::NotFound)?,
            tick => tick,
        };
        std::fs::read(self.file(key, tick))
    }
}

/// Where a crontab keeps its logs.
pub(crate) fn log_folder(install_root: &Path, crontab: &str) -> PathBuf {
    let state = install_root.join(crate::deployment::STATE_FOLDER);
    state.join(format!("crontab.{crontab}")).join("log")
}
