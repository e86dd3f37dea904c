//! Processes of packages: hosts and jobs, each in a process group of its own.

use std::{
    io,
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    process::{Child, ChildStdin, Command},
    time::timeout,
};

/// What the broker's URI may be in, which holds a password.
const SECRETS: [&str; 2] = ["TCE_FRAME_AMQP", "KAEL_AURI"];
/// The longest line of a log; the rest is a line of its own.
const MAX_LINE: usize = 8 << 10;
/// Begins a script of the shell whose process group ends with the agent, also when that is killed. A
/// process in the background waits for the end of standard input.
pub(crate) const TIED: &str =
    "exec 3<&0 </dev/null; (read -r end <&3; kill -KILL 0) >/dev/null 2>&1 & exec 3<&-\n";
/// Between SIGTERM and SIGKILL.
pub(crate) const KILL_TIME: Duration = Duration::from_secs(5);

/// A process and those that it starts.
#[derive(Debug)]
pub(crate) struct ProcessGroup {
    child: Child,
    group: Option<Pid>,
    /// Ends with this process, which [`TIED`] waits for.
    _input: Option<ChildStdin>,
}

impl ProcessGroup {
    /// Starts a program without input, with its output in pipes, and without the broker's URI.
    pub(crate) fn start(command: std::process::Command) -> io::Result<Self> {
        Self::start_with(command, Stdio::null())
    }

    /// Starts a shell with a script that begins with [`TIED`].
    pub(crate) fn start_tied(command: std::process::Command) -> io::Result<Self> {
        Self::start_with(command, Stdio::piped())
    }

    fn start_with(mut command: std::process::Command, input: Stdio) -> io::Result<Self> {
        command
            .process_group(0)
            .stdin(input)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for secret in SECRETS {
            command.env_remove(secret);
        }
        let mut command = Command::from(command);
        let mut child = command.spawn()?;
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Ok(Self {
            group: id.and_then(Pid::from_raw),
            _input: child.stdin.take(),
            child,
        })
    }

    /// Standard output and standard error.
    pub(crate) fn output(
        &mut self,
    ) -> (
        impl AsyncRead + Unpin + use<>,
        impl AsyncRead + Unpin + use<>,
    ) {
        let (output, errors) = (self.child.stdout.take(), self.child.stderr.take());
        (MaybePipe(output), MaybePipe(errors))
    }

    /// Waits for the end of the program; others of its group may run on. Cancel safe.
    pub(crate) async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Sends a signal to all processes of the group. An error means that they have ended.
    pub(crate) fn signal(&self, signal: Signal) {
        if let Some(group) = self.group
            && let Err(error) = kill_process_group(group, signal)
        {
            tracing::debug!("no process to signal: {error}");
        }
    }

