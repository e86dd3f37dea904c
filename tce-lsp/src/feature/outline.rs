//! What a file declares, for the editor's outline.

use std::collections::HashMap;

use ls_types::{DocumentSymbol, DocumentSymbolParams, DocumentSymbolResponse, SymbolKind};
use tce_idl::{
    names::{Kind, Place, Symbol, SymbolId},
    source::FileId,
};

use crate::{analysis::Analysis, convert, world::World};

pub(crate) fn outline(
    world: &mut World,
    params: &DocumentSymbolParams,
) -> Option<DocumentSymbolResponse> {
    let analysis = world.opened(&params.text_document.uri)?;
    Some(DocumentSymbolResponse::Nested(symbols(
        &analysis,
        analysis.root?,
    )))
}

/// The symbols of a file, in the order of the text.
fn symbols(analysis: &Analysis, file: FileId) -> Vec<DocumentSymbol> {
    let all: Vec<(SymbolId, &Symbol)> = analysis.names.symbols().collect();
    let mut inside: HashMap<Option<SymbolId>, Vec<DocumentSymbol>> = HashMap::new();
    // From the end: what is inside of something comes after it.
    for (id, symbol) in all
        .into_iter()
        .rev()
        .filter(|(_, it)| it.kind != Kind::Parameter)
    {
        let mut children = inside.remove(&Some(id)).unwrap_or_default();
        let here = symbol.places.iter().filter(|it| it.name.file == file);
        for place in here {
            let mut entry = entry(analysis, symbol, *place);
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

#[expect(deprecated, reason = "a field that has to be given, and stays empty")]
fn entry(analysis: &Analysis, symbol: &Symbol, place: Place) -> DocumentSymbol {
    let index = symbol.index.map(|(index, _)| format!("index {index}"));
    DocumentSymbol {
        name: symbol.name.clone(),
        detail: index,
        kind: match symbol.kind {
            Kind::Module => SymbolKind::MODULE,
            Kind::Struct => SymbolKind::STRUCT,
            Kind::Sequence => SymbolKind::ARRAY,
            Kind::Dictionary => SymbolKind::OBJECT,
            Kind::Interface => SymbolKind::INTERFACE,
            Kind::Member => SymbolKind::FIELD,
            Kind::Operation => SymbolKind::METHOD,
            Kind::Parameter => SymbolKind::VARIABLE,
        },
        tags: None,
        deprecated: None,
        range: convert::range(analysis.sources(), place.whole),
        selection_range: convert::range(analysis.sources(), place.name),
        children: None,
    }
}
