//! Source code from a resolved TCE model, for `build.rs` and the `tce` command.
//!
//! ```text
//! Model ─► Backend ─► Vec<GeneratedFile> ─► write, or check
//! ```
//!
//! A `build.rs` wants [`configure`], which goes the whole way from `.idl`
//! files to `OUT_DIR`. Everything else works in memory up to [`write()`] and
//! [`check`].
//!
//! # Files
//! A back end gives one file an IDL module, named as the IDL spells the module:
//! `module test` becomes `test.rs`, `module type` becomes `type.rs`. Modules
//! refer to each other as siblings (`super::other::Item`), so their Rust
//! modules sit side by side, each named as the IDL module in `snake_case`, with
//! `r#` before a keyword. `tce_runtime::include_idl!` takes the Rust names, and
//! the IDL's where it is another:
//!
//! ```text
//! tce_runtime::include_idl!(test, mixed_case = "MixedCase", r#type = "type");
//! ```

mod build;
mod output;
mod rust;

use std::path::PathBuf;

use tce_idl::model::Model;

pub use build::{Config, configure};
pub use output::{StaleFile, Staleness, check, write};
pub use rust::Rust;

/// One file of source code, in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GeneratedFile {
    /// Where it goes, relative to the output folder.
    pub path: PathBuf,
    /// All of its text.
    pub contents: String,
}

/// What turns a model into the source code of one language.
///
/// The same model gives the same files, byte for byte, in the same order.
pub trait Backend {
    /// The language, as the IDL spells it in `skeleton_<language>`.
    fn language(&self) -> &'static str;

    /// Writes every module of the model, in memory.
    ///
    /// # Errors
    /// [`Error::Unprintable`], which is a mistake of the back end, never of the IDL.
    fn generate(&self, model: &Model) -> Result<Vec<GeneratedFile>, Error>;
}

/// The back ends there are, by language.
const BACKENDS: &[&dyn Backend] = &[&Rust];

/// The languages that [`generate`] knows.
pub fn languages() -> impl Iterator<Item = &'static str> {
    BACKENDS.iter().map(|backend| backend.language())
}

/// Writes every module of the model in `language`, in memory.
///
/// # Errors
/// [`Error::UnknownLanguage`] where no back end writes it, and what the back
/// end itself fails with.
pub fn generate(model: &Model, language: &str) -> Result<Vec<GeneratedFile>, Error> {
    BACKENDS
        .iter()
        .find(|backend| backend.language() == language)
        .ok_or_else(|| Error::UnknownLanguage {
            language: language.to_owned(),
        })?
        .generate(model)
}

/// Why there is no code, or why it is not where it should be.
#[derive(thiserror::Error)]
pub enum Error {
    /// The IDL is at fault.
    #[error("the IDL does not compile\n\n{report}")]
    Idl {
        /// Every diagnostic, rendered for a reader, with its place in the source.
        report: String,
    },
    /// No back end writes this language.
    #[error(
        "no back end writes `{language}`: there is {}",
        languages().map(|known| format!("`{known}`")).collect::<Vec<_>>().join(", ")
    )]
    UnknownLanguage {
        /// The language as it was asked for.
        language: String,
    },
    /// The back end wrote something that is no code: a mistake of its own.
    #[error("the code for module `{module}` can't be printed: {source}")]
    Unprintable {
        /// The module, as the IDL spells it.
        module: String,
        /// Where the code goes wrong.
        source: syn::Error,
    },
    /// A file or folder can't be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// No output folder was given, and there is no `OUT_DIR` outside a build script.
    #[error("no output folder: call `out_dir`, or run in a build script, where OUT_DIR is set")]
    NoOutDir,
}

/// As [`Display`](std::fmt::Display): a build script's `unwrap` shows the
/// diagnostics as lines, not as one escaped string.
impl std::fmt::Debug for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}
