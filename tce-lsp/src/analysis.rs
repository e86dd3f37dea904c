//! What one file and its imports mean.

use std::path::{Path, PathBuf};

use tce_idl::{
    Compilation, Options,
    diagnostic::{Code, Diagnostic},
    inspect_with, lint,
    loader::Loader,
    symbols::SymbolTable,
    source::{FileId, Source, SourceMap, Span},
};

use crate::documents::Files;

/// A file that was compiled with its imports.
#[derive(Debug)]
pub(crate) struct Analysis {
    pub(crate) compilation: Compilation,
    pub(crate) names: Names,
    /// The file itself; `None` where it could not be read.
    pub(crate) root: Option<FileId>,
    pub(crate) project: Project,
    /// The identities of all files that were read, by id, and of the file itself.
    identities: Vec<PathBuf>,
}

impl Analysis {
    pub(crate) fn new(files: &Files, path: &Path, project: Project) -> Self {
        let (compilation, names) = inspect_with(files, &[path], &project.options, &project.lint);
        let read: Vec<&Path> = compilation
            .sources
            .files()
            .iter()
            .map(Source::path)
            .collect();
        // What is compiled is read before its imports.
        let root = (read.first() == Some(&path)).then_some(FileId(0));
        let paths = read.into_iter().chain([path]);
        Self {
            identities: paths.map(|path| files.identity(path)).collect(),
            compilation,
            names,
            root,
            project,
        }
    }

    pub(crate) fn sources(&self) -> &SourceMap {
        &self.compilation.sources
    }

    pub(crate) fn diagnostics(&self) -> impl Iterator<Item = &Diagnostic> {
        self.compilation.diagnostics.iter()
    }

    /// Whether it may be otherwise when a file has changed: the file has a part
    /// in it, or may be an import that was not found.
    pub(crate) fn depends_on(&self, identity: &Path) -> bool {
        let is_missing = |it: &Diagnostic| it.code == Code::ImportNotFound;
        self.identities.iter().any(|it| it == identity) || self.diagnostics().any(is_missing)
    }

    /// The text at a place.
    pub(crate) fn text(&self, span: Span) -> &str {
        let text = self.sources().get(span.file).text();
        let range = span.start as usize..span.end as usize;
        text.get(range).unwrap_or_default()
    }

    /// A place in words that hold across compilations: a file's identity, and a byte.
    pub(crate) fn place(&self, span: Span) -> (&Path, u32) {
        (&self.identities[span.file.0 as usize], span.start)
    }
}

/// What a project says of one of its files.
#[derive(Debug, Default)]
pub struct Project {
    /// What the compiler is told.
    pub options: Options,
    /// What the linter is told.
    pub lint: lint::Settings,
    /// What is wrong with the project's own settings, to be shown where they are.
    pub mistakes: Vec<Diagnostic>,
    /// The files that [`Project::mistakes`] speak of.
    pub sources: SourceMap,
}
