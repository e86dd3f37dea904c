//! The processes of a job: the wrapper and what runs below it.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use std::os::unix::process::ExitStatusExt;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process};
use tokio::process::{Child, Command};
use tokio::time::Instant;

use crate::template::Variables;

use super::files::JobFiles;

/// How long a process may take to make its process group.
const GROUP_TIME: Duration = Duration::from_secs(5);

/// The status of a wrapper that could not create its mark, and has run nothing.
pub(super) const NO_MARK: i32 = 125;

/// Runs the command `$3` of the job `$1`, which the marks name `$2`.
///
/// `$$` in the subshell is the process of the wrapper. The mark of the start is created exclusively,
/// or the command does not run. A signal to the session ends the command, not the wrapper, which
/// has its status to write. Another job may have taken the place of this one meanwhile: then the
/// marks are that one's.
const WRAPPER: &str = r#"
(umask 077; set -C; echo "$$ $2" > "$1.pid") || exit 125
trap : HUP INT QUIT TERM
/bin/sh -c "$3"
status=$?
read -r mark < "$1.pid"
if [ "$mark" = "$$ $2" ]; then umask 077; echo "$status $2" > "$1.exit"; fi
exit "$status"
"#;

/// What a job finds in its environment, if it has such variables: both clients read them, so that
/// a script that exports no password is accepted all the same.
const ENVIRONMENT: [&str; 10] = [
    "ECF_HOST",
    "ECF_PORT",
    "ECF_NAME",
    "ECF_PASS",
    "ECF_TRYNO",
    "TAKLER_HOST",
    "TAKLER_PORT",
    "TAKLER_NAME",
    "TAKLER_PASS",
    "TAKLER_TRY_NO",
];

/// Starts the wrapper of a job.
pub(super) fn spawn(
    files: &JobFiles,
    command: &str,
    variables: &Variables,
    programs: Option<&Path>,
) -> io::Result<Child> {
    let output = files.create_command_output()?;
    // A session of its own needs `setsid`; a system without it has process groups.
    let is_setsid = has_setsid();
    let mut process = if is_setsid {
        let mut process = Command::new("setsid");
        process.arg("/bin/sh");
        process
    } else {
        let mut process = Command::new("/bin/sh");
        process.process_group(0);
        process
    };
    process
        .args(["-c", WRAPPER, "sh"])
        .arg(&files.job)
        .args([&files.token, command])
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output);
    set_environment(&mut process, variables, programs);
    process.spawn()
}

fn has_setsid() -> bool {
    static FOUND: std::sync::LazyLock<bool> = std::sync::LazyLock::new(|| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|folder| folder.join("setsid").is_file())
    });
    *FOUND
}

/// Gives a process the variables of a task, and the folder of our programs first in its PATH.
pub(super) fn set_environment(
    process: &mut Command,
    variables: &Variables,
    programs: Option<&Path>,
) {
    for name in ENVIRONMENT {
        if let Some(value) = variables.get(name) {
            process.env(name, value);
        }
    }
    // Those of a job that has started the server.
    process.env_remove("ECF_RID").env_remove("TAKLER_RID");
    if let Some(programs) = programs {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = [programs.to_owned()];
        let folders = folders.into_iter().chain(std::env::split_paths(&path));
        if let Ok(path) = std::env::join_paths(folders) {
            process.env("PATH", path);
        }
    }
}

/// Whether a process is the wrapper of a job: ids of processes come again.
pub(super) fn is_alive(pid: u32, token: &str) -> bool {
    match fs::read(format!("/proc/{pid}/cmdline")) {
        Ok(arguments) => arguments
            .split(|byte| *byte == 0)
            .any(|argument| argument == token.as_bytes()),
        Err(_) if Path::new("/proc/self").exists() => false,
        Err(_) => process_id(pid).is_some_and(|pid| test_kill_process(pid).is_ok()),
    }
}

/// Ends the command of a job, and all that it has started in its process group.
pub(super) async fn terminate(pid: u32, token: &str) -> io::Result<()> {
    let deadline = Instant::now() + GROUP_TIME;
    loop {
        let group = process_id(pid).filter(|_| is_alive(pid, token));
        let group = group.ok_or(io::ErrorKind::NotFound)?;
        match kill_process_group(group, Signal::TERM) {
            // The process has not made its group yet.
            Err(Errno::SRCH) if Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            result => return Ok(result?),
        }
    }
}

fn process_id(pid: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(pid).ok()?)
}

/// How a command has ended, as ecFlow says it; `None` if well.
pub(super) fn failure(status: ExitStatus) -> Option<String> {
    match (status.code(), status.signal()) {
        (Some(code), _) => failure_of_code(code),
        (None, Some(signal)) => Some(format!("died of signal {signal}")),
        (None, None) => Some("ended with an unknown status".to_owned()),
    }
}

/// The same for the status that a shell gives, which is 128 more than a signal.
pub(super) fn failure_of_code(code: i32) -> Option<String> {
    match code {
        0 => None,
        129..=192 => Some(format!("died of signal {}", code - 128)),
        _ => Some(format!("exited with status {code}")),
    }
}
