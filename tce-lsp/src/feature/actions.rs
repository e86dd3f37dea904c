//! Code actions: the edits that diagnostics suggest.

use std::collections::HashMap;

use ls_types::{
    CodeAction, CodeActionKind, CodeActionOrCommand, CodeActionParams, CodeActionResponse, Range,
    TextEdit, WorkspaceEdit,
};
use tce_idl::{diagnostic::Diagnostic, source::FileId};

use crate::{analysis::Analysis, documents, feature::diagnostics, workspace::Workspace};

pub(crate) fn actions(
    workspace: &mut Workspace,
    params: &CodeActionParams,
) -> Option<CodeActionResponse> {
    let only = params.context.only.as_deref();
    // A client without a filter gets quick fixes too.
    if only.is_some_and(|kinds| !kinds.contains(&CodeActionKind::QUICKFIX)) {
        return None;
    }
    let analysis = workspace.opened(&params.text_document.uri)?;
    let root = analysis.root?;
    let touching = analysis
        .diagnostics()
        .filter(|it| touches(&analysis, it, root, params.range));
    let actions = touching.filter_map(|it| action(workspace, &analysis, it));
    Some(actions.map(CodeActionOrCommand::CodeAction).collect())
}

/// Whether a diagnostic or its edit overlaps or touches a range.
fn touches(analysis: &Analysis, diagnostic: &Diagnostic, file: FileId, range: Range) -> bool {
    let edit = diagnostic.repair.iter().flat_map(|repair| &repair.edit);
    let spans = diagnostic.primary.iter().map(|label| label.span);
    let mut spans = spans
        .chain(edit.map(|edit| edit.span))
        .filter(|span| span.file == file);
    spans.any(|span| {
        let touched = documents::range(analysis.sources(), span);
        touched.start <= range.end && range.start <= touched.end
    })
}

fn action(
    workspace: &Workspace,
    analysis: &Analysis,
    diagnostic: &Diagnostic,
) -> Option<CodeAction> {
    let repair = diagnostic.repair.as_ref()?;
    let edit = repair.edit.as_ref()?;
    let uri = workspace
        .documents
        .uri(analysis.sources().get(edit.span.file).path())?;
    let text_edit = TextEdit {
        range: documents::range(analysis.sources(), edit.span),
        new_text: edit.replacement.clone(),
    };
    Some(CodeAction {
        title: title(&repair.message, &edit.replacement),
        kind: Some(CodeActionKind::QUICKFIX),
        diagnostics: Some(vec![diagnostics::to_lsp(
            workspace,
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

/// The title of the action. A question such as "did you mean `x`?" becomes "write `x`".
fn title(advice: &str, replacement: &str) -> String {
    match advice.ends_with('?') {
        true => format!("write `{replacement}`"),
        false => advice.to_owned(),
    }
}
