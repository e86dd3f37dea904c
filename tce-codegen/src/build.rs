//! From `.idl` files to Rust in one call, for a `build.rs`.

use std::path::{Path, PathBuf};

use tce_idl::diagnostic::{Diagnostic, Severity};
use tce_idl::{Compilation, Options};

use crate::{Backend, Error, Rust, write};

/// Starts the configuration of a build script.
///
/// ```no_run
/// // build.rs
/// fn main() -> Result<(), tce_codegen::Error> {
///     tce_codegen::configure().compile(&["idl/test.idl"])
/// }
/// ```
///
/// The program then includes what was written, by the name of the IDL module;
/// the [crate's documentation](crate#files) says what a name becomes that is
/// none in Rust:
///
/// ```text
/// tce_runtime::include_idl!(test);
/// ```
#[must_use]
pub fn configure() -> Config {
    Config::default()
}

/// What a build script asks for: see [`configure`].
#[derive(Debug, Clone, Default)]
pub struct Config {
    options: Options,
    out_dir: Option<PathBuf>,
}

impl Config {
    /// Adds a folder in which imports are looked for, after that of the importing file.
    #[must_use]
    pub fn include(mut self, folder: impl Into<PathBuf>) -> Self {
        self.options = self.options.include_dir(folder);
        self
    }

    /// Adds a file that gives indices (`ifx-index-list.txt` or `.xml`).
    #[must_use]
    pub fn index_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.options = self.options.index_file(path);
        self
    }

    /// Sets the folder to write to, which is cargo's `OUT_DIR` otherwise.
    #[must_use]
    pub fn out_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.out_dir = Some(folder.into());
        self
    }

    /// Compiles the files and what they import into one `.rs` file a module.
    ///
    /// In a build script, cargo is told every file that was read, so that it
    /// runs again when one changes, and every warning. Where a `tce.lock` lies
    /// beside a file or above it, an index that differs from it is an error.
    ///
    /// # Errors
    /// [`Error::Idl`] with the rendered diagnostics, [`Error::NoOutDir`] outside
    /// a build script, [`Error::Io`] where a file can't be written.
    pub fn compile(&self, files: &[impl AsRef<Path>]) -> Result<(), Error> {
        let cargo_out_dir = std::env::var_os("OUT_DIR").map(PathBuf::from);
        let options = Options {
            lock_files: tce_idl::lock::find(files),
            ..self.options.clone()
        };
        let compilation = tce_idl::compile(files, &options);
        if cargo_out_dir.is_some() {
            for directive in self.directives(files, &compilation) {
                println!("cargo::{directive}");
            }
        }
        let Some(model) = &compilation.model else {
            let report =
                tce_idl::render::human(&compilation.diagnostics, &compilation.sources, false);
            return Err(Error::Idl { report });
        };
        let out_dir = self
            .out_dir
            .clone()
            .or(cargo_out_dir)
            .ok_or(Error::NoOutDir)?;
        write(&Rust.generate(model)?, &out_dir)
    }

    /// What cargo is told, whether or not there were errors: the next run may
    /// be the one that mends them.
    fn directives(&self, files: &[impl AsRef<Path>], compilation: &Compilation) -> Vec<String> {
        let given = files.iter().map(AsRef::as_ref);
        let indices = self.options.index_files.iter().map(PathBuf::as_path);
        let read = compilation
            .sources
            .files()
            .iter()
            .map(tce_idl::source::SourceFile::path);
        let mut paths: Vec<_> = given.chain(indices).chain(read).collect();
        paths.sort_unstable();
        paths.dedup();
        let inputs = paths
            .iter()
            .map(|path| format!("rerun-if-changed={}", path.display()));
        let warnings = compilation
            .diagnostics
            .iter()
            .filter(|diagnostic| diagnostic.severity == Severity::Warning)
            .map(|warning| format!("warning={}", one_line(warning, compilation)));
        inputs.chain(warnings).collect()
    }
}

/// `path:line:column: message (TCE0001)`: cargo shows warnings line by line.
fn one_line(diagnostic: &Diagnostic, compilation: &Compilation) -> String {
    let text = format!("{} ({})", diagnostic.message, diagnostic.code.id());
    let Some(label) = &diagnostic.primary else {
        return text;
    };
    let source = compilation.sources.get(label.span.file);
    let position = source.position(label.span.start);
    format!(
        "{}:{}:{}: {text}",
        source.path().display(),
        position.line,
        position.column
    )
}
