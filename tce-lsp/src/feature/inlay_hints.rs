//! Inlay hints: the indices that are not written.

use ls_types::{InlayHint, InlayHintLabel, InlayHintParams, TextEdit};
use tce_idl::{
    diagnostic::Severity,
    model::IndexOrigin,
    source::{FileId, Span},
    symbols::{Symbol, SymbolId},
};

use crate::{analysis::Analysis, documents, workspace::Workspace};

/// The indices of interfaces and operations that come from their position, each
/// where it can be written. Accepting a hint writes it.
pub(crate) fn hints(workspace: &mut Workspace, params: &InlayHintParams) -> Option<Vec<InlayHint>> {
    if !workspace.settings.index_hints {
        return None;
    }
    let analysis = workspace.opened(&params.text_document.uri)?;
    let root = analysis.root?;
    let text = analysis.sources().get(root);
    let start = documents::offset(text, params.range.start);
    let end = documents::offset(text, params.range.end);
    let errors = syntax_errors(&analysis, root);
    let symbols = analysis.names.symbols().map(|(_, symbol)| symbol);
    let visible = symbols.filter(|symbol| {
        let here = symbol.declarations.first().map(|it| it.name);
        here.is_some_and(|name| name.file == root && start <= name.start && name.start <= end)
    });
    let certain = visible.filter(|symbol| !is_uncertain(symbol, &errors));
    Some(certain.filter_map(|it| hint(&analysis, it)).collect())
}

fn hint(analysis: &Analysis, symbol: &Symbol) -> Option<InlayHint> {
    let (index, origin) = symbol.index?;
    if matches!(origin, IndexOrigin::Explicit(_)) {
        return None;
    }
    let edit = origin.edit(index);
    let range = documents::range(analysis.sources(), edit.span);
    Some(InlayHint {
        position: range.start,
        label: InlayHintLabel::String(edit.replacement.trim_end().to_owned()),
        kind: None,
        text_edits: Some(vec![TextEdit::new(range, edit.replacement)]),
        tooltip: None,
        padding_left: None,
        padding_right: Some(true),
        data: None,
    })
}

/// A syntax error, by the declaration that contains it directly and its first byte.
type ContainedError = (SymbolId, u32);

/// The syntax errors in a file that are inside of a declaration.
fn syntax_errors(analysis: &Analysis, file: FileId) -> Vec<ContainedError> {
    let errors = analysis.diagnostics().filter(|it| {
        // The codes TCE01… are those of the syntax.
        it.severity == Severity::Error && it.code.id().starts_with("TCE01")
    });
    let spans = errors.filter_map(|it| it.primary.as_ref().map(|label| label.span));
    spans
        .filter(|span| span.file == file)
        .filter_map(|span| Some((container(analysis, span)?, span.start)))
        .collect()
}

/// The innermost declaration around the start of a range, or ending there.
fn container(analysis: &Analysis, span: Span) -> Option<SymbolId> {
    let is_around = |whole: Span| {
        whole.file == span.file && whole.start <= span.start && span.start <= whole.end
    };
    let symbols = analysis.names.symbols().filter(|(_, symbol)| {
        let mut spans = symbol.declarations.iter().map(|it| it.whole);
        spans.any(is_around)
    });
    // A declaration comes after the one that contains it.
    symbols.last().map(|(id, _)| id)
}

/// Whether the index of a declaration by its position may be wrong: a syntax error before it,
/// beside it, may be a declaration that counts.
fn is_uncertain(symbol: &Symbol, errors: &[ContainedError]) -> bool {
    let start = symbol.declarations.first().map(|it| it.whole.start);
    errors
        .iter()
        .any(|(container, at)| symbol.parent == Some(*container) && Some(*at) < start)
}
