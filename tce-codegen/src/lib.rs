//! Source code from a resolved TCE model, for `build.rs` and the `tce` command.
//!
//! ```text
//! Model ─► Backend ─► Vec<GeneratedFile> ─► write, or check
//! ```
//!
//! A `build.rs` calls [`configure`], which does everything from `.idl` files to
//! `OUT_DIR`. [`generate`] works in memory, for one language of [`languages`].
//!
//! # Files
//! A back end gives one file for each IDL module, named as the IDL spells the
//! module: `module test` becomes `test.rs`, `module type` becomes `type.rs`.
//! A `.py` file whose name is a keyword gets an underscore, so that it can be imported.
//!
//! Modules refer to each other as siblings (`super::other::Item`), so their Rust
//! modules stand side by side, each named as the IDL module in `snake_case`, with
//! `r#` before a keyword. `tce_runtime::include_idl!` takes the Rust names, and
//! the IDL's names where they differ:
//!
//! ```text
//! tce_runtime::include_idl!(test, mixed_case = "MixedCase", r#type = "type");
//! ```
//!
//! The macro also sets the lints that depend on the IDL alone. A program that
//! declares the module itself does the same:
//!
//! ```text
//! #[allow(dead_code, missing_docs, clippy::too_many_arguments)]
//! mod test;
//! ```
//!
//! Rust code is laid out as rustfmt does it by default, except for attributes from
//! [`RustOptions`], each of which is one line, and for some lines with names of more
//! than 30 characters.

mod naming;
mod source;

mod output;

mod rust;

mod python;

mod typescript;

mod build;

use std::path::PathBuf;

use tce_idl::lint::Language;
use tce_idl::model::Model;

pub use build::{Config, configure};
pub use output::{StaleFile, Staleness, check, write};
pub use python::{Python, PythonApi, PythonOptions};
pub use rust::{MapType, Rust, RustOptions};
pub use typescript::{TypeScript, TypeScriptOptions};

/// One file of source code, in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GeneratedFile {
    /// Its path, relative to the output folder.
    pub path: PathBuf,
    /// All of its text.
    pub contents: String,
}

/// The options of every back end, each of which reads its own field.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Options {
    /// For Rust.
    pub rust: RustOptions,
    /// For Python.
    pub python: PythonOptions,
    /// For TypeScript.
    pub typescript: TypeScriptOptions,
}

/// Turns a model into the source code of one language.
///
/// The same model and options give the same files, byte for byte, in the same order.
pub trait Backend {
    /// The language that it writes. [`Language::name`] is the language's id in
    /// `tce compile --lang`, in `tce.toml` and in `skeleton_<language>` of an IDL.
    fn language(&self) -> Language;

    /// Writes every module of the model, in memory.
    ///
    /// # Errors
    /// [`Error::Options`] where an option is wrong.
    fn generate(&self, model: &Model, options: &Options) -> Result<Vec<GeneratedFile>, Error>;
}

/// All back ends.
const BACKENDS: &[&dyn Backend] = &[&Rust, &Python, &TypeScript];

/// The ids of the languages that [`generate`] writes.
pub fn languages() -> impl Iterator<Item = &'static str> {
    BACKENDS.iter().map(|backend| backend.language().name())
}

/// Writes every module of the model in `language`, one of [`languages`], in memory.
///
/// # Errors
/// [`Error::UnknownLanguage`] where no back end writes the language, and the
/// errors of [`Backend::generate`].
pub fn generate(
    model: &Model,
    language: &str,
    options: &Options,
) -> Result<Vec<GeneratedFile>, Error> {
    BACKENDS
        .iter()
        .find(|backend| backend.language().name() == language)
        .ok_or_else(|| Error::UnknownLanguage {
            language: language.to_owned(),
        })?
        .generate(model, options)
}

/// Why code can't be generated, written or compared.
#[derive(thiserror::Error)]
pub enum Error {
    /// The IDL has errors.
    #[error("the IDL does not compile\n\n{report}")]
    Idl {
        /// Every diagnostic, rendered for a reader, with its place in the source.
        report: String,
    },
    /// No back end writes this language.
    #[error(
        "no back end writes `{language}`: known are {}",
        languages().map(|known| format!("`{known}`")).collect::<Vec<_>>().join(", ")
    )]
    UnknownLanguage {
        /// The language that was asked for.
        language: String,
    },
    /// An option of a back end is wrong, or its language can't express the model.
    #[error("{language}: {message}")]
    Options {
        /// The id of the back end's language.
        language: &'static str,
        /// What is wrong, and with which option or element.
        message: String,
    },
    /// A file or folder can't be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The error of the system.
        source: std::io::Error,
    },
    /// A generated file would replace one that comes from another IDL file, whose
    /// declarations would be lost, and whose interfaces may have the same indices.
    #[error(
        "`{}` was generated from {}, and would be replaced by code from {}: compile all files of \
         a module in one call; if one no longer exists, delete `{}`",
        path.display(), old.join(" and "), new.join(" and "), path.display()
    )]
    OtherSources {
        /// The file.
        path: PathBuf,
        /// The IDL files that it was generated from.
        old: Vec<String>,
        /// The IDL files of the code that would replace it.
        new: Vec<String>,
    },
    /// An earlier `compile` of the same build script has written other code to a file.
    #[error(
        "`{}` was written from {} by an earlier `compile` of this build script, and would be \
         replaced by other code from {}: compile all files in one call, or set another `out_dir`",
        path.display(), old.join(" and "), new.join(" and ")
    )]
    WrittenBefore {
        /// The file.
        path: PathBuf,
        /// The IDL files that were compiled to it.
        old: Vec<String>,
        /// The IDL files of the code that would replace it.
        new: Vec<String>,
    },
    /// No output folder was set, and `OUT_DIR` is set only in a build script.
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
