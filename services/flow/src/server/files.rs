//! The files of a task: its script, and what its jobs leave.

use std::fs::File;
use std::io::{Error, ErrorKind, Read, Result, Seek, SeekFrom};
use std::path::PathBuf;

use crate::runner::FileLoader;
use crate::template::{JobPaths, Script, Variables};

/// The most bytes of one answer: the end of the file.
const MAX_READ: u64 = 512 * 1024;
/// The lines that are given if no number is.
const DEFAULT_LINES: usize = 10_000;

/// A file of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TaskFile {
    Script,
    Job,
    Output,
    Manual,
    Kill,
    Status,
}

impl TaskFile {
    pub(super) fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "script" => Self::Script,
            "job" => Self::Job,
            "" | "jobout" => Self::Output,
            "manual" => Self::Manual,
            "kill" => Self::Kill,
            "stat" => Self::Status,
            _ => return None,
        })
    }

    /// Its last lines. The password of the job is not in them.
    pub(super) fn read(self, variables: &Variables, lines: i32) -> Result<String> {
        let text = match self {
            Self::Script => script(variables)?.text,
            Self::Manual => {
                let script = script(variables)?;
                let manual = script.manual(variables, &FileLoader);
                manual.map_err(|error| Error::other(error.to_string()))?
            }
            Self::Job => end_of(&job(variables, ""))?,
            Self::Output => end_of(&output(variables))?,
            Self::Kill => end_of(&job(variables, ".kill"))?,
            Self::Status => end_of(&job(variables, ".stat"))?,
        };
        let text = String::from_utf8_lossy(&text).into_owned();
        let text = match variables.get("ECF_PASS") {
            Some(password) if !password.is_empty() => text.replace(password, "*"),
            _ => text,
        };
        let lines = usize::try_from(lines).ok().filter(|lines| *lines > 0);
        Ok(last_lines(&text, lines.unwrap_or(DEFAULT_LINES)))
    }
}

/// The script as an operator edits it; with its includes in their places if `preprocessed`.
pub(super) fn editable(variables: &Variables, preprocessed: bool) -> Result<String> {
    let script = script(variables)?;
    let text = if preprocessed {
        let text = script.preprocessed(variables, &FileLoader);
        text.map_err(|error| Error::other(error.to_string()))?
    } else {
        script.text
    };
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn script(variables: &Variables) -> Result<Script> {
    Script::find(variables, &FileLoader).map_err(|error| Error::other(error.to_string()))
}

/// The job, or the file beside it with an ending.
fn job(variables: &Variables, ending: &str) -> PathBuf {
    let mut path = JobPaths::of(variables).job.into_os_string();
    path.push(ending);
    path.into()
}

fn output(variables: &Variables) -> PathBuf {
    JobPaths::of(variables).output
}

fn end_of(path: &PathBuf) -> Result<Vec<u8>> {
    let named = |error: Error| Error::new(error.kind(), format!("{}: {error}", path.display()));
    // A pipe or a device would keep the reader for ever.
    if !std::fs::metadata(path).map_err(named)?.is_file() {
        return Err(named(Error::new(
            ErrorKind::InvalidInput,
            "not a regular file",
        )));
    }
    let mut file = File::open(path).map_err(named)?;
    let length = file.metadata().map_err(named)?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(MAX_READ)))
        .map_err(named)?;
    let mut bytes = Vec::new();
    file.take(MAX_READ).read_to_end(&mut bytes).map_err(named)?;
    Ok(bytes)
}

fn last_lines(text: &str, count: usize) -> String {
    let starts = text.match_indices('\n').map(|(at, _)| at + 1);
    let starts: Vec<_> = std::iter::once(0)
        .chain(starts.filter(|start| *start < text.len()))
        .collect();
    let start = starts[starts.len().saturating_sub(count)..].first();
    text[start.copied().unwrap_or(text.len())..].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_keep_their_ends() {
        assert_eq!(last_lines("a\nb\nc\n", 2), "b\nc\n");
        assert_eq!(last_lines("a\nb", 1), "b");
        assert_eq!(last_lines("a\nb", 9), "a\nb");
        assert_eq!(last_lines("", 9), "");
    }
}