    /// Ends all processes of the group: SIGTERM, and SIGKILL after [`KILL_TIME`].
    pub(crate) async fn end(&mut self) -> io::Result<ExitStatus> {
        self.signal(Signal::TERM);
        let ended = timeout(KILL_TIME, self.wait()).await;
        // Processes that the program has left behind, too.
        self.signal(Signal::KILL);
        match ended {
            Ok(status) => status,
            Err(_) => self.wait().await,
        }
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

/// A pipe of a child, or an empty one.
#[derive(Debug)]
struct MaybePipe<T>(Option<T>);

impl<T: AsyncRead + Unpin> AsyncRead for MaybePipe<T> {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        match &mut self.0 {
            Some(pipe) => std::pin::Pin::new(pipe).poll_read(context, buffer),
            None => std::task::Poll::Ready(Ok(())),
        }
    }
}

/// `exit status 1`, `signal 9`.
pub(crate) fn describe(status: &io::Result<ExitStatus>) -> String {
    match status {
        Ok(status) => match (status.code(), status.signal()) {
            (Some(code), _) => format!("exit status {code}"),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => "an unknown status".to_owned(),
        },
        Err(error) => format!("an unknown status: {error}"),
    }
}

/// The exit status, or the signal as a negative number.
pub(crate) fn status_number(status: &io::Result<ExitStatus>) -> i32 {
    match status {
        Ok(status) => match (status.code(), status.signal()) {
            (Some(code), _) => code,
            (None, Some(signal)) => -signal,
            (None, None) => i32::MAX,
        },
        Err(_) => i32::MAX,
    }
}

/// Calls `line` for each line until the pipe is closed.
pub(crate) async fn each_line(mut pipe: impl AsyncRead + Unpin, mut line: impl FnMut(&str)) {
    let (mut text, mut buffer) = (Vec::new(), vec![0; MAX_LINE]);
    let mut write = |bytes: &[u8]| line(String::from_utf8_lossy(bytes).trim_end_matches('\r'));
    while let Ok(count @ 1..) = pipe.read(&mut buffer).await {
        text.extend_from_slice(buffer.get(..count).unwrap_or_default());
        let mut start = 0;
        while let Some(length) = text
            .get(start..)
            .and_then(|rest| rest.iter().position(|byte| *byte == b'\n'))
        {
            write(&text[start..start + length]);
            start += length + 1;
        }
        text.drain(..start);
        if text.len() >= MAX_LINE {
            write(&text);
            text.clear();
        }
    }
    if !text.is_empty() {
        write(&text);
    }
}

/// The most bytes of the output of a command.
const MAX_OUTPUT: u64 = 1 << 20;

/// Runs a command of the shell, and returns its output, errors included.
pub(crate) async fn shell(command: &str, limit: Duration) -> Result<String, String> {
    let mut shell = std::process::Command::new("/bin/sh");
    shell.args(["-c", &format!("exec 2>&1; {command}")]);
    let mut process = ProcessGroup::start(shell).map_err(|error| error.to_string())?;
    let (output, _errors) = process.output();
    let mut text = Vec::new();
    let running = async {
        // More than that ends the command, whose pipe is closed.
        let _ = output.take(MAX_OUTPUT).read_to_end(&mut text).await;
        process.wait().await
    };
    let ended = timeout(limit, running).await;
    let Ok(status) = ended else {
        let _ = process.end().await;
        return Err(format!(
            "the command did not end within {} s",
            limit.as_secs()
        ));
    };
    let text = String::from_utf8_lossy(&text).into_owned();
    match &status {
        Ok(ended) if ended.success() => Ok(text),
        _ => Err(format!("{}: {text}", describe(&status))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> ProcessGroup {
        let mut command = std::process::Command::new("/bin/sh");
        command
            .args(["-c", script])
            .env("TCE_FRAME_AMQP", "amqp://u:secret@h");
        ProcessGroup::start(command).expect("a shell")
    }

    async fn lines(script: &str) -> (Vec<String>, String) {
        let mut process = shell(script);
        let (output, _errors) = process.output();
        let mut lines = Vec::new();
        each_line(output, |line| lines.push(line.to_owned())).await;
        (lines, describe(&process.wait().await))
    }

    #[tokio::test]
    async fn lines_are_read_to_the_end_and_the_uri_is_hidden() {
        let (read, status) =
            lines("echo a; echo; printf 'b\\r\\nc'; echo $TCE_FRAME_AMQP >&1; exit 3").await;
        assert_eq!(
            (read, status.as_str()),
            (
                ["a", "", "b", "c"].map(str::to_owned).to_vec(),
                "exit status 3"
            )
        );
        let (read, _) = lines("head -c 20000 /dev/zero | tr '\\0' x").await;
        assert_eq!(read.iter().map(String::len).sum::<usize>(), 20_000);
        assert!(read.iter().all(|line| line.len() <= 2 * MAX_LINE));
    }

    #[tokio::test]
    async fn the_end_reaches_the_children_of_the_program() {
        let mut process = shell("sleep 60 & echo $!; wait");
        let (mut output, _errors) = process.output();
        let mut text = vec![0; 32];
        let count = output.read(&mut text).await.expect("the id");
        let id: i32 = String::from_utf8_lossy(&text[..count])
            .trim()
            .parse()
            .expect("an id");
        let status = process.end().await;
        assert_eq!(describe(&status), "signal 15");
        let child = std::path::PathBuf::from(format!("/proc/{id}/stat"));
        let is_gone = || std::fs::read_to_string(&child).map_or(true, |stat| stat.contains(") Z"));
        for _ in 0..100 {
            if is_gone() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the child runs on");
    }
}
