//! Back ends outside this repository: programs that turn a model into files.
//!
//! A plugin reads the JSON of `tce describe --format json` from its standard input, writes
//! `{"files": [{"path": …, "contents": …}]}` to its standard output, and its complaints to
//! standard error, which is that of `tce`.

use std::{
    ffi::OsString,
    fmt,
    io::{ErrorKind, Read, Write},
    path::{Component, Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio},
    str::FromStr,
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Map, Value};
use tce_codegen::GeneratedFile;

/// What the name of a plugin's program starts with.
const PREFIX: &str = "tce-gen-";

/// The most bytes that a plugin may print.
const MAX_OUTPUT_BYTES: u64 = 64 << 20;

/// Between two looks whether a plugin that has printed everything has ended.
const EXIT_CHECK_INTERVAL: Duration = Duration::from_millis(5);

/// What a plugin has to print.
const FORMAT: &str = r#"a plugin prints {"files": [{"path": "shop.go", "contents": "…"}]} and nothing else; its messages belong on standard error"#;

/// A plugin as named on the command line or in a tce.toml.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plugin {
    given: String,
    program: OsString,
}

impl FromStr for Plugin {
    type Err = String;

    /// `NAME` and `tce-gen-NAME` are the program `tce-gen-NAME` of `PATH`; text with a separator
    /// of paths is the path of a program.
    fn from_str(given: &str) -> Result<Self, String> {
        let name = given.strip_prefix(PREFIX).unwrap_or(given);
        let is_path = given.contains(std::path::is_separator);
        let is_name_char = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if !is_path && (name.is_empty() || !name.chars().all(is_name_char)) {
            return Err(format!(
                "a plugin is a NAME, whose program `{PREFIX}NAME` is in PATH, or the path of a \
                 program, such as `./{PREFIX}go`"
            ));
        }
        let program = if is_path {
            given.into()
        } else {
            format!("{PREFIX}{name}").into()
        };
        Ok(Self {
            given: given.to_owned(),
            program,
        })
    }
}

/// As it was named.
impl fmt::Display for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.given)
    }
}

/// Why a plugin gives no files. The text has the repair.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PluginError {
    #[error(
        "there is no program `{program}`: install it in a folder of PATH, or name its path, such \
         as `--plugin ./{program}`"
    )]
    NotInPath { program: String },
    #[error("there is no file `{program}`: `--plugin` names the path of a program")]
    NoFile { program: String },
    #[error("can't run the plugin `{program}`: {why}{}", advice(.why))]
    Start {
        program: String,
        why: std::io::Error,
    },
    #[error("the plugin `{program}` failed with {status}; nothing was written")]
    Failed { program: String, status: ExitStatus },
    #[error(
        "the plugin `{program}` did not end within {} and was killed: repair it, or raise \
         --plugin-timeout; nothing was written",
        humantime::format_duration(*limit)
    )]
    Timeout { program: String, limit: Duration },
    #[error(
        "the plugin `{program}` printed more than {} MiB and was killed; nothing was written",
        MAX_OUTPUT_BYTES >> 20
    )]
    TooLong { program: String },
    #[error("the plugin `{program}` printed no files: {why}; {FORMAT}")]
    Output { program: String, why: String },
    #[error(
        "the plugin `{program}` gives a file the path `{path}`, {why}; it has to be a path below \
         the output folder, such as `shop.go` or `shop/types.go`"
    )]
    Path {
        program: String,
        path: String,
        why: &'static str,
    },
}

/// What to do about a program that does not start.
fn advice(why: &std::io::Error) -> &'static str {
    match why.kind() {
        ErrorKind::PermissionDenied => " (is it executable? `chmod +x` makes it so)",
        // A script whose first line is missing.
        _ if why.raw_os_error() == Some(8) => " (a script starts with a line `#!/usr/bin/env …`)",
        _ => "",
    }
}

impl PluginError {
    /// Whether the command line names a program that does not exist.
    pub(crate) fn is_usage(&self) -> bool {
        matches!(self, Self::NotInPath { .. } | Self::NoFile { .. })
    }
}

impl Plugin {
    fn program(&self) -> String {
        self.program.to_string_lossy().into_owned()
    }

    /// Runs the program with the model on its standard input, for at most `limit`, and returns the
    /// files that it gives.
    pub(crate) fn generate(
        &self,
        model: &str,
        limit: Duration,
    ) -> Result<Vec<GeneratedFile>, PluginError> {
        let child = Command::new(&self.program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|why| self.not_started(why))?;
        let mut running = RunningPlugin(child);
        let output = self.output(&mut running.0, model.to_owned(), limit)?;
        self.files(&output)
    }

    fn not_started(&self, why: std::io::Error) -> PluginError {
        let program = self.program();
        match why.kind() {
            ErrorKind::NotFound if !program.contains(std::path::is_separator) => {
                PluginError::NotInPath { program }
            }
            // A script is "not found" as well if its interpreter is missing.
            ErrorKind::NotFound if !Path::new(&program).exists() => PluginError::NoFile { program },
            _ => PluginError::Start { program, why },
        }
    }

