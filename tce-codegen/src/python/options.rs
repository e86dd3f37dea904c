//! What a user chooses about generated Python.

use super::LANGUAGE;
use crate::Error;

/// The package that generated code imports, unless it is set.
const RUNTIME: &str = "tce";

/// The options of the back end for Python.
///
/// ```
/// use tce_codegen::{PythonApi, PythonOptions};
///
/// let options = PythonOptions::default()
///     .api(PythonApi::Blocking)
///     .runtime("my_company.tce");
/// # let _ = options;
/// ```
#[derive(Debug, Clone, Default)]
pub struct PythonOptions {
    api: PythonApi,
    runtime: Option<String>,
    has_tasks: bool,
    has_multi_calls: bool,
}

/// How generated Python calls and serves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PythonApi {
    /// Operations are coroutines.
    #[default]
    Asyncio,
    /// Operations block the thread, as in TCE's own Python programs.
    Blocking,
}

impl PythonApi {
    /// Every choice.
    pub const ALL: &'static [Self] = &[Self::Asyncio, Self::Blocking];

    /// Its name in settings.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Asyncio => "asyncio",
            Self::Blocking => "blocking",
        }
    }
}

impl PythonOptions {
    /// Sets how operations are called and served, [`PythonApi::Asyncio`] by default.
    #[must_use]
    pub fn api(mut self, api: PythonApi) -> Self {
        self.api = api;
        self
    }

    /// Sets the package that generated code imports, `tce` by default, with dots if it is
    /// in another package.
    #[must_use]
    pub fn runtime(mut self, package: impl Into<String>) -> Self {
        self.runtime = Some(package.into());
        self
    }

    /// Sets whether each interface has a class that sends its operations as tasks (`MathTasks`);
    /// false by default.
    #[must_use]
    pub fn tasks(mut self, has_tasks: bool) -> Self {
        self.has_tasks = has_tasks;
        self
    }

    /// Sets whether each interface has a class that calls all programs behind a topic at
    /// once (`ServerMulti` beside `ServerPrx`); false by default, and for
    /// [`PythonApi::Asyncio`] alone.
    #[must_use]
    pub fn multi_calls(mut self, has_multi_calls: bool) -> Self {
        self.has_multi_calls = has_multi_calls;
        self
    }

    /// Checks the options, as generating code does.
    ///
    /// # Errors
    /// [`Error::Options`] where the runtime is not the name of a package, or the API has no
    /// multi-calls.
    pub fn validate(&self) -> Result<(), Error> {
        self.parse().map(drop)
    }

    /// The options with their defaults.
    pub(super) fn parse(&self) -> Result<Parsed, Error> {
        let runtime = self.runtime.as_deref().unwrap_or(RUNTIME);
        if !runtime.split('.').all(is_identifier) {
            return Err(Error::Options {
                language: LANGUAGE.name(),
                message: format!("`{runtime}` is not the name of a package"),
            });
        }
        if self.has_multi_calls && self.api == PythonApi::Blocking {
            return Err(Error::Options {
                language: LANGUAGE.name(),
                message: "multi-calls need the API asyncio".to_owned(),
            });
        }
        Ok(Parsed {
            api: self.api,
            runtime: runtime.to_owned(),
            has_tasks: self.has_tasks,
            has_multi_calls: self.has_multi_calls,
        })
    }
}

/// [`PythonOptions`] with their defaults.
pub(super) struct Parsed {
    pub(super) api: PythonApi,
    pub(super) runtime: String,
    pub(super) has_tasks: bool,
    pub(super) has_multi_calls: bool,
}

fn is_identifier(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !LANGUAGE.has_keyword(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_that_is_no_package_is_an_error_that_quotes_it() {
        for name in ["my tce", "", "a..b", "1", "a.class"] {
            let error = PythonOptions::default().runtime(name).validate();
            let error = error.unwrap_err().to_string();
            assert!(error.contains(&format!("`{name}`")), "{error}");
        }
        PythonOptions::default()
            .runtime("_a.b1")
            .validate()
            .unwrap();
    }

    #[test]
    fn the_blocking_api_has_no_multi_calls() {
        let options = PythonOptions::default().multi_calls(true);
        options.validate().unwrap();
        options.api(PythonApi::Blocking).validate().unwrap_err();
    }
}
