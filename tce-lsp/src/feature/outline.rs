//! The outline of a file: its declarations as a tree.

use std::collections::HashMap;

use ls_types::{self, DocumentSymbol, DocumentSymbolParams, DocumentSymbolResponse};
use tce_idl::{
    source::FileId,
    symbols::{DeclarationSpan, Symbol, SymbolId, SymbolKind},
};

use crate::{analysis::Analysis, documents, workspace::Workspace};

pub(crate) fn outline(
    workspace: &mut Workspace,
    params: &DocumentSymbolParams,
) -> Option<DocumentSymbolResponse> {
    let analysis = workspace.opened(&params.text_document.uri)?;
    Some(DocumentSymbolResponse::Nested(symbols(
        &analysis,
        analysis.root?,
    )))
}

/// The symbols of a file, in the order of the text.
fn symbols(analysis: &Analysis, file: FileId) -> Vec<DocumentSymbol> {
    let all: Vec<(SymbolId, &Symbol)> = analysis.names.symbols().collect();
    let mut inside: HashMap<Option<SymbolId>, Vec<DocumentSymbol>> = HashMap::new();
    // In reverse, since children come after their parent.
    for (id, symbol) in all
        .into_iter()
        .rev()
        .filter(|(_, it)| it.kind != SymbolKind::Parameter)
    {
        let mut children = inside.remove(&Some(id)).unwrap_or_default();
        let here = symbol.declarations.iter().filter(|it| it.name.file == file);
        for declaration in here {
            let mut entry = entry(analysis, symbol, *declaration);
            let is_inside = |child: &DocumentSymbol| {
                entry.range.start <= child.range.start && child.range.end <= entry.range.end
            };
            let (ours, others): (Vec<_>, Vec<_>) = children.into_iter().partition(is_inside);
            children = others;
            entry.children = (!ours.is_empty()).then_some(ours);
            inside.entry(symbol.parent).or_default().push(entry);
        }
    }
    let mut top = inside.remove(&None).unwrap_or_default();
    sort(&mut top);
    top
}

fn sort(symbols: &mut [DocumentSymbol]) {
    symbols.sort_by_key(|symbol| symbol.range.start);
    for symbol in symbols {
        sort(symbol.children.as_deref_mut().unwrap_or_default());
    }
}

#[expect(
    deprecated,
    reason = "the struct has no other constructor; the field stays empty"
)]
fn entry(analysis: &Analysis, symbol: &Symbol, declaration: DeclarationSpan) -> DocumentSymbol {
    let index = symbol.index.map(|(index, _)| format!("index {index}"));
    DocumentSymbol {
        name: symbol.name.clone(),
        detail: index,
        kind: kind(symbol.kind),
        tags: None,
        deprecated: None,
        range: documents::range(analysis.sources(), declaration.whole),
        selection_range: documents::range(analysis.sources(), declaration.name),
        children: None,
    }
}

/// The kind that the client shows for a symbol.
pub(super) fn kind(kind: SymbolKind) -> ls_types::SymbolKind {
    match kind {
        SymbolKind::Module => ls_types::SymbolKind::MODULE,
        SymbolKind::Struct => ls_types::SymbolKind::STRUCT,
        SymbolKind::Sequence => ls_types::SymbolKind::ARRAY,
        SymbolKind::Dictionary => ls_types::SymbolKind::OBJECT,
        SymbolKind::Interface => ls_types::SymbolKind::INTERFACE,
        SymbolKind::Member => ls_types::SymbolKind::FIELD,
        SymbolKind::Operation => ls_types::SymbolKind::METHOD,
        SymbolKind::Parameter => ls_types::SymbolKind::VARIABLE,
        SymbolKind::Exception => ls_types::SymbolKind::CLASS,
        SymbolKind::Enum => ls_types::SymbolKind::ENUM,
        SymbolKind::EnumMember => ls_types::SymbolKind::ENUM_MEMBER,
        SymbolKind::Constant => ls_types::SymbolKind::CONSTANT,
    }
}
