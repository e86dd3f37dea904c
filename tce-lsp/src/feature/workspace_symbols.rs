//! Workspace symbols: the declarations of all files whose names match a query.

use std::{io, path::Path, path::PathBuf};

use ls_types::{SymbolInformation, WorkspaceSymbolParams, WorkspaceSymbolResponse};
use tce_idl::{
    Options, inspect_with, lint,
    loader::Loader,
    source::{FileId, SourceMap},
    symbols::{Symbol, SymbolKind, SymbolTable},
};

use super::outline::kind;
use crate::{documents::DocumentStore, workspace::Workspace};

/// The most symbols in an answer. The client filters and sorts them, and asks again when
/// the user types on.
const MAX_SYMBOLS: usize = 1000;

pub(crate) fn symbols(
    workspace: &mut Workspace,
    params: &WorkspaceSymbolParams,
) -> Option<WorkspaceSymbolResponse> {
    let query = params.query.to_lowercase();
    let mut found = Vec::new();
    for path in workspace.all_files() {
        // Reading a file is faster than parsing it, so skip files without such a name.
        let bytes = workspace.documents.read(&path).unwrap_or_default();
        if !is_match(&String::from_utf8_lossy(&bytes), &query) {
            continue;
        }
        let (sources, names) = parse(&workspace.documents, &path);
        let wanted = names.symbols().filter(|(_, it)| {
            !matches!(it.kind, SymbolKind::Member | SymbolKind::Parameter)
                && is_match(&it.name, &query)
        });
        for (_, symbol) in wanted {
            let parent = symbol.parent.map(|id| names.full_name(id));
            found.extend(information(workspace, &sources, symbol, parent.as_deref()));
        }
        if found.len() >= MAX_SYMBOLS {
            break;
        }
    }
    found.truncate(MAX_SYMBOLS);
    Some(WorkspaceSymbolResponse::Flat(found))
}

/// Whether a text has the characters of a query in this order, as editors match.
/// `query` is in lower case.
fn is_match(text: &str, query: &str) -> bool {
    let mut rest = text.chars().flat_map(char::to_lowercase);
    query
        .chars()
        .all(|wanted| rest.any(|character| character == wanted))
}

/// The declarations of one file.
fn parse(documents: &DocumentStore, path: &Path) -> (SourceMap, SymbolTable) {
    let alone = WithoutImports(documents, path);
    let (options, settings) = (Options::new(), lint::Settings::default());
    let (compilation, names) = inspect_with(&alone, &[path], &options, &settings);
    (compilation.sources, names)
}

/// One file without the files that it imports.
struct WithoutImports<'d>(&'d DocumentStore, &'d Path);

impl Loader for WithoutImports<'_> {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        match path == self.1 {
            true => self.0.read(path),
            false => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn identity(&self, path: &Path) -> PathBuf {
        path.to_owned()
    }

    fn list(&self, _folder: &Path) -> Vec<String> {
        Vec::new()
    }
}

/// The openings of a module, or the declaration of another symbol.
#[expect(
    deprecated,
    reason = "the struct has no other constructor; the field stays empty"
)]
fn information(
    workspace: &Workspace,
    sources: &SourceMap,
    symbol: &Symbol,
    parent: Option<&str>,
) -> Vec<SymbolInformation> {
    let declarations = symbol.declarations.iter();
    let here = declarations.filter(|it| it.name.file == FileId(0));
    let locations = here.filter_map(|it| workspace.location(sources, it.name));
    let information = locations.map(|location| SymbolInformation {
        name: symbol.name.clone(),
        kind: kind(symbol.kind),
        tags: None,
        deprecated: None,
        location,
        container_name: parent.map(str::to_owned),
    });
    information.collect()
}
