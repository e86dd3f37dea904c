//! What the environment and flags say over the file.

use std::ffi::OsString;

use tce_runtime::config::problem::{Location, quoted};

/// What begins the name of a property in the environment:
/// `TCE_GATEWAY_MAX_CONNECTIONS`.
pub const ENVIRONMENT_PREFIX: &str = "TCE_GATEWAY_";

/// Where the value of a property comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// It was not set.
    Default,
    /// The file, at this place.
    File(Location),
    /// An [`Override`].
    Over(Source),
}

/// Who says an [`Override`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A variable of the environment.
    Environment,
    /// A flag, `--set name=value`.
    Flag,
}

impl Source {
    /// The variable or the flag that says a property.
    pub(super) fn says(self, property: &str) -> String {
        match self {
            Self::Environment => format!("{ENVIRONMENT_PREFIX}{}", property.to_ascii_uppercase()),
            Self::Flag => format!("--set {property}"),
        }
    }
}

/// The value of a property that goes before the file's, whichever server is
/// started. An empty one stands for the default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// Who says it.
    pub source: Source,
    /// The property's name.
    pub name: String,
    /// Its value.
    pub value: String,
}

impl Override {
    /// What variables of the environment say, as of [`std::env::vars_os`]:
    /// those that begin with `TCE_GATEWAY_`.
    ///
    /// ```
    /// use tce_gateway::config::Override;
    ///
    /// let variables = [("TCE_GATEWAY_LOG".into(), "json".into()), ("HOME".into(), "/".into())];
    /// let overrides = Override::from_environment(variables);
    /// assert_eq!((overrides.len(), overrides[0].name.as_str()), (1, "log"));
    /// ```
    pub fn from_environment(
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Vec<Self> {
        let of_ours = variables.into_iter().filter_map(|(variable, value)| {
            let name = variable.to_str()?.strip_prefix(ENVIRONMENT_PREFIX)?;
            Some(Self {
                source: Source::Environment,
                name: name.to_ascii_lowercase(),
                value: value.to_string_lossy().into_owned(),
            })
        });
        of_ours.collect()
    }

    /// What a flag says: `name=value`.
    ///
    /// # Errors
    /// A text without `=`, and how it would be right.
    pub fn from_flag(text: &str) -> Result<Self, String> {
        let (name, value) = text.split_once('=').ok_or_else(|| {
            let text = quoted(text);
            format!("{text} sets nothing; write it like max_connections=1000")
        })?;
        Ok(Self {
            source: Source::Flag,
            name: name.trim().to_owned(),
            value: value.to_owned(),
        })
    }
}
