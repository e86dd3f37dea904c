//! Where a name is declared and where it is used: definition, references, highlights.

use std::{collections::HashSet, path::PathBuf, rc::Rc};

use ls_types::{
    DocumentHighlight, DocumentHighlightParams, GotoDefinitionParams, GotoDefinitionResponse,
    Location, Range, ReferenceParams,
};
use tce_idl::{
    loader::Loader,
    symbols::{Symbol, SymbolId},
    source::Span,
};

use crate::{
    analysis::Analysis,
    documents,
    world::{Spot, World},
};

pub(crate) fn references(world: &mut World, params: &ReferenceParams) -> Option<Vec<Location>> {
    let spot = world.spot(&params.text_document_position)?;
    let (_, id) = spot.analysis.names.at(spot.file, spot.offset)?;
    let all = mentions(world, &spot, id);
    let wanted = all
        .iter()
        .filter(|it| params.context.include_declaration || !it.is_declaration);
    let locations = wanted.filter_map(|it| world.location(it.analysis.sources(), it.span));
    Some(locations.collect())
}

/// A place where a name stands.
pub(crate) struct Mention {
    pub(crate) analysis: Rc<Analysis>,
    /// The name's symbol in that analysis.
    pub(crate) symbol: SymbolId,
    pub(crate) span: Span,
    pub(crate) is_declaration: bool,
}

/// Every place where the name of a symbol stands, each once: those in the text
/// that the client asks about and its imports first, then others by path.
pub(crate) fn mentions(world: &mut World, spot: &Spot, id: SymbolId) -> Vec<Mention> {
    let mut search = Search {
        analysis: &spot.analysis,
        symbol: spot.analysis.names.get(id),
        seen: HashSet::new(),
        found: Vec::new(),
    };
    search.take_in(&spot.analysis);
    for path in world.all_files() {
        // What names it has its name; to read is quicker than to compile.
        let bytes = world.files.read(&path).unwrap_or_default();
        if contains(&bytes, search.symbol.name.as_bytes()) {
            search.take_in(&world.analysis(&path));
        }
    }
    let found = search.found;
    world.forget_closed();
    found
}

fn contains(bytes: &[u8], word: &[u8]) -> bool {
    bytes.windows(word.len()).any(|window| window == word)
}

/// What is looked for, and what was found of it.
struct Search<'a> {
    analysis: &'a Analysis,
    symbol: &'a Symbol,
    /// Places that were found: a file has a part in many compilations.
    seen: HashSet<(PathBuf, u32)>,
    found: Vec<Mention>,
}

impl Search<'_> {
    fn take_in(&mut self, analysis: &Rc<Analysis>) {
        let Some((id, symbol)) = analysis
            .names
            .symbols()
            .find(|(_, it)| self.is_same(it, analysis))
        else {
            return;
        };
        for span in analysis.names.mentions(id) {
            let (path, start) = analysis.place(span);
            if self.seen.insert((path.to_owned(), start)) {
                self.found.push(Mention {
                    analysis: analysis.clone(),
                    symbol: id,
                    span,
                    is_declaration: symbol.places.iter().any(|place| place.name == span),
                });
            }
        }
    }

    /// Whether a symbol of another compilation is the one: both have a declaration in common.
    fn is_same(&self, other: &Symbol, analysis: &Analysis) -> bool {
        let places = self.symbol.places.iter();
        let mut ours = places.map(|place| self.analysis.place(place.name));
        other.name == self.symbol.name
            && ours.any(|ours| {
                let mut theirs = other.places.iter();
                theirs.any(|place| analysis.place(place.name) == ours)
            })
    }
}

pub(crate) fn definition(
    world: &mut World,
    params: &GotoDefinitionParams,
) -> Option<GotoDefinitionResponse> {
    let spot = world.spot(&params.text_document_position_params)?;
    let Spot {
        analysis,
        file,
        offset,
    } = spot;
    if let Some((_, path)) = analysis.names.import_at(file, offset) {
        let location = Location::new(world.files.uri(path)?, Range::default());
        return Some(location.into());
    }
    let (_, id) = analysis.names.at(file, offset)?;
    let places = analysis.names.get(id).places.iter();
    let locations = places.filter_map(|place| world.location(analysis.sources(), place.name));
    Some(GotoDefinitionResponse::Array(locations.collect()))
}

pub(crate) fn highlight(
    world: &mut World,
    params: &DocumentHighlightParams,
) -> Option<Vec<DocumentHighlight>> {
    let spot = world.spot(&params.text_document_position_params)?;
    let names = &spot.analysis.names;
    let (_, id) = names.at(spot.file, spot.offset)?;
    let here = names.mentions(id).filter(|span| span.file == spot.file);
    let highlights = here.map(|span| DocumentHighlight {
        range: convert::range(spot.analysis.sources(), span),
        kind: None,
    });
    Some(highlights.collect())
}
