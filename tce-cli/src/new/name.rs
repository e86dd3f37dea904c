//! The name of a project, which is a package, a module of the language and an IDL module.

use std::path::Path;

use super::language::ProjectLanguage;

/// The longest name of a crate that can be published.
const MAX_LEN: usize = 64;

/// A name that is valid for all three.
#[derive(Debug)]
pub(super) struct ProjectName {
    /// Name of the package, which may contain `-`.
    pub(super) package: String,
    /// Name of the crate and of the IDL module, with `_` instead of `-`.
    pub(super) module: String,
}

/// Why a name is not valid.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NameError {
    #[error("the project needs a name: `tce new hello`")]
    Missing,
    #[error(
        "`{0}` is not a valid package name: use at most {MAX_LEN} lower case letters, digits, `-` and `_`, starting with a letter"
    )]
    Characters(String),
    #[error("`{0}` is not a valid module name: it is a {1} keyword")]
    Keyword(String, &'static str),
    #[error("`{0}` is not a valid module name: it is an IDL keyword")]
    IdlWord(String),
    #[error("`{0}` is not a valid package name: {1} that every project uses has this name")]
    Reserved(String, &'static str),
}

impl ProjectName {
    /// The name from the last component of a path.
    pub(super) fn from_folder(folder: &Path, language: ProjectLanguage) -> Result<Self, NameError> {
        let last = folder.file_name().ok_or(NameError::Missing)?;
        Self::parse(&last.to_string_lossy(), language)
    }

    fn parse(name: &str, language: ProjectLanguage) -> Result<Self, NameError> {
        let package = name.to_owned();
        let starts_well = name.starts_with(|c: char| c.is_ascii_lowercase());
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c);
        if !starts_well || !name.chars().all(is_plain) || name.len() > MAX_LEN {
            return Err(NameError::Characters(package));
        }
        let module = name.replace('-', "_");
        let keywords = language.language();
        if keywords.has_keyword(&module) {
            return Err(NameError::Keyword(package, keywords.title()));
        }
        if language.reserved().contains(&module.as_str()) {
            let what = match language {
                ProjectLanguage::Rust => "a crate",
                ProjectLanguage::Python => "a module",
                ProjectLanguage::TypeScript => "a package",
            };
            return Err(NameError::Reserved(package, what));
        }
        if tce_idl::compile_str(&format!("module {module} {{}};"))
            .model
            .is_none()
        {
            return Err(NameError::IdlWord(package));
        }
        Ok(Self { package, module })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_valid_for_cargo_rust_and_the_idl() {
        for name in ["hello", "hello-world", "a1_b", "class"] {
            let name = ProjectName::parse(name, ProjectLanguage::Rust).unwrap();
            assert!(!name.module.contains('-'), "{name:?}");
        }
        let long = "a".repeat(65);
        for name in [
            "", "Hello", "1st", "-a", "_a", "a b", "a.b", "a/b", "grüezi", &long,
        ] {
            assert_eq!(
                ProjectName::parse(name, ProjectLanguage::Rust).unwrap_err(),
                NameError::Characters(name.to_owned())
            );
        }
        assert_eq!(
            ProjectName::parse("match", ProjectLanguage::Rust).unwrap_err(),
            NameError::Keyword("match".to_owned(), "Rust")
        );
        assert_eq!(
            ProjectName::parse("lambda", ProjectLanguage::Python).unwrap_err(),
            NameError::Keyword("lambda".to_owned(), "Python")
        );
        assert_eq!(
            ProjectName::parse("asyncio", ProjectLanguage::Python).unwrap_err(),
            NameError::Reserved("asyncio".to_owned(), "a module")
        );
        assert_eq!(
            ProjectName::parse("tce-runtime", ProjectLanguage::Rust).unwrap_err(),
            NameError::Reserved("tce-runtime".to_owned(), "a crate")
        );
        assert_eq!(
            ProjectName::parse("string", ProjectLanguage::Rust).unwrap_err(),
            NameError::IdlWord("string".to_owned())
        );
        assert_eq!(
            ProjectName::from_folder(Path::new(".."), ProjectLanguage::Rust).unwrap_err(),
            NameError::Missing
        );
    }
}
