//! Rename: a name in all places where it stands, in all files of the project.

use std::collections::HashMap;

use ls_types::{
    PrepareRenameResponse, RenameParams, TextDocumentPositionParams, TextEdit, Uri, WorkspaceEdit,
};
use tce_idl::names::{self, SymbolId};

use super::references::{Mention, mentions};
use crate::{analysis::Analysis, convert, world::World};

/// The name that would be renamed.
pub(crate) fn prepare(
    world: &mut World,
    params: &TextDocumentPositionParams,
) -> Option<PrepareRenameResponse> {
    let spot = world.spot(params)?;
    let (span, id) = spot.analysis.names.at(spot.file, spot.offset)?;
    Some(PrepareRenameResponse::RangeWithPlaceholder {
        range: convert::range(spot.analysis.sources(), span),
        placeholder: spot.analysis.names.get(id).name.clone(),
    })
}

/// The edits that rename a symbol.
///
/// # Errors
/// The new name is none, or is taken: a sentence for the user.
pub(crate) fn rename(
    world: &mut World,
    params: &RenameParams,
) -> Result<Option<WorkspaceEdit>, String> {
    let new = params.new_name.as_str();
    let spot = world.spot(&params.text_document_position);
    let Some(spot) = spot else { return Ok(None) };
    let Some((_, id)) = spot.analysis.names.at(spot.file, spot.offset) else {
        return Err("there is no name here to change".to_owned());
    };
    if !names::is_name(new) {
        return Err(format!(
            "`{new}` is no name: letters, digits and `_`, no digit first, and no word of the language"
        ));
    }
    if spot.analysis.names.get(id).name == new {
        return Ok(Some(WorkspaceEdit::default()));
    }
    let all = mentions(world, &spot, id);
    is_free(&spot.analysis, id, new)?;
    for mention in &all {
        is_free(&mention.analysis, mention.symbol, new)?;
    }
    Ok(Some(edit(world, &all, new)))
}

/// Whether nothing beside a symbol has the name already.
fn is_free(analysis: &Analysis, id: SymbolId, new: &str) -> Result<(), String> {
    let names = &analysis.names;
    let parent = names.get(id).parent;
    let mut beside = names.symbols().filter(|(_, it)| it.parent == parent);
    match beside.find(|(_, it)| it.name == new) {
        None => Ok(()),
        Some((other, _)) => Err(format!("there is `{}` already", names.full_name(other))),
    }
}

fn edit(world: &World, mentions: &[Mention], new: &str) -> WorkspaceEdit {
    let mut changes: HashMap<Uri, Vec<TextEdit>> = HashMap::new();
    for mention in mentions {
        if let Some(location) = world.location(mention.analysis.sources(), mention.span) {
            let edit = TextEdit::new(location.range, new.to_owned());
            changes.entry(location.uri).or_default().push(edit);
        }
    }
    WorkspaceEdit {
        changes: Some(changes),
        ..WorkspaceEdit::default()
    }
}
