//! What a user chooses about generated TypeScript.

use super::LANGUAGE;
use crate::Error;

/// The package that generated code imports, unless it is set.
const RUNTIME: &str = "tce";

/// The options of the back end for TypeScript.
///
/// ```
/// use tce_codegen::TypeScriptOptions;
///
/// let options = TypeScriptOptions::default().runtime("@my-company/tce");
/// # let _ = options;
/// ```
#[derive(Debug, Clone, Default)]
pub struct TypeScriptOptions {
    runtime: Option<String>,
}

impl TypeScriptOptions {
    /// Sets the package that generated code imports, `tce` by default, or the path of its
    /// folder, which begins with `./` or `../`.
    #[must_use]
    pub fn runtime(mut self, package: impl Into<String>) -> Self {
        self.runtime = Some(package.into());
        self
    }

    /// Checks the options, as generating code does.
    ///
    /// # Errors
    /// [`Error::Options`] where the runtime is not the name of a package or a path.
    pub fn validate(&self) -> Result<(), Error> {
        self.parse().map(drop)
    }

    /// The options with their defaults.
    pub(super) fn parse(&self) -> Result<Parsed, Error> {
        let runtime = self.runtime.as_deref().unwrap_or(RUNTIME);
        let is_part = |part: &str| {
            !part.is_empty()
                && part
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "._-@".contains(c))
        };
        if !runtime.split('/').all(is_part) {
            return Err(Error::Options {
                language: LANGUAGE.name(),
                message: format!("`{runtime}` is neither the name of a package nor a path"),
            });
        }
        Ok(Parsed {
            runtime: runtime.to_owned(),
        })
    }
}

/// [`TypeScriptOptions`] with their defaults.
pub(super) struct Parsed {
    runtime: String,
}

impl Parsed {
    /// What generated code imports: an entry of the package, or a file of the folder.
    pub(super) fn codegen(&self) -> String {
        let extension = if self.runtime.starts_with('.') {
            ".js"
        } else {
            ""
        };
        format!("{}/codegen{extension}", self.runtime)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_that_is_no_package_is_an_error_that_quotes_it() {
        for name in ["my tce", "", "a//b", "a\"b"] {
            let error = TypeScriptOptions::default().runtime(name).validate();
            let error = error.unwrap_err().to_string();
            assert!(error.contains(&format!("`{name}`")), "{error}");
        }
    }

    #[test]
    fn a_path_names_a_file_and_a_package_an_entry() {
        for (runtime, imported) in [
            ("@a/tce", "@a/tce/codegen"),
            ("../tce", "../tce/codegen.js"),
        ] {
            let options = TypeScriptOptions::default().runtime(runtime);
            assert_eq!(options.parse().unwrap().codegen(), imported);
        }
    }
}
