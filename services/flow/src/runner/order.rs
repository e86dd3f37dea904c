//! What operators order: to kill jobs, and to ask for their status.

use std::io::{self, Write};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

use crate::state::Flag;
use crate::template::{Flavor, Variables, command};

use super::files::{JobFiles, create_private};
use super::wrapper::{failure, set_environment};

/// How long a command may take.
const COMMAND_TIME: Duration = Duration::from_secs(60);
/// How much of its output is kept, in bytes.
const KEPT_OUTPUT: u64 = 64 << 10;

/// What to do with a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OrderKind {
    Kill,
    Status,
}

impl OrderKind {
    /// The flag of a task for which the command has failed.
    pub(super) fn flag(self) -> Flag {
        match self {
            Self::Kill => Flag::KillCommandFailed,
            Self::Status => Flag::StatusCommandFailed,
        }
    }

    fn ending(self) -> &'static str {
        match self {
            Self::Kill => ".kill",
            Self::Status => ".stat",
        }
    }

    /// The command, its language, and the name of the variable that it is from.
    fn command(self, variables: &Variables) -> (Flavor, &'static str, &str) {
        let ecflow = |name| {
            (
                Flavor::Ecflow,
                name,
                variables.get(name).unwrap_or_default(),
            )
        };
        match (self, variables.is_takler()) {
            (Self::Kill, true) => {
                let name = "TAKLER_SHELL_KILL_CMD";
                let default = "kill -15 {{TAKLER_RID}}";
                (Flavor::Takler, name, variables.get(name).unwrap_or(default))
            }
            (Self::Kill, false) => ecflow("ECF_KILL_CMD"),
            (Self::Status, _) => ecflow("ECF_STATUS_CMD"),
        }
    }
}

/// Whether the id of a job may stand in a command. Whoever reaches the server can send one, also
/// without the password of a job, so it has to be neither an option nor more than a word.
pub(super) fn is_safe_rid(rid: &str) -> bool {
    let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:@,/+=[]-".contains(&byte);
    rid.starts_with(|first: char| first.is_ascii_alphanumeric()) && rid.bytes().all(is_safe)
}

/// Runs the command for a job with an id. Its output goes to a file beside the job.
///
/// # Errors
///
/// Why it has failed.
pub(super) async fn run(
    kind: OrderKind,
    variables: &Variables,
    programs: Option<&Path>,
) -> Result<(), String> {
    let (flavor, name, text) = kind.command(variables);
    let command = command(flavor, name, text, variables).map_err(|error| error.to_string())?;
    let mut process = Command::new("/bin/sh");
    process
        .args(["-c", &command])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    set_environment(&mut process, variables, programs);
    let mut child = process.spawn().map_err(|error| error.to_string())?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let result = tokio::time::timeout(COMMAND_TIME, async {
        let (stdout, stderr) = tokio::join!(read_output(stdout), read_output(stderr));
        child.wait().await.map(|status| (status, stdout, stderr))
    });
    let (status, stdout, stderr) = match result.await {
        Ok(Ok(ended)) => ended,
        Ok(Err(error)) => return Err(error.to_string()),
        Err(_) => return Err(format!("{name} took longer than {COMMAND_TIME:?}")),
    };
    let files = JobFiles::new(variables, "");
    let has_output = !(stdout.is_empty() && stderr.is_empty());
    // A zombie may be of a task that is gone.
    if has_output && !files.job.as_os_str().is_empty() {
        let path = files.beside(kind.ending());
        let write = || -> io::Result<()> {
            let mut file = create_private(&path)?;
            file.write_all(&stdout)?;
            file.write_all(&stderr)
        };
        write().map_err(|error| format!("{}: {error}", path.display()))?;
    }
    match failure(status) {
        Some(failure) => Err(format!("{name} {failure} [ {command} ]")),
        None => Ok(()),
    }
}

/// The first part of an output. All of it is read, so that the command does not stop.
async fn read_output(output: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut kept = Vec::new();
    if let Some(mut output) = output {
        // An output that can't be read ends here; the status of the command counts.
        let _ = (&mut output).take(KEPT_OUTPUT).read_to_end(&mut kept).await;
        let _ = tokio::io::copy(&mut output, &mut tokio::io::sink()).await;
    }
    kept
}
