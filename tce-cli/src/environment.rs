//! Environment variables that stand for options.

use std::{fmt::Display, io::Write};

use crate::console::{CommandError, Console};

/// The value of a variable, if it is set. A wrong value is a usage error, unless it is a URL:
/// Kubernetes sets `TCE_PORT=tcp://10.96.0.12:12002` in each container beside a service called `tce`.
pub(crate) fn variable<T, E: Display>(
    name: &str,
    parse: impl Fn(&str) -> Result<T, E>,
    console: &mut Console,
) -> Result<Option<T>, CommandError> {
    let value = std::env::var_os(name).unwrap_or_default();
    let value = value.to_string_lossy();
    if value.is_empty() {
        return Ok(None);
    }
    if value.contains("://") {
        writeln!(
            console.err,
            "warning: {name}={value} is ignored: it seems to be set by Kubernetes or Docker"
        )?;
        return Ok(None);
    }
    match parse(&value) {
        Ok(parsed) => Ok(Some(parsed)),
        Err(error) => Err(console.usage_error(format!("{name}='{value}': {error}"))),
    }
}
