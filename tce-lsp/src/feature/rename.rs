//! Rename: all occurrences of a name, in all files of the project.

use std::{
    collections::HashMap,
    io,
    ops::Range,
    path::{Path, PathBuf},
    rc::Rc,
};

use ls_types::{
    PrepareRenameResponse, RenameParams, TextDocumentPositionParams, TextEdit, Uri, WorkspaceEdit,
};
use tce_idl::{
    diagnostic::{Code, Diagnostic, Severity},
    loader::Loader,
    symbols::{self, SymbolId, SymbolKind},
};

use super::references::{Occurrence, everywhere, occurrences};
use crate::{
    analysis::Analysis,
    documents::{self, DocumentStore},
    workspace::Workspace,
};

/// The name that would be renamed.
pub(crate) fn prepare(
    workspace: &mut Workspace,
    params: &TextDocumentPositionParams,
) -> Option<PrepareRenameResponse> {
    let cursor = workspace.cursor(params)?;
    let (span, id) = cursor.analysis.names.at(cursor.file, cursor.offset)?;
    Some(PrepareRenameResponse::RangeWithPlaceholder {
        range: documents::range(cursor.analysis.sources(), span),
        placeholder: cursor.analysis.names.get(id).name.clone(),
    })
}

/// The edits that rename a symbol.
///
/// # Errors
/// The new name is invalid, in use, or leads to an error in some file: a sentence for
/// the user.
pub(crate) fn rename(
    workspace: &mut Workspace,
    params: &RenameParams,
) -> Result<Option<WorkspaceEdit>, String> {
    let new = params.new_name.as_str();
    let cursor = workspace.cursor(&params.text_document_position);
    let Some(cursor) = cursor else {
        return Ok(None);
    };
    let Some((_, id)) = cursor.analysis.names.at(cursor.file, cursor.offset) else {
        return Err("there is no name to rename here".to_owned());
    };
    if !symbols::is_name(new) {
        return Err(format!(
            "`{new}` is not a valid name: use letters, digits and `_`, not beginning with a digit, and no reserved word"
        ));
    }
    if cursor.analysis.names.get(id).name == new {
        return Ok(Some(WorkspaceEdit::default()));
    }
    let all = occurrences(workspace, &cursor, id);
    let edit = edit(workspace, &all, new);
    // All files at once, in one pass over each import. Files that don't import each other may be
    // at odds there: then each decides for itself.
    let together = everywhere(workspace, &cursor, id, Workspace::cover);
    if check(workspace, &together, &all, new).is_err() {
        let each = |workspace: &mut Workspace, paths: &[PathBuf]| {
            paths.iter().map(|path| workspace.analysis(path)).collect()
        };
        let apart = everywhere(workspace, &cursor, id, each);
        check(workspace, &apart, &all, new)?;
    }
    Ok(Some(edit))
}

/// Checks that a symbol can have another name in some analyses.
fn check(
    workspace: &Workspace,
    seen: &[(Rc<Analysis>, SymbolId)],
    occurrences: &[Occurrence],
    new: &str,
) -> Result<(), String> {
    for (analysis, symbol) in seen {
        is_free(analysis, *symbol, new)?;
    }
    is_accepted(workspace, seen, occurrences, new)
}

/// Checks that no declaration that must have another name has this one: siblings and,
/// for an operation, those of the interfaces above and below its own.
fn is_free(analysis: &Analysis, id: SymbolId, new: &str) -> Result<(), String> {
    let names = &analysis.names;
    let symbol = names.get(id);
    let mut parents = vec![symbol.parent];
    if let (SymbolKind::Operation, Some(interface)) = (symbol.kind, symbol.parent) {
        parents.extend(names.lineage(interface).into_iter().map(Some));
    }
    let mut beside = names
        .symbols()
        .filter(|(_, it)| it.name == new && parents.contains(&it.parent));
    match beside.next() {
        None => Ok(()),
        Some((other, _)) => Err(format!("`{}` already exists", names.full_name(other))),
    }
}

