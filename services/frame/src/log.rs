//! The log of an agent.

use std::io::{IsTerminal as _, stderr};

use tracing_subscriber::EnvFilter;

/// Writes what is logged to standard error, by default from `info` on; `RUST_LOG` sets another level.
/// A program calls it once.
pub fn log_to_stderr() {
    let filter = EnvFilter::try_from_default_env();
    let subscriber = tracing_subscriber::fmt()
        // lapin logs the loss of a connection, as the agent does.
        .with_env_filter(filter.unwrap_or_else(|_| EnvFilter::new("info,lapin=off")))
        .with_writer(stderr)
        .with_ansi(stderr().is_terminal());
    // A second call changes nothing.
    let _ = subscriber.try_init();
}