    /// What the program prints, once it has ended.
    fn output(
        &self,
        child: &mut Child,
        model: String,
        limit: Duration,
    ) -> Result<Vec<u8>, PluginError> {
        let deadline = Instant::now() + limit;
        let timeout = || PluginError::Timeout {
            program: self.program(),
            limit,
        };
        let failed = |why| PluginError::Start {
            program: self.program(),
            why,
        };
        if let Some(stdin) = child.stdin.take() {
            thread::spawn(move || give_model(stdin, &model));
        }
        let (sender, printed) = mpsc::sync_channel(1);
        if let Some(stdout) = child.stdout.take() {
            // Not joined: a process that the plugin has started may keep the pipe open.
            thread::spawn(move || sender.send(read_output(stdout)));
        }
        let output = match printed.recv_timeout(limit) {
            Ok(output) => output.map_err(failed)?,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                return Err(timeout());
            }
        };
        if output.len() as u64 > MAX_OUTPUT_BYTES {
            return Err(PluginError::TooLong {
                program: self.program(),
            });
        }
        loop {
            match child.try_wait().map_err(failed)? {
                Some(status) if status.success() => return Ok(output),
                Some(status) => {
                    return Err(PluginError::Failed {
                        program: self.program(),
                        status,
                    });
                }
                None if Instant::now() >= deadline => return Err(timeout()),
                None => thread::sleep(EXIT_CHECK_INTERVAL),
            }
        }
    }

    /// The files of the program's output.
    fn files(&self, output: &[u8]) -> Result<Vec<GeneratedFile>, PluginError> {
        let wrong = |why: String| PluginError::Output {
            program: self.program(),
            why,
        };
        if output.trim_ascii().is_empty() {
            return Err(wrong("its output is empty".to_owned()));
        }
        let value: Value = serde_json::from_slice(output)
            .map_err(|error| wrong(format!("its output is no JSON, {error}")))?;
        let Value::Object(mut answer) = value else {
            return Err(wrong("its output is no JSON object".to_owned()));
        };
        let Some(Value::Array(listed)) = answer.remove("files") else {
            return Err(wrong("`files` is no list".to_owned()));
        };
        if let Some(key) = answer.keys().next() {
            return Err(wrong(format!("`{key}` is unknown")));
        }
        let mut files: Vec<GeneratedFile> = Vec::with_capacity(listed.len());
        for (at, value) in listed.into_iter().enumerate() {
            let file = file_of(value).map_err(|why| wrong(format!("`files[{at}]` {why}")))?;
            if let Err(why) = check_path(&file.path) {
                return Err(PluginError::Path {
                    program: self.program(),
                    path: file.path.display().to_string(),
                    why,
                });
            }
            files.push(file);
        }
        Ok(files)
    }
}

/// A plugin that is killed, if it still runs, when its output is no longer waited for.
struct RunningPlugin(Child);

impl Drop for RunningPlugin {
    fn drop(&mut self) {
        // Both fail if it has ended, which is as well.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Writes the model. A plugin that does not read all of it is no error.
fn give_model(mut stdin: ChildStdin, model: &str) {
    let _ = stdin.write_all(model.as_bytes());
}

/// Reads what a plugin prints, and one byte more than it may print at most.
fn read_output(stdout: ChildStdout) -> std::io::Result<Vec<u8>> {
    let mut output = Vec::new();
    stdout
        .take(MAX_OUTPUT_BYTES + 1)
        .read_to_end(&mut output)
        .map(|_| output)
}

/// A file of the list, or why it is none.
fn file_of(value: Value) -> Result<GeneratedFile, String> {
    let Value::Object(mut file) = value else {
        return Err("is no object".to_owned());
    };
    let path = string(&mut file, "path")?;
    let contents = string(&mut file, "contents")?;
    match file.keys().next() {
        Some(key) => Err(format!("has an unknown `{key}`")),
        None => Ok(GeneratedFile {
            path: PathBuf::from(path),
            contents,
        }),
    }
}

fn string(file: &mut Map<String, Value>, key: &str) -> Result<String, String> {
    match file.remove(key) {
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(format!("has a `{key}` that is no string")),
        None => Err(format!("has no `{key}`")),
    }
}

/// Why a file can't have this path. Paths are the same on all systems, so that a plugin that works
/// on one of them works on the others.
fn check_path(path: &Path) -> Result<(), &'static str> {
    let text = path.to_string_lossy();
    if text.is_empty() {
        return Err("which is empty");
    }
    if text.contains(['\\', ':']) || text.chars().any(char::is_control) {
        return Err("which has a character that paths can't have on every system");
    }
    if text.ends_with('/') {
        return Err("which is a folder");
    }
    let is_below = path
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    if is_below {
        Ok(())
    } else {
        Err("which starts at a root or has a part `.` or `..`")
    }
}
