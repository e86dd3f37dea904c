//! The analysis of files and their imports.

use std::path::{Path, PathBuf};

use tce_idl::{
    Compilation, Options,
    diagnostic::{Code, Diagnostic},
    inspect_with, lint,
    loader::Loader,
    source::{FileId, SourceFile, SourceMap, Span},
    symbols::SymbolTable,
};

use crate::documents::DocumentStore;

/// The settings of a project for one of its files.
#[derive(Debug, Default)]
pub struct Project {
    /// The options of the compiler.
    pub options: Options,
    /// The settings of the linter.
    pub lint: lint::Settings,
    /// Errors in the project's settings file, which are shown in that file.
    pub mistakes: Vec<Diagnostic>,
    /// The files that [`Project::mistakes`] refer to.
    pub sources: SourceMap,
}

/// The result of compiling files of one project with their imports.
#[derive(Debug)]
pub(crate) struct Analysis {
    pub(crate) compilation: Compilation,
    pub(crate) names: SymbolTable,
    /// The first of the files; `None` if it could not be read.
    pub(crate) root: Option<FileId>,
    pub(crate) project: Project,
    paths: Vec<PathBuf>,
    /// The identities of all files that were read, by id, and of the files themselves.
    identities: Vec<PathBuf>,
    /// The identities of the paths at which imports were looked for without result.
    missing: Vec<PathBuf>,
}

impl Analysis {
    pub(crate) fn new(files: &DocumentStore, paths: &[PathBuf], project: Project) -> Self {
        let (compilation, names) = inspect_with(files, paths, &project.options, &project.lint);
        let read: Vec<&Path> = compilation
            .sources
            .files()
            .iter()
            .map(SourceFile::path)
            .collect();
        // A compiled file is read before its imports.
        let first = paths.first().map(PathBuf::as_path);
        let root = (first.is_some() && read.first().copied() == first).then_some(FileId(0));
        let inputs = read.into_iter().chain(paths.iter().map(PathBuf::as_path));
        let missing = compilation.sources.missing().iter();
        let missing = missing.map(|path| files.identity(path)).collect();
        Self {
            identities: inputs.map(|path| files.identity(path)).collect(),
            missing,
            compilation,
            names,
            root,
            project,
            paths: paths.to_owned(),
        }
    }

    /// The paths of the files themselves.
    pub(crate) fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// Whether every name has one meaning: files that don't import each other can declare the
    /// same one.
    pub(crate) fn is_unambiguous(&self) -> bool {
        let conflict = |it: &Diagnostic| {
            // Beyond the limit of diagnostics, it is unknown.
            matches!(it.code, Code::DuplicateElement | Code::MoreErrors)
        };
        !self.diagnostics().any(conflict)
    }

    pub(crate) fn sources(&self) -> &SourceMap {
        &self.compilation.sources
    }

    pub(crate) fn diagnostics(&self) -> impl Iterator<Item = &Diagnostic> {
        self.compilation.diagnostics.iter()
    }

    /// Whether a change of a file may change the result: the file was read, or
    /// an import was looked for at its path.
    pub(crate) fn depends_on(&self, identity: &Path) -> bool {
        let mut known = self.identities.iter().chain(&self.missing);
        known.any(|it| it == identity)
    }

    /// The text of a range.
    pub(crate) fn text(&self, span: Span) -> &str {
        let text = self.sources().get(span.file).text();
        let range = span.start as usize..span.end as usize;
        text.get(range).unwrap_or_default()
    }

    /// The start of a range, independent of this compilation: the identity of the file, and the byte.
    pub(crate) fn location(&self, span: Span) -> (&Path, u32) {
        (&self.identities[span.file.0 as usize], span.start)
    }
}
