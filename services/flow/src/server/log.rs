//! The log file, in ecFlow's format.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use crate::calendar::{Date, Moment};

/// The most bytes of the log that one answer holds.
const MAX_READ: u64 = 512 * 1024;

/// The kind of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A command.
    Message,
    /// A state that a node has taken.
    Log,
    /// What an operator should look at.
    Warning,
    /// What has failed.
    Error,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Message => "MSG",
            Self::Log => "LOG",
            Self::Warning => "WAR",
            Self::Error => "ERR",
        }
    }
}

/// The log of a server. What can't be written is lost: the server goes on.
#[derive(Debug)]
pub(crate) struct Log(Mutex<LogFile>);

#[derive(Debug)]
struct LogFile {
    path: PathBuf,
    file: BufWriter<File>,
    has_failed: bool,
}

impl Log {
    /// Opens a log to add to it. Others can't read it: it names who does what.
    pub(super) fn open(path: PathBuf) -> io::Result<Self> {
        let file = BufWriter::new(append(&path)?);
        Ok(Self(Mutex::new(LogFile {
            path,
            file,
            has_failed: false,
        })))
    }

    /// Adds a line. It reaches the file with the next [`Log::flush`].
    pub(super) fn add(&self, kind: Kind, moment: Moment, text: &str) {
        let mut log = self.0.lock();
        let date = Date::from_days(moment.local().div_euclid(86_400));
        let second = moment.local().rem_euclid(86_400);
        let (year, month, day) = date.civil();
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        // A line is a line, whatever a client has sent.
        let text = text.replace(['\n', '\r'], " ");
        let word = kind.word();
        let written = writeln!(
            log.file,
            "{word}:[{hour:02}:{minute:02}:{second:02} {day}.{month}.{year}] {text}"
        );
        log.note(written);
    }

    pub(super) fn flush(&self) {
        let mut log = self.0.lock();
        let written = log.file.flush();
        log.note(written);
    }

    pub(super) fn path(&self) -> PathBuf {
        self.0.lock().path.clone()
    }

    /// Empties the log.
    pub(super) fn clear(&self) -> io::Result<()> {
        let mut log = self.0.lock();
        log.file.flush()?;
        log.file.get_ref().set_len(0)
    }

    /// Goes on in another file; in the same path anew if there is none given, which is for logs
    /// that were moved away.
    pub(super) fn replace(&self, path: Option<&Path>) -> io::Result<()> {
        let mut log = self.0.lock();
        // The old file may be the one that can't be written.
        let _ = log.file.flush();
        let path = path.map_or_else(|| log.path.clone(), Path::to_owned);
        let file = append(&path)?;
        *log = LogFile {
            path,
            file: BufWriter::new(file),
            has_failed: false,
        };
        Ok(())
    }

    /// The last lines, of the last 512 KiB.
    pub(super) fn last_lines(&self, count: usize) -> io::Result<String> {
        self.flush();
        let mut file = File::open(self.path())?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(MAX_READ)))?;
        let mut bytes = Vec::new();
        file.take(MAX_READ).read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes);
        let mut lines: Vec<_> = text.lines().collect();
        if length > MAX_READ && lines.len() > 1 {
            // Its beginning is missing.
            lines.remove(0);
        }
        let kept = lines.split_off(lines.len().saturating_sub(count));
        Ok(kept.iter().flat_map(|line| [line, "\n"]).collect())
    }
}

impl LogFile {
    fn note(&mut self, written: io::Result<()>) {
        match written {
            Ok(()) => self.has_failed = false,
            Err(error) => {
                if !std::mem::replace(&mut self.has_failed, true) {
                    tracing::error!("can't write the log {}: {error}", self.path.display());
                }
            }
        }
    }
}

fn append(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o600).open(path)
}
