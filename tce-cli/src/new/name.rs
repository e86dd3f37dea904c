//! What a project may be called: a package of cargo, a crate of Rust and a
//! module of the IDL at once.

use std::path::Path;

use tce_idl::lint::Language;

/// The longest name that cargo's registry takes.
const MOST: usize = 64;

/// Crates that the project itself uses, or that are always there.
const TAKEN: &[&str] = &[
    "alloc",
    "core",
    "proc_macro",
    "std",
    "tce_codegen",
    "tce_runtime",
    "test",
    "tokio",
];

/// A name that all three take.
#[derive(Debug)]
pub(super) struct Name {
    /// As cargo has it, perhaps with a `-`.
    pub(super) package: String,
    /// As Rust and the IDL have it.
    pub(super) module: String,
}

/// Why a name is none.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoName {
    #[error("the project needs a name: `tce new hello`")]
    Missing,
    #[error(
        "`{0}` can't be a package's name: take lower case letters, digits, `-` and `_`, a letter first, no more than {MOST}"
    )]
    Characters(String),
    #[error("`{0}` can't be a package's name: it is a word of Rust")]
    Keyword(String),
    #[error("`{0}` can't be a module's name: it is a word of the IDL")]
    IdlWord(String),
    #[error("`{0}` can't be a package's name: a crate that every project uses is called so")]
    Taken(String),
}

impl Name {
    /// The last part of a path.
    pub(super) fn of_folder(folder: &Path) -> Result<Self, NoName> {
        let last = folder.file_name().ok_or(NoName::Missing)?;
        Self::of(&last.to_string_lossy())
    }

    fn of(name: &str) -> Result<Self, NoName> {
        let package = name.to_owned();
        let starts_well = name.starts_with(|c: char| c.is_ascii_lowercase());
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c);
        if !starts_well || !name.chars().all(is_plain) || name.len() > MOST {
            return Err(NoName::Characters(package));
        }
        let module = name.replace('-', "_");
        if Language::Rust.has_keyword(&module) {
            return Err(NoName::Keyword(package));
        }
        if TAKEN.contains(&module.as_str()) {
            return Err(NoName::Taken(package));
        }
        if tce_idl::compile_str(&format!("module {module} {{}};"))
            .model
            .is_none()
        {
            return Err(NoName::IdlWord(package));
        }
        Ok(Self { package, module })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_for_cargo_rust_and_the_idl() {
        for name in ["hello", "hello-world", "a1_b", "class"] {
            let name = Name::of(name).unwrap();
            assert!(!name.module.contains('-'), "{name:?}");
        }
        let long = "a".repeat(65);
        for name in [
            "", "Hello", "1st", "-a", "_a", "a b", "a.b", "a/b", "grüezi", &long,
        ] {
            assert_eq!(
                Name::of(name).unwrap_err(),
                NoName::Characters(name.to_owned())
            );
        }
        assert_eq!(
            Name::of("match").unwrap_err(),
            NoName::Keyword("match".to_owned())
        );
        assert_eq!(
            Name::of("tce-runtime").unwrap_err(),
            NoName::Taken("tce-runtime".to_owned())
        );
        assert_eq!(
            Name::of("string").unwrap_err(),
            NoName::IdlWord("string".to_owned())
        );
        assert_eq!(
            Name::of_folder(Path::new("..")).unwrap_err(),
            NoName::Missing
        );
    }
}
