//! Hover: the declaration of a name, its index on the wire, its documentation.

use ls_types::{Hover, HoverContents, HoverParams, MarkupContent, MarkupKind};
use tce_idl::{
    model::IndexOrigin,
    source,
    symbols::{SymbolId, SymbolKind},
};

use crate::{
    analysis::Analysis,
    documents,
    workspace::{Cursor, Workspace},
};

/// The most lines of a declaration that are shown.
const MAX_LINES: usize = 30;

pub(crate) fn hover(workspace: &mut Workspace, params: &HoverParams) -> Option<Hover> {
    let Cursor {
        analysis,
        file,
        offset,
    } = workspace.cursor(&params.text_document_position_params)?;
    let (span, value) = match analysis.names.import_at(file, offset) {
        Some((span, path)) => (span, format!("`{}`", path.display())),
        None => {
            let (span, id) = analysis.names.at(file, offset)?;
            (span, describe(&analysis, id))
        }
    };
    Some(Hover {
        contents: HoverContents::Markup(MarkupContent {
            kind: MarkupKind::Markdown,
            value,
        }),
        range: Some(documents::range(analysis.sources(), span)),
    })
}

/// Describes a symbol in Markdown.
pub(crate) fn describe(analysis: &Analysis, id: SymbolId) -> String {
    let symbol = analysis.names.get(id);
    let mut text = format!("```idl\n{}\n```\n", declaration(analysis, id));
    text += &format!("{} `{}`", symbol.kind.noun(), analysis.names.full_name(id));
    if let Some((index, origin)) = symbol.index {
        let how = match origin {
            IndexOrigin::Explicit(_) => "explicit",
            IndexOrigin::Implicit(_) | IndexOrigin::ImplicitAnnotated(_) => "from its position",
        };
        text += &format!(", index {index} ({how})");
    }
    if let Some(doc) = &symbol.doc {
        text += &format!("\n\n---\n\n{doc}");
    }
    text
}

/// The text of the declaration; for modules and interfaces, only the head.
fn declaration(analysis: &Analysis, id: SymbolId) -> String {
    let symbol = analysis.names.get(id);
    let Some(declaration) = symbol.declarations.first() else {
        return symbol.name.clone();
    };
    let whole = analysis.text(declaration.whole);
    match symbol.kind {
        SymbolKind::Module | SymbolKind::Interface => {
            let head = whole.split('{').next().unwrap_or_default();
            head.split_whitespace().collect::<Vec<_>>().join(" ")
        }
        _ => outdented(whole),
    }
}

/// Removes the indentation of the last line, which is that of the whole declaration, from every line.
fn outdented(text: &str) -> String {
    let last = source::lines(text).last().unwrap_or_default();
    let indent = last.len() - last.trim_start_matches([' ', '\t']).len();
    let lines = source::lines(text).map(|line| {
        let blank = line.len() - line.trim_start_matches([' ', '\t']).len();
        &line[blank.min(indent)..]
    });
    let mut shown: Vec<&str> = lines.take(MAX_LINES).collect();
    if source::lines(text).count() > MAX_LINES {
        shown.push("…");
    }
    shown.join("\n")
}
