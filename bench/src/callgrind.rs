//! Counts what a process executes, by valgrind's tool callgrind.

use std::{
    fs,
    ops::Sub,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use serde::Serialize;

/// The counted events, as callgrind names them in its file.
const EVENTS: &str = "events: Ir Ge sysCount sysTime";

/// What a process has executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct EventCounts {
    /// In user space.
    pub(crate) instructions: u64,
    /// Instructions with a `lock` prefix, and `xchg` with memory, which locks without one.
    pub(crate) locked_instructions: u64,
    /// Without reads of the clock.
    pub(crate) system_calls: u64,
    /// Valgrind makes them system calls. Without valgrind, a clock read is no system call.
    pub(crate) clock_reads: u64,
}

impl EventCounts {
    /// Reads the totals of a file that callgrind has written.
    fn parse(profile: &str) -> Result<Self> {
        ensure!(
            profile.lines().any(|line| line == EVENTS),
            "the file does not count \"{EVENTS}\""
        );
        let totals = profile
            .lines()
            .find_map(|line| line.strip_prefix("totals: "))
            .context("the file has no totals")?;
        let mut totals = totals.split(' ').map(str::parse);
        let mut next = || totals.next().context("the totals are incomplete");
        let (instructions, locked_instructions, system_calls) = (next()??, next()??, next()??);
        let clock_reads = clock_reads(profile);
        Ok(Self {
            instructions,
            locked_instructions,
            system_calls: u64::saturating_sub(system_calls, clock_reads),
            clock_reads,
        })
    }
}

/// The system calls that the function `clock_gettime` itself makes.
///
/// A line `fn=(ID) NAME` begins the costs of a function; the name is left out where the id is
/// known. A line of costs has a position and the numbers of [`EVENTS`], without zeros at the end.
/// The costs after a line `calls=` are those of the called function.
fn clock_reads(profile: &str) -> u64 {
    let mut ids = Vec::new();
    let mut is_clock = false;
    let mut reads = 0;
    let is_position = |first: char| first.is_ascii_digit() || ['+', '-', '*'].contains(&first);
    let mut lines = profile.lines();
    while let Some(line) = lines.next() {
        if let Some((kind @ ("fn" | "cfn"), function)) = line.split_once('=') {
            let (id, name) = function.split_once(' ').unwrap_or((function, ""));
            if name.starts_with("clock_gettime") {
                ids.push(id);
            }
            if kind == "fn" {
                is_clock = ids.contains(&id);
            }
        } else if line.starts_with("calls=") {
            lines.next();
        } else if is_clock && line.starts_with(is_position) {
            let system_calls = line.split(' ').nth(3).and_then(|count| count.parse().ok());
            reads += system_calls.unwrap_or(0);
        }
    }
    reads
}

impl Sub for EventCounts {
    type Output = Self;

    /// Zero where `other` has more.
    fn sub(self, other: Self) -> Self {
        Self {
            instructions: self.instructions.saturating_sub(other.instructions),
            locked_instructions: (self.locked_instructions)
                .saturating_sub(other.locked_instructions),
            system_calls: self.system_calls.saturating_sub(other.system_calls),
            clock_reads: self.clock_reads.saturating_sub(other.clock_reads),
        }
    }
}

/// The file that callgrind writes when a process ends.
pub(crate) struct Profile {
    file: PathBuf,
}

impl Profile {
    /// Removes an older file of this path.
    pub(crate) fn new(folder: &Path, name: &str) -> Self {
        let file = folder.join(format!("callgrind.out.{name}"));
        // Fails where there is no such file.
        let _ = fs::remove_file(&file);
        Self { file }
    }

    /// The command that runs `command` under callgrind, which writes to this file.
    pub(crate) fn of(&self, command: &Command) -> Command {
        let mut out = std::ffi::OsString::from("--callgrind-out-file=");
        out.push(&self.file);
        let mut under = Command::new("/usr/bin/valgrind");
        under
            .args(["--quiet", "--tool=callgrind"])
            .args(["--collect-bus=yes", "--collect-systime=yes"])
            .arg(out)
            .arg(command.get_program())
            .args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => under.env(name, value),
                None => under.env_remove(name),
            };
        }
        under
    }

    /// Reads the file, after the process has ended.
    ///
    /// # Errors
    /// The file is missing or incomplete: the process was killed, or valgrind failed.
    pub(crate) fn read(&self) -> Result<EventCounts> {
        fs::read(&self.file)
            .map_err(anyhow::Error::new)
            .and_then(|text| EventCounts::parse(&String::from_utf8_lossy(&text)))
            .with_context(|| format!("callgrind's file {}", self.file.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROFILE: &str = "# callgrind format\nversion: 1\n\
        events: Ir Ge sysCount sysTime\nsummary: 125060 21 58 147\n\n\
        fn=(1) main\n1 100 20 15 147\ncfn=(2) clock_gettime@@GLIBC_2.17\ncalls=2 3\n\
        * 125000 0 42\n\nfn=(2)\n38 60\n* 0 0 40\n+1 0 0 2\n\nfn=(1)\n* 0 0 3\n\n\
        totals: 125059 20 60 147\n";

    #[test]
    fn totals_of_a_profile() {
        let counts = EventCounts::parse(PROFILE).unwrap();
        assert_eq!(counts.instructions, 125_059);
        assert_eq!(counts.locked_instructions, 20);
        assert_eq!(counts.system_calls, 18);
        assert_eq!(counts.clock_reads, 42);
    }

    #[test]
    fn a_profile_without_totals_or_with_other_events_is_an_error() {
        let cut = &PROFILE[..PROFILE.find("totals").unwrap()];
        assert!(EventCounts::parse(cut).is_err());
        assert!(EventCounts::parse(&PROFILE.replace(" Ge", "")).is_err());
        assert!(EventCounts::parse("").is_err());
    }
}
