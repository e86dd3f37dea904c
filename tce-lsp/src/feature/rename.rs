//! Rename: all occurrences of a name, in all files of the project.

use std::collections::HashMap;

use ls_types::{
    PrepareRenameResponse, RenameParams, TextDocumentPositionParams, TextEdit, Uri, WorkspaceEdit,
};
use tce_idl::symbols::{self, SymbolId};

use super::references::{Occurrence, occurrences};
use crate::{analysis::Analysis, documents, workspace::Workspace};

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
/// The new name is invalid or in use: a sentence for the user.
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
    is_free(&cursor.analysis, id, new)?;
    for occurrence in &all {
        is_free(&occurrence.analysis, occurrence.symbol, new)?;
    }
    Ok(Some(edit(workspace, &all, new)))
}

/// Checks that no sibling of a symbol has the name.
fn is_free(analysis: &Analysis, id: SymbolId, new: &str) -> Result<(), String> {
    let names = &analysis.names;
    let parent = names.get(id).parent;
    let mut beside = names.symbols().filter(|(_, it)| it.parent == parent);
    match beside.find(|(_, it)| it.name == new) {
        None => Ok(()),
        Some((other, _)) => Err(format!("`{}` already exists", names.full_name(other))),
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
