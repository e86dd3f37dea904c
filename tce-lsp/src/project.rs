//! What a project says of its files.

use tce_idl::{Options, diagnostic::Diagnostic, lint, source::SourceMap};

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
