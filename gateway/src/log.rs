//! The log, on standard error.
//!
//! A thread of its own writes it: a terminal, pipe or disk that accepts no more
//! bytes must not stop the thread that serves clients.

use std::{fmt, io, str::FromStr, sync::OnceLock};

use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{
    EnvFilter,
    filter::LevelFilter,
    util::{SubscriberInitExt, TryInitError},
};

use crate::terminal::takes_escapes;
/// The lines that may wait to be written. Further ones are dropped, and counted
/// in the metric `tce_gateway_log_lines_dropped_total`.
const MAX_WAITING: usize = 16_384;

static DROPPED: OnceLock<ErrorCounter> = OnceLock::new();

/// The number of lines that were dropped because too many waited to be written.
pub(crate) fn dropped_lines() -> u64 {
    DROPPED
        .get()
        .map_or(0, |dropped| dropped.dropped_lines() as u64)
}

/// Writes the lines that wait when it is dropped: keep it until the program ends.
#[must_use = "lines are not written once it is dropped"]
#[derive(Debug)]
pub struct LogGuard {
    _writer: WorkerGuard,
}

/// The default filter.
pub const DEFAULT_FILTER: &str = "info";

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// Readable text.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// The text names no log format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown log format `{0}`; write text or json")]
pub struct UnknownFormat(String);

impl FromStr for LogFormat {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(UnknownFormat(name.to_owned())),
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

/// Why the log can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The text is neither a level nor a filter.
    #[error(
        "`{0}` is neither a level (error, warn, info, debug, trace) nor a filter such as `info,tce_runtime=warn`"
    )]
    InvalidFilter(String),
    /// The program has set up a log.
    #[error("the log is already set up: {0}")]
    AlreadySet(#[from] TryInitError),
}

/// Sets up the log. `filter` is a level, or a filter such as
/// `info,tce_runtime=warn`.
///
/// # Errors
/// The filter is invalid, or the program has set up a log.
pub fn init(filter: &str, format: LogFormat) -> Result<LogGuard, LogError> {
    let filter = parse(filter).ok_or_else(|| LogError::InvalidFilter(filter.to_owned()))?;
    let (writer, guard) = NonBlockingBuilder::default()
        .buffered_lines_limit(MAX_WAITING)
        .thread_name("tce-log")
        .finish(io::stderr());
    let dropped = writer.error_counter();
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(takes_escapes(&io::stderr()))
        .with_writer(writer);
    match format {
        LogFormat::Text => lines.finish().try_init()?,
        LogFormat::Json => lines.json().flatten_event(true).finish().try_init()?,
    }
    // Set once: a second log would have been refused.
    let _ = DROPPED.set(dropped);
    Ok(LogGuard { _writer: guard })
}

/// Whether the text is a level, or a filter such as `info,tce_runtime=warn`.
pub fn is_filter(text: &str) -> bool {
    parse(text).is_some()
}

fn parse(filter: &str) -> Option<EnvFilter> {
    // `EnvFilter` would take a misspelled level for a module's name, and log
    // nothing.
    let is_plain = !filter.contains(['=', '[']);
    if filter.is_empty() || is_plain && filter.parse::<LevelFilter>().is_err() {
        return None;
    }
    // lapin logs a lost connection as an error, with its own internals. The
    // runtime warns of it and names the broker.
    if filter.contains("lapin") {
        return EnvFilter::builder().parse(filter).ok();
    }
    EnvFilter::builder()
        .parse(format!("{filter},lapin=off"))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_filters_are_taken() {
        for filter in [
            "off",
            "error",
            "WARN",
            "info",
            "debug",
            "trace",
            "info,tce_runtime=warn",
        ] {
            assert!(parse(filter).is_some(), "{filter}");
        }
    }

    #[test]
    fn a_typing_error_does_not_silence_the_log() {
        for filter in [
            "",
            "verbose",
            "inof",
            "info,tce_runtime=loud",
            "=",
            "info;debug",
        ] {
            let error = init(filter, LogFormat::Text).unwrap_err();
            let begin = format!("`{filter}` is neither a level");
            assert!(error.to_string().starts_with(&begin), "{error}");
        }
    }

    #[test]
    fn formats_have_the_names_that_they_show() {
        for format in [LogFormat::Text, LogFormat::Json] {
            assert_eq!(format.to_string().parse(), Ok(format));
        }
        let error = "xml".parse::<LogFormat>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "unknown log format `xml`; write text or json"
        );
    }
}
