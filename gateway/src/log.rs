//! What the gateway says of itself, on standard error.

use std::{
    fmt,
    io::{self, IsTerminal},
    str::FromStr,
};

use tracing_subscriber::{
    EnvFilter,
    filter::ParseError,
    util::{SubscriberInitExt, TryInitError},
};

/// The environment variable that says what is logged where no flag does.
pub const VARIABLE: &str = "TCE_GATEWAY_LOG";

/// What is logged where nothing says so.
const DEFAULT_FILTER: &str = "info";

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, for programs.
    Json,
}

/// The name of no format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no format for the log: text or json")]
pub struct UnknownFormat(String);

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(UnknownFormat(name.to_owned())),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

/// Why nothing can be logged.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Neither a level nor a filter.
    #[error("`{filter}` is no level (error, warn, info, debug, trace) and no filter: {source}")]
    Filter {
        /// What was given.
        filter: String,
        /// What is wrong with it.
        source: ParseError,
    },
    /// The program logs already.
    #[error("the log is set up already: {0}")]
    Twice(#[from] TryInitError),
}

/// Begins to log. `filter` is a level, or a filter such as
/// `info,tce_gateway=debug`; unless given it is `TCE_GATEWAY_LOG`, or else
/// `info`.
///
/// # Errors
/// Where the filter is none, or the program logs already.
pub fn init(filter: Option<&str>, format: Format) -> Result<(), LogError> {
    let filter = match filter {
        Some(filter) => filter.to_owned(),
        None => std::env::var(VARIABLE).unwrap_or_else(|_| DEFAULT_FILTER.to_owned()),
    };
    let parsed = EnvFilter::builder().parse(&filter);
    let parsed = parsed.map_err(|source| LogError::Filter { filter, source })?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(parsed)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr);
    match format {
        Format::Text => lines.finish().try_init()?,
        Format::Json => lines.json().flatten_event(true).finish().try_init()?,
    }
    Ok(())
}
