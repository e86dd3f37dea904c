//! What a name stands for: its declaration, its index on the wire, its documentation.

use ls_types::{Hover, HoverContents, HoverParams, MarkupContent, MarkupKind};
use tce_idl::{
    model::IndexPlace,
    names::{Kind, SymbolId},
};

use crate::{
    analysis::Analysis,
    convert,
    world::{Spot, World},
};

/// How many lines of a declaration are shown.
const MAX_LINES: usize = 30;

pub(crate) fn hover(world: &mut World, params: &HoverParams) -> Option<Hover> {
    let Spot {
        analysis,
        file,
        offset,
    } = world.spot(&params.text_document_position_params)?;
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
        range: Some(convert::range(analysis.sources(), span)),
    })
}

/// What there is to say of a symbol, as Markdown.
pub(crate) fn describe(analysis: &Analysis, id: SymbolId) -> String {
    let symbol = analysis.names.get(id);
    let mut text = format!("```idl\n{}\n```\n", declaration(analysis, id));
    text += &format!("{} `{}`", symbol.kind.noun(), analysis.names.full_name(id));
    if let Some((index, place)) = symbol.index {
        let how = match place {
            IndexPlace::Written(_) => "as written",
            IndexPlace::Counted(_) | IndexPlace::Annotated(_) => "by its position",
        };
        text += &format!(", index {index} {how}");
    }
    if let Some(doc) = &symbol.doc {
        text += &format!("\n\n---\n\n{doc}");
    }
    text
}

/// The declaration as its author wrote it; of what is long, the head.
fn declaration(analysis: &Analysis, id: SymbolId) -> String {
    let symbol = analysis.names.get(id);
    let Some(place) = symbol.places.first() else {
        return symbol.name.clone();
    };
    let whole = analysis.text(place.whole);
    match symbol.kind {
        Kind::Module | Kind::Interface => {
            let head = whole.split('{').next().unwrap_or_default();
            head.split_whitespace().collect::<Vec<_>>().join(" ")
        }
        _ => outdented(whole),
    }
}

/// The text without the indent that its last line has: its first line stood there, too.
fn outdented(text: &str) -> String {
    let last = text.lines().next_back().unwrap_or_default();
    let indent = last.len() - last.trim_start_matches([' ', '\t']).len();
    let lines = text.lines().map(|line| {
        let blank = line.len() - line.trim_start_matches([' ', '\t']).len();
        &line[blank.min(indent)..]
    });
    let mut shown: Vec<&str> = lines.take(MAX_LINES).collect();
    if text.lines().count() > MAX_LINES {
        shown.push("…");
    }
    shown.join("\n")
}
