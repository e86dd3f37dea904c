//! The repairs that diagnostics offer.

use std::collections::HashMap;

use ls_types::{
    CodeAction, CodeActionKind, CodeActionOrCommand, CodeActionParams, CodeActionResponse, Range,
    TextEdit, WorkspaceEdit,
};
use tce_idl::{diagnostic::Diagnostic, source::FileId};

use crate::{analysis::Analysis, convert, feature::diagnostics, world::World};

pub(crate) fn actions(world: &mut World, params: &CodeActionParams) -> Option<CodeActionResponse> {
    let only = params.context.only.as_deref();
    // `quickfix` is asked for by its own name or by none.
    if only.is_some_and(|kinds| !kinds.contains(&CodeActionKind::QUICKFIX)) {
        return None;
    }
    let analysis = world.opened(&params.text_document.uri)?;
    let root = analysis.root?;
    let touching = analysis
        .diagnostics()
        .filter(|it| touches(&analysis, it, root, params.range));
    let actions = touching.filter_map(|it| action(world, &analysis, it));
    Some(actions.map(CodeActionOrCommand::CodeAction).collect())
}

/// Whether a diagnostic or its repair has a character or an end in common with a range.
fn touches(analysis: &Analysis, diagnostic: &Diagnostic, file: FileId, range: Range) -> bool {
    let edit = diagnostic.repair.iter().flat_map(|repair| &repair.edit);
    let spans = diagnostic.primary.iter().map(|label| label.span);
    let mut spans = spans
        .chain(edit.map(|edit| edit.span))
        .filter(|span| span.file == file);
    spans.any(|span| {
        let place = convert::range(analysis.sources(), span);
        place.start <= range.end && range.start <= place.end
    })
}

fn action(world: &World, analysis: &Analysis, diagnostic: &Diagnostic) -> Option<CodeAction> {
    let repair = diagnostic.repair.as_ref()?;
    let edit = repair.edit.as_ref()?;
    let uri = world
        .files
        .uri(analysis.sources().get(edit.span.file).path())?;
    let text_edit = TextEdit {
        range: convert::range(analysis.sources(), edit.span),
        new_text: edit.replacement.clone(),
    };
    Some(CodeAction {
        title: title(&repair.message, &edit.replacement),
        kind: Some(CodeActionKind::QUICKFIX),
        diagnostics: Some(vec![diagnostics::told(
            world,
            analysis.sources(),
            diagnostic,
        )]),
        edit: Some(WorkspaceEdit {
            changes: Some(HashMap::from([(uri, vec![text_edit])])),
            ..WorkspaceEdit::default()
        }),
        is_preferred: Some(true),
        ..CodeAction::default()
    })
}

/// What to do. Where the advice is a question, the answer.
fn title(advice: &str, replacement: &str) -> String {
    match advice.ends_with('?') {
        true => format!("write `{replacement}`"),
        false => advice.to_owned(),
    }
}
