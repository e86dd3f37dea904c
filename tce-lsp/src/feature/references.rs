//! Where a name is declared and used: go to definition, find references, highlights.

use std::{collections::HashSet, path::PathBuf, rc::Rc};

use ls_types::{
    DocumentHighlight, DocumentHighlightParams, GotoDefinitionParams, GotoDefinitionResponse,
    Location, Range, ReferenceParams,
};
use tce_idl::{
    loader::Loader,
    source::Span,
    symbols::{Symbol, SymbolId, SymbolKind},
};

use crate::{
    analysis::Analysis,
    documents,
    workspace::{Cursor, Workspace},
};

pub(crate) fn references(
    workspace: &mut Workspace,
    params: &ReferenceParams,
) -> Option<Vec<Location>> {
    let cursor = workspace.cursor(&params.text_document_position)?;
    let (_, id) = cursor.analysis.names.at(cursor.file, cursor.offset)?;
    let all = occurrences(workspace, &cursor, id);
    let wanted = all
        .iter()
        .filter(|it| params.context.include_declaration || !it.is_declaration);
    let locations = wanted.filter_map(|it| workspace.location(it.analysis.sources(), it.span));
    Some(locations.collect())
}

/// An occurrence of a name.
pub(crate) struct Occurrence {
    pub(crate) analysis: Rc<Analysis>,
    pub(crate) span: Span,
    pub(crate) is_declaration: bool,
}

/// Every occurrence of the name of a symbol, each once: first in the document of
/// the request and its imports, then in the other files by path.
pub(crate) fn occurrences(
    workspace: &mut Workspace,
    cursor: &Cursor,
    id: SymbolId,
) -> Vec<Occurrence> {
    let mut search = ReferenceSearch {
        analysis: &cursor.analysis,
        symbol: cursor.analysis.names.get(id),
        seen: HashSet::new(),
        found: Vec::new(),
    };
    search.add_from(&cursor.analysis);
    let mut paths = workspace.all_files();
    // Reading a file is faster than compiling it, so skip files without the name.
    paths.retain(|path| {
        let bytes = workspace.documents.read(path).unwrap_or_default();
        contains(&bytes, search.symbol.name.as_bytes())
    });
    let analyses = match search.symbol.kind {
        // Files that don't import each other can open modules of the same name.
        SymbolKind::Module => paths.iter().map(|path| workspace.analysis(path)).collect(),
        _ => workspace.cover(&paths),
    };
    for analysis in analyses {
        search.add_from(&analysis);
    }
    let found = search.found;
    workspace.drop_closed();
    found
}

/// The analyses that `analyze` makes of all files, and the symbol in them: also of files
/// without its name, and of the document of the request first.
pub(crate) fn everywhere(
    workspace: &mut Workspace,
    cursor: &Cursor,
    id: SymbolId,
    analyze: impl Fn(&mut Workspace, &[PathBuf]) -> Vec<Rc<Analysis>>,
) -> Vec<(Rc<Analysis>, SymbolId)> {
    let mut found = vec![(cursor.analysis.clone(), id)];
    let search = ReferenceSearch {
        analysis: &cursor.analysis,
        symbol: cursor.analysis.names.get(id),
        seen: HashSet::new(),
        found: Vec::new(),
    };
    let paths = workspace.all_files();
    for analysis in analyze(workspace, &paths) {
        let is_known = found.iter().any(|(it, _)| Rc::ptr_eq(it, &analysis));
        if let Some((id, _)) = search.find_in(&analysis)
            && !is_known
        {
            found.push((analysis, id));
        }
    }
    workspace.drop_closed();
    found
}

fn contains(bytes: &[u8], word: &[u8]) -> bool {
    bytes.windows(word.len()).any(|window| window == word)
}

/// The symbol that is searched for, and its occurrences.
struct ReferenceSearch<'a> {
    analysis: &'a Analysis,
    symbol: &'a Symbol,
    /// The occurrences that were found: several compilations may include a file.
    seen: HashSet<(PathBuf, u32)>,
    found: Vec<Occurrence>,
}

impl ReferenceSearch<'_> {
    fn add_from(&mut self, analysis: &Rc<Analysis>) {
        let Some((id, symbol)) = self.find_in(analysis) else {
            return;
        };
        for span in analysis.names.occurrences(id) {
            let (path, start) = analysis.location(span);
            if self.seen.insert((path.to_owned(), start)) {
                self.found.push(Occurrence {
                    analysis: analysis.clone(),
                    span,
                    is_declaration: symbol.declarations.iter().any(|it| it.name == span),
                });
            }
        }
    }

    /// The symbol in another compilation.
    fn find_in<'o>(&self, other: &'o Analysis) -> Option<(SymbolId, &'o Symbol)> {
        let mut symbols = other.names.symbols();
        symbols.find(|(_, it)| self.is_same(it, other))
    }

    /// Whether a symbol of another compilation is the same: they share a declaration.
    fn is_same(&self, other: &Symbol, analysis: &Analysis) -> bool {
        let declarations = self.symbol.declarations.iter();
        let mut ours = declarations.map(|it| self.analysis.location(it.name));
        other.name == self.symbol.name
            && ours.any(|ours| {
                let mut theirs = other.declarations.iter();
                theirs.any(|it| analysis.location(it.name) == ours)
            })
    }
}

pub(crate) fn definition(
    workspace: &mut Workspace,
    params: &GotoDefinitionParams,
) -> Option<GotoDefinitionResponse> {
    let cursor = workspace.cursor(&params.text_document_position_params)?;
    let Cursor {
        analysis,
        file,
        offset,
    } = cursor;
    if let Some((_, path)) = analysis.names.import_at(file, offset) {
        let location = Location::new(workspace.documents.uri(path)?, Range::default());
        return Some(location.into());
    }
    let (_, id) = analysis.names.at(file, offset)?;
    let declarations = analysis.names.get(id).declarations.iter();
    let locations = declarations.filter_map(|it| workspace.location(analysis.sources(), it.name));
    Some(GotoDefinitionResponse::Array(locations.collect()))
}

pub(crate) fn highlight(
    workspace: &mut Workspace,
    params: &DocumentHighlightParams,
) -> Option<Vec<DocumentHighlight>> {
    let cursor = workspace.cursor(&params.text_document_position_params)?;
    let names = &cursor.analysis.names;
    let (_, id) = names.at(cursor.file, cursor.offset)?;
    let here = names
        .occurrences(id)
        .filter(|span| span.file == cursor.file);
    let highlights = here.map(|span| DocumentHighlight {
        range: documents::range(cursor.analysis.sources(), span),
        kind: None,
    });
    Some(highlights.collect())
}
