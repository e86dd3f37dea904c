//! The TCE interface definition language: `.idl` files to a resolved
//! [`model::Model`], with diagnostics that say where, why and what to do.
//!
//! ```
//! let compilation = tce_idl::compile_str("module demo { interface Echo { string echo(string text); }; }");
//! let model = compilation.model.expect("the text is right");
//! assert_eq!(model.interfaces[0].operations[0].name, "echo");
//! ```
//!
//! What is wrong comes as data, and as text for people or programs:
//!
//! ```
//! let compilation = tce_idl::compile_str("module demo { struct Pet { strng name; }; }");
//! assert!(compilation.model.is_none());
//! let text = tce_idl::render::human(&compilation.diagnostics, &compilation.sources, false);
//! assert!(text.contains("did you mean `string`?"));
//! ```

mod check;
mod compare;
pub mod describe;
pub mod diagnostic;
mod excerpt;
mod format;
pub mod lint;
pub mod loader;
pub mod lock;
pub mod model;
pub mod names;
pub mod render;
mod resolve;
pub mod source;
mod syntax;

use std::path::{Path, PathBuf};

pub use compare::compare;
pub use excerpt::excerpt;
pub use format::{Formatted, format, format_file};

use diagnostic::{Diagnostic, Diagnostics};
use loader::{FileSystem, Loader, Memory};
use model::Model;
use names::Names;
use resolve::Program;
use resolve::imports::Loaded;
use source::SourceMap;

/// What a compilation may be told beside its files.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Where imports are looked for, after the folder of the importing file.
    pub include_dirs: Vec<PathBuf>,
    /// Files that give indices, `.xml` or of lines `module.Interface=100`; a later one counts more.
    pub index_files: Vec<PathBuf>,
    /// Files of the indices that peers rely on: see [`lock`]. Another index is an error.
    pub lock_files: Vec<PathBuf>,
}

impl Options {
    /// No include path, no index files.
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

/// What came of compiling a set of files.
#[derive(Debug, Clone)]
pub struct Compilation {
    /// What the files mean; `None` when there is an error.
    pub model: Option<Model>,
    /// Errors and warnings, in the order of the text.
    pub diagnostics: Vec<Diagnostic>,
    /// Every file that was read, imports, index files and lock files too.
    pub sources: SourceMap,
}

/// Compiles `.idl` files, and what they import, as one.
pub fn compile(files: &[impl AsRef<Path>], options: &Options) -> Compilation {
    compile_with(&FileSystem, files, options)
}

/// Compiles one text, called `input.idl`; it can import nothing.
#[must_use]
pub fn compile_str(text: &str) -> Compilation {
    let loader = Memory::new().with("input.idl", text);
    compile_with(&loader, &["input.idl"], &Options::new())
}

/// Compiles files that come from `loader`.
pub fn compile_with(
    loader: &dyn Loader,
    files: &[impl AsRef<Path>],
    options: &Options,
) -> Compilation {
    compile_beside(SourceMap::default(), loader, files, options)
}

/// Compiles `.idl` files, and judges by the rules of [`mod@lint`] what is right and yet better otherwise.
pub fn lint(
    files: &[impl AsRef<Path>],
    options: &Options,
    settings: &lint::Settings,
) -> Compilation {
    lint_with(&FileSystem, files, options, settings)
}

/// Like [`lint`](lint()), with files that come from `loader`.
pub fn lint_with(
    loader: &dyn Loader,
    files: &[impl AsRef<Path>],
    options: &Options,
    settings: &lint::Settings,
) -> Compilation {
    let sources = SourceMap::default();
    analyse(sources, loader, files, options, Some(settings), |_, _| ()).0
}

/// Like [`lint_with`], for editors: the names are told too, whether or not there are errors.
pub fn inspect_with(
    loader: &dyn Loader,
    files: &[impl AsRef<Path>],
    options: &Options,
    settings: &lint::Settings,
) -> (Compilation, Names) {
    let sources = SourceMap::default();
    analyse(
        sources,
        loader,
        files,
        options,
        Some(settings),
        names::collect,
    )
}

/// Compiles another version of something: its files are added to `sources`, so
/// that what [`compare`](compare()) says of both can be shown.
pub fn compile_beside(
    sources: SourceMap,
    loader: &dyn Loader,
    files: &[impl AsRef<Path>],
    options: &Options,
) -> Compilation {
    analyse(sources, loader, files, options, None, |_, _| ()).0
}

/// The pipeline, to the rules of `lint` if they are asked for, and what `look` sees at its end.
fn analyse<T>(
    mut sources: SourceMap,
    loader: &dyn Loader,
    files: &[impl AsRef<Path>],
    options: &Options,
    lint: Option<&lint::Settings>,
    look: impl FnOnce(&Program<'_>, &Loaded) -> T,
) -> (Compilation, T) {
    let mut sink = Diagnostics::default();
    let files: Vec<&Path> = files.iter().map(AsRef::as_ref).collect();
    let loaded = resolve::imports::load(
        loader,
        &files,
        &options.include_dirs,
        &mut sources,
        &mut sink,
    );
    let mut program = resolve::resolve(&loaded, &sources, &mut sink);
    resolve::indices::assign(
        &mut program,
        loader,
        &options.index_files,
        &mut sources,
        &mut sink,
    );
    check::all(&program, &mut sink);
    // While something is missing, positions say nothing.
    if !sink.has_errors() {
        let model = &program.model;
        lock::check(model, loader, &options.lock_files, &mut sources, &mut sink);
    }
    let has_errors = sink.has_errors();
    if let (Some(settings), false) = (lint, has_errors) {
        let subject = lint::Subject {
            program: &program,
            loaded: &loaded,
            sources: &sources,
            given: lint::given(loader, &files, &loaded, &sources),
            has_lock: !options.lock_files.is_empty(),
            languages: &settings.languages,
        };
        sink = lint::judge(&subject, settings, sink);
    }
    let seen = look(&program, &loaded);
    let compilation = Compilation {
        model: (!has_errors).then_some(program.model),
        diagnostics: sink.finish(),
        sources,
    };
    (compilation, seen)
}
