//! The TCE interface definition language: `.idl` files to a resolved
//! [`model::Model`], with diagnostics that say where, why and what to do.
//!
//! ```
//! let compilation = tce_idl::compile_str("module demo { interface Echo { string echo(string text); }; }");
//! let model = compilation.model.expect("the text is valid");
//! assert_eq!(model.interfaces[0].operations[0].name, "echo");
//! ```
//!
//! Diagnostics are data; [`render`] turns them into text for people or programs:
//!
//! ```
//! let compilation = tce_idl::compile_str("module demo { struct Pet { strng name; }; }");
//! assert!(compilation.model.is_none());
//! let text = tce_idl::render::human(&compilation.diagnostics, &compilation.sources, false);
//! assert!(text.contains("did you mean `string`?"));
//! ```
//!
//! # The pipeline
//!
//! Every phase reports to one list of diagnostics. A phase goes on after an
//! error, so that one run reports as much as possible.
//!
//! 1. [`loader`] and `syntax`: files to ASTs, following imports;
//! 2. `resolve`: ASTs to the [`model`]: names, types, indices;
//! 3. `check`: the rules that a model must keep;
//! 4. [`lock`]: the indices that peers rely on;
//! 5. [`mod@lint`]: valid IDL that can be improved, where asked for.
//!
//! [`symbols`], [`compare`](compare()), [`describe`], [`Excerpts`] and
//! [`format`](format()) use the results.

pub mod source;
pub mod diagnostic;
pub mod loader;
mod syntax;
pub mod model;
mod resolve;
pub mod symbols;
mod check;
pub mod lock;
mod compare;
pub mod describe;
mod excerpt;
mod format;
pub mod lint;
pub mod render;

use std::path::{Path, PathBuf};

pub use compare::compare;
pub use excerpt::Excerpts;
pub use format::{Formatted, format, format_file, format_partly};

use diagnostic::{Diagnostic, Diagnostics};
use loader::{FileSystem, Loader, Memory};
use model::Model;
use resolve::ResolvedProgram;
use resolve::imports::LoadedFiles;
use source::SourceMap;
use symbols::SymbolTable;

/// The inputs of a compilation beside its `.idl` files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Folders that are searched for imports, after the folder of the importing file.
    pub include_dirs: Vec<PathBuf>,
    /// Index files: `.xml`, or lines `module.Interface=100`. A later file overrides an earlier one.
    pub index_files: Vec<PathBuf>,
    /// Lock files with the indices that peers rely on: see [`lock`]. A different index is an error.
    pub lock_files: Vec<PathBuf>,
}

impl Options {
    /// No include path, no index files, no lock files.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a folder to the end of the include path.
    #[must_use]
    pub fn include_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.include_dirs.push(folder.into());
        self
    }

    /// Adds an index file.
    #[must_use]
    pub fn index_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.index_files.push(path.into());
        self
    }

    /// Adds a lock file.
    #[must_use]
    pub fn lock_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.lock_files.push(path.into());
        self
    }
}

/// The result of compiling a set of files.
#[derive(Debug, Clone)]
pub struct Compilation {
    /// The resolved model; `None` if the IDL or a lock file has an error. A lint
    /// rule of level `deny` reports an error and keeps the model.
    pub model: Option<Model>,
    /// Errors and warnings, in the order of the text.
    pub diagnostics: Vec<Diagnostic>,
    /// Every file that was read, including imports, index files and lock files.
    pub sources: SourceMap,
}

/// Compiles `.idl` files and their imports into one model.
pub fn compile(files: &[impl AsRef<Path>], options: &Options) -> Compilation {
    compile_with(&FileSystem, files, options)
}

/// Compiles one text as the file `input.idl`. Imports are not found.
#[must_use]
pub fn compile_str(text: &str) -> Compilation {
    let loader = Memory::new().with("input.idl", text);
    compile_with(&loader, &["input.idl"], &Options::new())
}

/// Compiles files that `loader` reads.
pub fn compile_with(
    loader: &dyn Loader,
    files: &[impl AsRef<Path>],
    options: &Options,
) -> Compilation {
    compile_beside(SourceMap::default(), loader, files, options)
}

/// Compiles another version of the same files and adds its sources to
/// `sources`, so that the diagnostics of [`compare`](compare()), which refer to
/// both versions, can be rendered.
pub fn compile_beside(
    sources: SourceMap,
    loader: &dyn Loader,
    files: &[impl AsRef<Path>],
    options: &Options,
) -> Compilation {
    run(sources, loader, files, options, None, |_, _| ()).0
}

/// Compiles `.idl` files and applies the rules of [`mod@lint`].
pub fn lint(
    files: &[impl AsRef<Path>],
    options: &Options,
    settings: &lint::Settings,
) -> Compilation {
    lint_with(&FileSystem, files, options, settings)
}

/// Like [`lint`](lint()), for files that `loader` reads.
pub fn lint_with(
    loader: &dyn Loader,
    files: &[impl AsRef<Path>],
    options: &Options,
    settings: &lint::Settings,
) -> Compilation {
    let sources = SourceMap::default();
    run(sources, loader, files, options, Some(settings), |_, _| ()).0
}

/// Like [`lint_with`], with the symbols as well, which editors need even if
/// there are errors.
pub fn inspect_with(
    loader: &dyn Loader,
    files: &[impl AsRef<Path>],
    options: &Options,
    settings: &lint::Settings,
) -> (Compilation, SymbolTable) {
    let sources = SourceMap::default();
    run(
        sources,
        loader,
        files,
        options,
        Some(settings),
        symbols::collect,
    )
}

/// Runs the pipeline. The lint rules apply only if `lint` has settings.
/// `inspect` sees the program before it is reduced to the model.
fn run<T>(
    mut sources: SourceMap,
    loader: &dyn Loader,
    files: &[impl AsRef<Path>],
    options: &Options,
    lint: Option<&lint::Settings>,
    inspect: impl FnOnce(&ResolvedProgram<'_>, &LoadedFiles) -> T,
) -> (Compilation, T) {
    let mut sink = Diagnostics::default();
    let files: Vec<&Path> = files.iter().map(AsRef::as_ref).collect();

    // Files to ASTs.
    let include_dirs = &options.include_dirs;
    let loaded = resolve::imports::load(loader, &files, include_dirs, &mut sources, &mut sink);

    // ASTs to the model.
    let mut program = resolve::resolve(&loaded, &sources, &mut sink);
    let index_files = &options.index_files;
    resolve::indices::assign(&mut program, loader, index_files, &mut sources, &mut sink);

    // What the model must keep. After an error, declarations may be missing and
    // positions wrong, so that indices are compared with the lock only without errors.
    check::all(&program, &mut sink);
    if !sink.has_errors() {
        let (model, lock_files) = (&program.model, &options.lock_files);
        lock::check(model, loader, lock_files, &mut sources, &mut sink);
    }

    // What can be improved.
    let has_errors = sink.has_errors();
    if let (Some(settings), false) = (lint, has_errors) {
        let context = lint::LintContext {
            program: &program,
            loaded: &loaded,
            sources: &sources,
            checked: lint::checked_files(loader, &files, &loaded, &sources),
            has_lock: !options.lock_files.is_empty(),
            languages: &settings.languages,
        };
        sink = lint::apply(&context, settings, sink);
    }

    let inspected = inspect(&program, &loaded);
    let compilation = Compilation {
        model: (!has_errors).then_some(program.model),
        diagnostics: sink.finish(),
        sources,
    };
    (compilation, inspected)
}
