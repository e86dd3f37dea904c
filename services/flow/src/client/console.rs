//! What a client program reads and writes besides the network.

use std::collections::HashMap;
use std::io::{BufRead, Write};

use jiff::Zoned;

/// The environment variables of a client.
#[derive(Debug, Clone, Default)]
pub struct Environment(HashMap<String, String>);

impl Environment {
    /// The variables of this process; values that are not Unicode are left out.
    #[must_use]
    pub fn of_process() -> Self {
        let variables = std::env::vars_os();
        Self(
            variables
                .filter_map(|(name, value)| {
                    Some((name.into_string().ok()?, value.into_string().ok()?))
                })
                .collect(),
        )
    }

    /// A variable; `None` if it is unset or empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// The first of several variables that is set and not empty.
    #[must_use]
    pub fn first(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|name| self.get(name))
    }

    /// Whether a variable is set, if only to nothing.
    #[must_use]
    pub fn is_set(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Environment {
    fn from_iter<T: IntoIterator<Item = (K, V)>>(variables: T) -> Self {
        let variables = variables.into_iter();
        Self(
            variables
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        )
    }
}

/// The standard streams of a client.
pub struct Console<'a> {
    /// Standard output.
    pub out: &'a mut dyn Write,
    /// Standard error.
    pub err: &'a mut dyn Write,
    /// Standard input, for confirmations.
    pub input: &'a mut dyn BufRead,
}

impl std::fmt::Debug for Console<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Console").finish_non_exhaustive()
    }
}

impl Console<'_> {
    /// Asks a question; whether the answer begins with `y`. End of input is no.
    ///
    /// # Errors
    /// A stream fails.
    pub fn confirm(&mut self, question: &str) -> std::io::Result<bool> {
        write!(self.out, "{question}")?;
        self.out.flush()?;
        let mut answer = String::new();
        self.input.read_line(&mut answer)?;
        Ok(answer.trim_start().to_ascii_lowercase().starts_with('y'))
    }
}

/// The local time as ecFlow writes it: `[18:21:00 29.11.2026]`.
#[must_use]
pub fn timestamp() -> String {
    Zoned::now().strftime("[%H:%M:%S %-d.%-m.%Y]").to_string()
}
