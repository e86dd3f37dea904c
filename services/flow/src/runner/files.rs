//! The files of a job.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Error, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::template::{JobPaths, Loader, MAX_SIZE, Variables};

/// How much of the output of a command is kept, in bytes: its end.
const KEPT_OUTPUT: u64 = 64 << 10;

/// Reads scripts and what they include.
#[derive(Debug, Clone, Copy, Default)]
pub struct FileLoader;

impl Loader for FileLoader {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        // A pipe or a device would keep the reader for ever.
        if !fs::metadata(path)?.is_file() {
            return Err(Error::new(ErrorKind::InvalidInput, "not a regular file"));
        }
        let mut text = Vec::new();
        let limit = MAX_SIZE as u64 + 1;
        File::open(path)?.take(limit).read_to_end(&mut text)?;
        if text.len() > MAX_SIZE {
            let reason = format!("longer than {MAX_SIZE} bytes");
            return Err(Error::new(ErrorKind::FileTooLarge, reason));
        }
        Ok(text)
    }
}

/// What the files of a job say about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trace {
    /// Nothing: it has not started.
    None,
    /// It has started, as this process.
    Started(u32),
    /// It has ended: the process, and the status of the command.
    Ended(u32, i32),
}

/// The files of one try.
#[derive(Debug, Clone)]
pub(super) struct JobFiles {
    /// The job itself. The names of the other files begin with its name.
    pub(super) job: PathBuf,
    /// Where the output of the job goes.
    output: PathBuf,
    /// What the marks name the job by: a hash of its password.
    pub(super) token: String,
}

impl JobFiles {
    /// The files of a job that sees these variables.
    pub(super) fn new(variables: &Variables, password: &str) -> Self {
        let JobPaths { job, output } = JobPaths::of(variables);
        let digest = Sha256::digest(password.as_bytes());
        let token = digest.iter().take(12).map(|byte| format!("{byte:02x}"));
        Self {
            job,
            output,
            token: token.collect(),
        }
    }

    /// The file beside the job with this ending.
    pub(super) fn beside(&self, ending: &str) -> PathBuf {
        let mut path = self.job.clone().into_os_string();
        path.push(ending);
        path.into()
    }

    /// Makes the folders of the job and of its output.
    pub(super) fn make_folders(&self) -> io::Result<()> {
        for path in [&self.job, &self.output] {
            if let Some(folder) = path.parent() {
                DirBuilder::new()
                    .recursive(true)
                    .mode(0o700)
                    .create(folder)?;
            }
        }
        Ok(())
    }

    /// Writes the job in place of an older one, which may still run: that one keeps its file.
    pub(super) fn write_job(&self, text: &[u8]) -> io::Result<()> {
        let new = self.beside(".new");
        remove(&new)?;
        let mut options = OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o700)
            .open(&new)?;
        file.write_all(text)?;
        drop(file);
        fs::rename(&new, &self.job)
    }

    /// What the marks say about this job. Marks of an earlier one say nothing.
    pub(super) fn trace(&self) -> io::Result<Trace> {
        let Some(pid) = self.read_mark(".pid")? else {
            return Ok(Trace::None);
        };
        let status = self.read_mark(".exit")?;
        Ok(status.map_or(Trace::Started(pid), |status| Trace::Ended(pid, status)))
    }

    /// Whether there is a mark that is not written to its end yet.
    pub(super) fn has_open_mark(&self) -> bool {
        fs::metadata(self.beside(".pid")).is_ok_and(|mark| mark.len() == 0)
    }

    fn read_mark<T: std::str::FromStr>(&self, ending: &str) -> io::Result<Option<T>> {
        let text = match fs::read_to_string(self.beside(ending)) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let own = text.strip_suffix('\n').and_then(|text| {
            let (value, token) = text.split_once(' ')?;
            (token == self.token).then(|| value.parse().ok())?
        });
        Ok(own)
    }

    /// Removes the mark of an earlier job, and no other: a wrapper of this job, which a server
    /// before this one has started, may be about to create its own, and can do so only when there
    /// is none.
    pub(super) fn remove_old_mark(&self) -> io::Result<()> {
        let mark = self.beside(".pid");
        match fs::metadata(&mark) {
            Ok(_) if self.trace()? == Trace::None => remove(&mark),
            _ => Ok(()),
        }
    }

    /// Where the output of the job's command goes.
    pub(super) fn create_command_output(&self) -> io::Result<File> {
        create_private(&self.beside(".cmd"))
    }

    /// Cuts the output of the job's command, and gives its last line.
    pub(super) fn finish_command_output(&self) -> io::Result<String> {
        let path = self.beside(".cmd");
        let mut file = OpenOptions::new().read(true).write(true).open(&path)?;
        let length = file.metadata()?.len();
        if length == 0 {
            fs::remove_file(&path)?;
            return Ok(String::new());
        }
        file.seek(SeekFrom::Start(length.saturating_sub(KEPT_OUTPUT)))?;
        let mut kept = Vec::new();
        (&file).take(KEPT_OUTPUT).read_to_end(&mut kept)?;
        if length > KEPT_OUTPUT {
            file.rewind()?;
            file.write_all(&kept)?;
            file.set_len(kept.len() as u64)?;
        }
        Ok(last_line(&kept))
    }
}

/// Creates an empty file that only its owner can read.
pub(super) fn create_private(path: &Path) -> io::Result<File> {
    remove(path)?;
    let mut options = OpenOptions::new();
    options.append(true).create_new(true).mode(0o600).open(path)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The last line with text in it, up to 200 characters.
fn last_line(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let line = text.lines().rev().find(|line| !line.trim().is_empty());
    line.unwrap_or_default().trim().chars().take(200).collect()
}