/// Checks that compiling the files after the edits gives no errors that they don't
/// have before.
fn is_accepted(
    workspace: &Workspace,
    seen: &[(Rc<Analysis>, SymbolId)],
    occurrences: &[Occurrence],
    new: &str,
) -> Result<(), String> {
    let renamed = RenamedFiles::new(&workspace.documents, occurrences, new);
    for (analysis, _) in seen {
        let options = &analysis.project.options;
        let after = tce_idl::compile_with(&renamed, analysis.paths(), options);
        let before = &analysis.compilation;
        // Messages contain names, which differ: only their numbers can be compared.
        let count = |list: &[Diagnostic], code| list.iter().filter(|it| it.code == code).count();
        let added = after
            .diagnostics
            .iter()
            .filter(|it| is_obstacle(it))
            .find(|it| count(&after.diagnostics, it.code) > count(&before.diagnostics, it.code));
        if let Some(diagnostic) = added {
            let message = &diagnostic.message;
            return Err(match &diagnostic.primary {
                None => format!("after renaming to `{new}`, {message}"),
                Some(label) => {
                    let source = after.sources.get(label.span.file);
                    let line = source.position(label.span.start).line;
                    let path = source.path().display();
                    format!("after renaming to `{new}`, line {line} of {path} is wrong: {message}")
                }
            });
        }
    }
    Ok(())
}

/// Whether a diagnostic tells that the IDL no longer means what it did: an error, or
/// an index file that names a declaration by its former name.
fn is_obstacle(diagnostic: &Diagnostic) -> bool {
    diagnostic.severity == Severity::Error || diagnostic.code == Code::IndexFileName
}

/// The files of the workspace after a rename.
struct RenamedFiles<'w> {
    documents: &'w DocumentStore,
    /// The texts that differ, by the identity of their file.
    texts: HashMap<PathBuf, String>,
}

impl<'w> RenamedFiles<'w> {
    fn new(documents: &'w DocumentStore, occurrences: &[Occurrence], new: &str) -> Self {
        let mut spans: HashMap<PathBuf, Vec<(&str, Range<usize>)>> = HashMap::new();
        for occurrence in occurrences {
            let (identity, _) = occurrence.analysis.location(occurrence.span);
            let source = occurrence.analysis.sources().get(occurrence.span.file);
            let range = occurrence.span.start as usize..occurrence.span.end as usize;
            let ranges = spans.entry(identity.to_owned()).or_default();
            ranges.push((source.text(), range));
        }
        let texts = spans.into_iter().map(|(identity, mut ranges)| {
            ranges.sort_by_key(|(_, range)| range.start);
            let mut text = ranges[0].0.to_owned();
            for (_, range) in ranges.into_iter().rev() {
                text.replace_range(range, new);
            }
            (identity, text)
        });
        let texts = texts.collect();
        Self { documents, texts }
    }
}

impl Loader for RenamedFiles<'_> {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        match self.texts.get(&self.identity(path)) {
            Some(text) => Ok(text.clone().into_bytes()),
            None => self.documents.read(path),
        }
    }

    fn identity(&self, path: &Path) -> PathBuf {
        self.documents.identity(path)
    }

    fn list(&self, folder: &Path) -> Vec<String> {
        self.documents.list(folder)
    }
}

fn edit(workspace: &Workspace, occurrences: &[Occurrence], new: &str) -> WorkspaceEdit {
    let mut changes: HashMap<Uri, Vec<TextEdit>> = HashMap::new();
    for occurrence in occurrences {
        if let Some(location) = workspace.location(occurrence.analysis.sources(), occurrence.span) {
            let edit = TextEdit::new(location.range, new.to_owned());
            changes.entry(location.uri).or_default().push(edit);
        }
    }
    WorkspaceEdit {
        changes: Some(changes),
        ..WorkspaceEdit::default()
    }
}
