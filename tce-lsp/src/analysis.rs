//! The analysis of one file and its imports.

use std::path::{Path, PathBuf};

use tce_idl::{
    Compilation, Options,
    diagnostic::Diagnostic,
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

/// The result of compiling a file with its imports.
#[derive(Debug)]
pub(crate) struct Analysis {
    pub(crate) compilation: Compilation,
    pub(crate) names: SymbolTable,
    /// The file itself; `None` if it could not be read.
    pub(crate) root: Option<FileId>,
    pub(crate) project: Project,
    path: PathBuf,
    /// The identities of all files that were read, by id, and of the file itself.
    identities: Vec<PathBuf>,
    /// The identities of the paths at which imports were looked for without result.
    missing: Vec<PathBuf>,
}

impl Analysis {
    pub(crate) fn new(files: &DocumentStore, path: &Path, project: Project) -> Self {
        let (compilation, names) = inspect_with(files, &[path], &project.options, &project.lint);
        let read: Vec<&Path> = compilation
            .sources
            .files()
            .iter()
            .map(SourceFile::path)
            .collect();
        // The compiled file is read before its imports.
        let root = (read.first() == Some(&path)).then_some(FileId(0));
        let paths = read.into_iter().chain([path]);
        let missing = compilation.sources.missing().iter();
        let missing = missing.map(|path| files.identity(path)).collect();
        Self {
            identities: paths.map(|path| files.identity(path)).collect(),
            missing,
            compilation,
            names,
            root,
            project,
            path: path.to_owned(),
        }
    }

    /// The path of the file itself.
    pub(crate) fn path(&self) -> &Path {
        &self.path
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
