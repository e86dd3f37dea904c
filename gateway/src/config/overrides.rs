//! Properties set by the environment and by flags, which override the file.

use std::ffi::OsString;

use tce_runtime::config::problem::{Location, quoted};

/// The prefix of a property's name in the environment:
/// `TCE_GATEWAY_MAX_CONNECTIONS`.
pub const ENVIRONMENT_PREFIX: &str = "TCE_GATEWAY_";

/// Where the value of a property comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueOrigin {
    /// The property is not set.
    Default,
    /// The file, at this location.
    File(Location),
    /// An [`Override`].
    Override(OverrideSource),
}

/// Where an [`Override`] comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OverrideSource {
    /// A variable of the environment.
    Environment,
    /// A flag, `--set name=value`.
    Flag,
}

impl OverrideSource {
    /// The variable or the flag that sets a property.
    pub(crate) fn name_of(self, property: &str) -> String {
        match self {
            Self::Environment => format!("{ENVIRONMENT_PREFIX}{}", property.to_ascii_uppercase()),
            Self::Flag => format!("--set {property}"),
        }
    }
}

/// A property's value that overrides the file, for every server in it. An empty
/// value restores the default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// Where it comes from.
    pub source: OverrideSource,
    /// The property's name.
    pub name: String,
    /// Its value.
    pub value: String,
}

impl Override {
    /// The overrides among the variables of an environment
    /// ([`std::env::vars_os`]): those that begin with `TCE_GATEWAY_`.
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
        let overrides = variables.into_iter().filter_map(|(variable, value)| {
            let name = variable.to_str()?.strip_prefix(ENVIRONMENT_PREFIX)?;
            Some(Self {
                source: OverrideSource::Environment,
                name: name.to_ascii_lowercase(),
                value: value.to_string_lossy().into_owned(),
            })
        });
        overrides.collect()
    }

    /// Parses the value of a flag: `name=value`.
    ///
    /// # Errors
    /// The text has no `=`.
    pub fn from_flag(text: &str) -> Result<Self, String> {
        let (name, value) = text.split_once('=').ok_or_else(|| {
            let text = quoted(text);
            format!("{text} has no `=`; write NAME=VALUE, for example max_connections=1000")
        })?;
        Ok(Self {
            source: OverrideSource::Flag,
            name: name.trim().to_owned(),
            value: value.to_owned(),
        })
    }
}
