//! A testee as the driver sees it: a process that answers each line with a line.

use std::{
    collections::VecDeque,
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    task::JoinHandle,
    time::timeout,
};

use crate::protocol::{self, Answer};

/// How long a testee's last words are waited for after it has ended.
const LAST_WORDS_TIME: Duration = Duration::from_secs(1);
/// Lines of its standard error that a report shows.
const TAIL_LINES: usize = 30;

/// A running testee, killed when it is dropped.
pub(crate) struct Testee {
    name: String,
    child: Child,
    commands: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    tail: Arc<Mutex<VecDeque<String>>>,
    /// Ends with the standard error.
    errors_end: JoinHandle<()>,
    command_time: Duration,
}

/// Why a testee did not do as it was told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TesteeError {
    /// It says so, and goes on.
    #[error("{name} answers: {text}")]
    Refused { name: String, text: String },
    /// It has to be started again.
    #[error("{name} {reason}; the end of its standard error:\n{tail}")]
    Broken {
        name: String,
        reason: String,
        tail: String,
    },
}

impl Testee {
    /// Starts a testee; `name` is for reports, `command_time` the limit of each command.
    pub(crate) fn start(
        name: &str,
        mut command: Command,
        command_time: Duration,
    ) -> std::io::Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let missing = || std::io::Error::other("the process has no pipes");
        let commands = child.stdin.take().ok_or_else(missing)?;
        let answers = child.stdout.take().ok_or_else(missing)?;
        let errors = child.stderr.take().ok_or_else(missing)?;
        let tail = Arc::new(Mutex::new(VecDeque::new()));
        let kept = Arc::clone(&tail);
        let errors_end = tokio::spawn(async move {
            let mut lines = BufReader::new(errors).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let mut tail = kept.lock().unwrap_or_else(PoisonError::into_inner);
                tail.push_back(line);
                if tail.len() > TAIL_LINES {
                    tail.pop_front();
                }
            }
        });
        Ok(Self {
            name: name.to_owned(),
            child,
            commands,
            answers: BufReader::new(answers).lines(),
            tail,
            errors_end,
            command_time,
        })
    }

    /// Sends a command and waits for its answer.
    pub(crate) async fn ask(&mut self, command: &protocol::Command) -> Result<Value, TesteeError> {
        let exchanged = timeout(self.command_time, self.exchange(command)).await;
        let line = match exchanged {
            Ok(Ok(Some(line))) => line,
            Ok(Ok(None)) => return Err(self.ended().await),
            Ok(Err(error)) => {
                let ended = self.ended().await;
                let is_broken = matches!(ended, TesteeError::Broken { .. });
                return Err(if is_broken {
                    ended
                } else {
                    self.broken(error.to_string())
                });
            }
            Err(_) => {
                return Err(self.broken(format!("did not answer within {:?}", self.command_time)));
            }
        };
        match serde_json::from_str(&line) {
            Ok(Answer::Ok(value)) => Ok(value),
            Ok(Answer::Failed(text)) => Err(TesteeError::Refused {
                name: self.name.clone(),
                text,
            }),
            Err(error) => Err(self.broken(format!("answered what is no answer: {error}"))),
        }
    }

    async fn exchange(&mut self, command: &protocol::Command) -> std::io::Result<Option<String>> {
        let mut line = serde_json::to_vec(command)?;
        line.push(b'\n');
        self.commands.write_all(&line).await?;
        self.commands.flush().await?;
        self.answers.next_line().await
    }

    async fn ended(&mut self) -> TesteeError {
        let ended = async { tokio::join!(self.child.wait(), &mut self.errors_end).0 };
        match timeout(LAST_WORDS_TIME, ended).await {
            Ok(Ok(status)) => self.broken(format!("has ended ({status})")),
            _ => self.broken("has closed its standard output".to_owned()),
        }
    }

    fn broken(&self, reason: String) -> TesteeError {
        let tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        let lines: Vec<_> = tail.iter().map(|line| format!("    {line}")).collect();
        TesteeError::Broken {
            name: self.name.clone(),
            reason,
            tail: lines.join("\n"),
        }
    }
}
